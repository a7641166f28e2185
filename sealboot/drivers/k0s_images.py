"""Image bundles of a k0s node: of its own architecture, placed whole, proven imported, superseded ones removed.

k0s imports every file that appears in its images folder, whatever it is called and however much of it is
there, and says in its log alone that an import failed. So a bundle is sent into a folder beside it and
renamed into place when its hash is right, and it counts when the runtime shows its images.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sealboot.drivers.base import Context
from sealboot.drivers.k0s_node import Node
from sealboot.drivers.k0s_options import NODES, K0sOptions
from sealboot.drivers.k0s_shell import LIBRARY, store, values
from sealboot.model.archive import ImageArchive
from sealboot.model.artifact import Artifact, Kind
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.host import Host
from sealboot.model.steps import Run, Step, Succeeds, Upload

#: What k0s imports: it unpacks no compressed archive.
KINDS: Final = (Kind.TAR,)
#: In the names of the files that are ours to remove.
MARK: Final = ".sealboot"
#: Seconds after which an import that has not come is asked for once more.
_AGAIN: Final = 60

_HAVE = r"""
# In place: by what is remembered of it while its stat is what it was, else by reading it.
sb_have() {
  [ -f "$PLACE/$1" ] && [ ! -L "$PLACE/$1" ] || return 1
  if [ "$(cat "$STORE/images/$1" 2>/dev/null)" = "$2 $(sb_stat "$PLACE/$1")" ]; then return 0; fi
  sb_file "$PLACE/$1" "$2"
}
sb_mark() { mkdir -p "$STORE/images" && printf '%s %s\n' "$2" "$(sb_stat "$PLACE/$1")" >"$STORE/images/$1"; }
# Imported once more, and so the newest source of its images: those that a superseded bundle has too stay.
sb_renew() { touch "$PLACE/$1" && sb_mark "$1" "$2"; }
"""


@dataclass(frozen=True, slots=True)
class Bundle:
    """One bundle on its way to one host."""

    slot: str
    artifact: Artifact
    layer: ImageArchive
    name: str  # in the images folder


def folder(options: K0sOptions, host: Host) -> str:
    """The folder that k0s imports from."""
    return f"{options.data(host)}/images"


def bundles(ctx: Context, options: K0sOptions, host: Host) -> tuple[Bundle, ...]:
    """The bundles of this host in import order; each name tells order, slot, architecture and content."""
    made: list[Bundle] = []
    if host.role not in NODES:
        return ()
    for number, slot in enumerate(options.image_slots(ctx.inventory), 1):
        artifact = ctx.chosen.get((host.name, slot))
        layer = next((x for x in artifact.layers if isinstance(x, ImageArchive)), None) if artifact else None
        if artifact is not None and layer is not None:
            arch = ctx.facts[host.name].kernel_arch
            name = f"{number:02}0-{slot}-{arch}-{artifact.sha256[:8]}{MARK}.tar"
            made.append(Bundle(slot, artifact, layer, name))
    return tuple(made)


def _head(node: Node) -> str:
    place = folder(node.options, node.host)
    return values(BIN=node.binary, DATA=node.data, STORE=store(node.binary), PLACE=place) + LIBRARY + _HAVE


def put(node: Node) -> Iterator[Step]:
    """The bundles of the host's own architecture, each made visible to k0s when it is whole."""
    for bundle in bundles(node.ctx, node.options, node.host):
        waiting = f"{folder(node.options, node.host)}.next/{bundle.name}"
        said = f"{shlex.quote(bundle.name)} {bundle.artifact.sha256}"
        yield Upload(
            id=f"images/{node.name}/{bundle.slot}",
            host=node.name,
            title=f"upload {bundle.slot} to {waiting}",
            timeout=7200.0,
            check=Succeeds(
                f"{_head(node)}sb_have {said} || sb_file {waiting} {bundle.artifact.sha256}\n", timeout=300.0
            ),
            source=bundle.artifact.path,
            sha256=bundle.artifact.sha256,
            size=bundle.artifact.size,
            dest=waiting,
            mode=0o644,
            keep_previous=False,
            slot=bundle.slot,
        )
        yield Run(
            id=f"images/{node.name}/{bundle.slot}-place",
            host=node.name,
            title=f"put it into {folder(node.options, node.host)}",
            timeout=300.0,
            check=Succeeds(f"{_head(node)}sb_have {said}\n", timeout=300.0),
            script=f"""{_head(node)}( umask 022; mkdir -p "$PLACE" "$STORE" ) || exit 1
sb_file {waiting} {bundle.artifact.sha256} || {{ echo 'it is not the file that was proved' >&2; exit 1; }}
chmod 644 {waiting} && mv -f {waiting} "$PLACE/{bundle.name}" && sb_sync "$PLACE" || exit 1
sb_mark {said}
rmdir "$PLACE.next" 2>/dev/null
exit 0
""",
        )


def imported(node: Node) -> Iterator[Step]:
    """Proof that the runtime has every image for this architecture, then away with superseded bundles."""
    wanted = bundles(node.ctx, node.options, node.host)
    if not wanted:
        return
    place, limit = folder(node.options, node.host), node.options.import_timeout
    count = sum(len(bundle.layer.images) for bundle in wanted)
    yield Run(
        id=f"import/{node.name}/images",
        host=node.name,
        title=f"wait until {count} {'image is' if count == 1 else 'images are'} imported",
        timeout=float(limit + 60),
        check=Succeeds(_verify(node, wanted) + "sb_all\n", timeout=120.0),
        script=_verify(node, wanted) + _wait(node, wanted, limit),
    )
    keep = "|".join(shlex.quote(bundle.name) for bundle in wanted)
    loop = (
        f"cd {shlex.quote(place)} 2>/dev/null || exit 0\n@AGAIN@for file in *{MARK}.tar; do\n"
        f"  case $file in {keep}|'*{MARK}.tar') continue ;; esac\n"
    )
    remembered = shlex.quote(f"{store(node.binary)}/images")
    yield Run(
        id=f"import/{node.name}/superseded",
        host=node.name,
        title="remove superseded bundles",
        timeout=60.0,
        check=Succeeds(loop.replace("@AGAIN@", "") + "  exit 1\ndone\n"),
        script=_head(node)
        + loop.replace("@AGAIN@", _again(wanted))
        + f'  rm -f -- "$file" {remembered}/"$file" || exit 1\ndone\n',
    )


def findings(ctx: Context, options: K0sOptions) -> Iterator[Diagnostic]:
    """SB661: a bundle that k0s would not import."""
    for host in ctx.reached:
        if options.leaving(host) or host.role not in NODES:
            continue
        made = {bundle.slot: bundle for bundle in bundles(ctx, options, host)}
        for slot in options.image_slots(ctx.inventory):
            chosen = ctx.chosen.get((host.name, slot))
            bundle = made.get(slot)
            reasons = _unfit(bundle.layer) if bundle else ("it is no image archive",)
            if chosen is None or not reasons:
                continue
            yield Diagnostic(
                "SB661",
                f"k0s on {host.name} would not import {chosen.path}",
                host=host.name,
                artifact=chosen.path,
                at=ctx.inventory.origins.get(f"artifacts.{slot}"),
                evidence=tuple((f"reason {n}", text) for n, text in enumerate(reasons, 1)),
            )


def _unfit(layer: ImageArchive) -> tuple[str, ...]:
    """Why an import would leave nothing that a pod could name."""
    unnamed = sum(not image.name for image in layer.images)
    return (
        *(("it holds no image",) if not layer.images else ()),
        *((f"{unnamed} images have no name: nothing can refer to them",) if unnamed else ()),
    )


def _verify(node: Node, wanted: Sequence[Bundle]) -> str:
    """Shell: `sb_all` succeeds when the runtime lists every image for this platform; `sb_last` is the one that is not there."""
    arch = node.facts.kernel_arch
    lines = [
        _head(node),
        f"""sb_image() {{
  sb_last=$1
  printf '%s\\n' "$sb_list" | {{
    while read -r sb_ref sb_rest; do
      [ "$sb_ref" = "$1" ] || continue
      case $sb_rest in *linux/{arch}*) exit 0 ;; esac
    done
    exit 1
  }}
}}
sb_all() {{
  sb_last='the runtime does not answer'
  sb_list=$(sb_within 60 "$BIN" ctr -n k8s.io images ls 2>/dev/null) || return 1
""",
        *(
            f"  sb_image {shlex.quote(i.name)} || return 1\n"
            for bundle in wanted
            for i in bundle.layer.images
        ),
        "  return 0\n}\n",
    ]
    return "".join(lines)


def _again(wanted: Sequence[Bundle]) -> str:
    return "".join(f"sb_renew {shlex.quote(b.name)} {b.artifact.sha256}\n" for b in wanted)


def _wait(node: Node, wanted: Sequence[Bundle], limit: int) -> str:
    again = _again(wanted).replace("\n", "; ")
    return f"""sb_until=$(( $(date +%s) + {limit} )) sb_again=$(( $(date +%s) + {_AGAIN} ))
until sb_all; do
  sb_now=$(date +%s)
  if [ "$sb_now" -ge "$sb_until" ]; then
    echo "not imported for {node.facts.kernel_arch}: $sb_last" >&2
    journalctl -u {node.unit} -n 400 --no-pager -q -o cat 2>/dev/null | grep -i 'oci bundle' | tail -n 5 >&2
    exit 1
  fi
  if [ "$sb_now" -ge "$sb_again" ]; then
    sb_again=$(( sb_until + 1 ))
    {again}
  fi
  sleep 1
done
"""
