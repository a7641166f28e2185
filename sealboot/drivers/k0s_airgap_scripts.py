"""What is asked about images, and the edit that unpins: read-only questions of at most 4 KiB, and one change."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Final

from sealboot.drivers.k0s_airgap_places import ASKED, PLACES, Pin, Place
from sealboot.drivers.k0s_shell import store, values

#: The keys of the questions.
LIVE: Final = "k0s.clusterconfig"
DEFAULTS: Final = "k0s.default-images"
STORED: Final = "k0s.stored-images"

_GET = "-n kube-system get clusterconfig k0s"
_PATCH = "-n kube-system patch clusterconfig k0s --type=json"
_API = """
sb_api() {
  if timeout 1 true 2>/dev/null; then KUBECONFIG=$DATA/pki/admin.conf timeout 20 "$BIN" kubectl "$@"
  else KUBECONFIG=$DATA/pki/admin.conf "$BIN" kubectl "$@"; fi
}
"""


def live(binary: str, data: str) -> str:
    """Tells what the live ClusterConfig says about images: `live` and lines `PATH=VALUE`, `none`, or `failed: WHY`.

    Without dynamic configuration there is no such object. An API server that does not answer is no such
    answer: what it would have said stays unknown.
    """
    template = "".join(f'{path}={{.spec.{path}}}{{"\\n"}}' for path in ASKED)
    return (
        values(BIN=binary, DATA=data, FORM=template)
        + _API
        + f"""[ -x "$BIN" ] && [ -e "$DATA/pki/admin.conf" ] || exit 0
if sb_said=$(sb_api {_GET} -o "jsonpath=$FORM" 2>/dev/null); then
  echo live; printf '%s\\n' "$sb_said" | grep -v '=$'; exit 0
fi
sb_why=$(sb_api {_GET} -o name 2>&1 >/dev/null)
case $sb_why in
  *NotFound*|*"doesn't have a resource type"*) echo none ;;
  *) printf 'failed: %s\\n' "$(printf '%s\\n' "$sb_why" | tail -n 1 | cut -c 1-300)" ;;
esac
exit 0
"""
    )


def defaults(binary: str, data: str) -> str:
    """Tells the images of the installed release under its own k0s.yaml: what it would have pinned."""
    return (
        values(BIN=binary, DATA=data)
        + '[ -x "$BIN" ] && [ -e "$DATA/pki/admin.conf" ] || exit 0\n'
        + '"$BIN" airgap list-images --all --data-dir="$DATA" 2>/dev/null </dev/null\nexit 0\n'
    )


def stored(binary: str) -> str:
    """Tells the names of images in the node's containerd, those of k0s first, and `end` behind the last one."""
    known = "|".join(place.product for place in PLACES)
    return (
        values(BIN=binary, KNOWN=f"/({known}):")
        + """[ -x "$BIN" ] || exit 0
sb_all=$("$BIN" ctr -n k8s.io images ls -q 2>/dev/null | grep -v -e @ -e '^sha256:') || exit 0
printf '%s\\n' "$sb_all" | grep -E "$KNOWN"; printf '%s\\n' "$sb_all" | grep -vE "$KNOWN"; echo end
"""
    )


def _form(places: Sequence[Place]) -> str:
    return "".join(f"{{.spec.{place.path}}}" for place in places)


def unpinned(binary: str, data: str, pins: Mapping[Place, Pin]) -> str:
    """Succeeds when the live ClusterConfig says nothing in these places."""
    return (
        values(BIN=binary, DATA=data, FORM=_form(tuple(pins)))
        + _API
        + f'sb_said=$(sb_api {_GET} -o "jsonpath=$FORM") && [ -z "$sb_said" ]\n'
    )


def edit(pins: Mapping[Place, Pin]) -> str:
    """The JSON patch (RFC 6902) that removes exactly these pins, and refuses where another value has come."""
    steps: list[dict[str, object]] = []
    for place, pin in pins.items():
        value = {k: v for k, v in (("image", pin.image), ("version", pin.version)) if v}
        steps += [
            {"op": "test", "path": place.pointer, "value": value},
            {"op": "remove", "path": place.pointer},
        ]
    return json.dumps(steps, separators=(",", ":"))


def unpin(binary: str, data: str, keep: str, pins: Mapping[Place, Pin]) -> str:
    """Keep the object as it is in the file `keep`, then remove these pins from it."""
    return (
        values(BIN=binary, DATA=data, KEEP=keep, EDIT=edit(pins))
        + "set -u\numask 077\n"
        + _API
        + f"""mkdir -p "${{KEEP%/*}}" || exit 1
if [ ! -s "$KEEP" ]; then
  sb_api {_GET} -o json >"$KEEP.new" && [ -s "$KEEP.new" ] || {{ rm -f "$KEEP.new"; exit 1; }}
  {{ sync "$KEEP.new" 2>/dev/null || sync; }} && mv -f "$KEEP.new" "$KEEP" || exit 1
fi
sb_api {_PATCH} -p "$EDIT"
"""
    )


def listed(binary: str, data: str, images: Sequence[str]) -> str:
    """Succeeds when the release that is to come names all of these images itself: from staging, before it runs."""
    return (
        values(BIN=binary, DATA=data, STORE=store(binary), WANTED=" ".join(images))
        + """sb_new=$STORE/k0s.next; [ -x "$sb_new" ] || sb_new=$BIN
sb_all=$("$sb_new" airgap list-images --all --data-dir="$DATA" </dev/null) || exit 1
for sb_image in $WANTED; do
  printf '%s\\n' "$sb_all" | grep -qxF "$sb_image" && continue
  echo "this k0s does not name $sb_image: the images that it was judged by are another release's" >&2
  echo "$sb_all" >&2
  exit 65
done
"""
    )


def quoted(pins: Mapping[Place, Pin]) -> str:
    """The command that unpins, for people."""
    return f"k0s kubectl {_PATCH} -p {shlex.quote(edit(pins))}"
