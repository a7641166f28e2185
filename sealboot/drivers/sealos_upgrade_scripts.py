"""Scripts of an upgrade, each of which may be cut off anywhere and be run again.

What is done is remembered beside the tree under the release that it was done
for, so that a mark of an upgrade a year ago means nothing to the next one.
kubeadm and kubectl are those of the new tree: the host's own stay what they
are until the node is drained.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from sealboot.drivers.sealos_image_scripts import PROVE, PULL
from sealboot.drivers.sealos_marks import MARK, REFUSED, marked
from sealboot.drivers.sealos_node_scripts import INSTALL, initialised

#: The marks of an upgrade: kubeadm has planned, has done its part, whose the cordon is, the node is empty,
#: the release that runs.
PLANNED, PLANE, CORDON, DRAINED, VERSION = "planned", "plane", "cordon", "drained", "version"

_KUBELET = "/etc/kubernetes/kubelet.conf"
_NAME = "name=$(uname -n | tr 'A-Z' 'a-z')\n"

#: A release that the inventory only claims would be found out by a node that never becomes ready.
TOOLS = f"""set -eu
for said in "$("$DATA/rootfs/bin/kubeadm" version -o short)" "$("$DATA/rootfs/bin/kubelet" --version)"; do
  [ "${{said##* }}" = "$VERSION" ] || {{ echo "the root filesystem has $said, not $VERSION" >&2; exit {REFUSED}; }}
done
"""

# kubeadm itself keeps the manifests and, where it changes etcd, a copy of its data in /etc/kubernetes/tmp.
PLAN = f"""set -eu
{MARK}"$DATA/rootfs/bin/kubeadm" upgrade plan "$VERSION" --ignore-preflight-errors=SystemVerification
mark {PLANNED} "$VERSION"
"""

# CONFIG is kubeadm's document that keeps it from pulling. Before v1.31 there is none: what is pulled here is
# there then, and its own attempt is not what decides.
_CONFIG = """if [ -n "$CONFIG" ]; then
  config=$DATA/etc/kubeadm-upgrade.yaml
  printf '%s\\n' "$CONFIG" >"$config"
  set -- --config "$config"
else set -- --ignore-preflight-errors=SystemVerification,ImagePull "$@"; fi
"""

APPLY = f"""set -eu
{MARK}{PULL}set -- "$VERSION"
{_CONFIG}"$DATA/rootfs/bin/kubeadm" upgrade apply -y "$@"
mark {PLANE} "$VERSION"
"""

NODE = f"""set -eu
{MARK}if [ -e /etc/kubernetes/manifests/kube-apiserver.yaml ]; then
{PULL}fi
set --
{_CONFIG}"$DATA/rootfs/bin/kubeadm" upgrade node "$@"
mark {PLANE} "$VERSION"
"""

#: For a day, because a large cluster takes its time; no longer, because a certificate cannot be taken back.
CREDENTIALS = """set -eu
"$DATA/rootfs/bin/kubeadm" kubeconfig user --client-name sealboot --org system:masters --validity-period 24h0m0s \\
  --config "$DATA/etc/kubeadm-init.yaml" 2>/dev/null | base64 | tr -d '\\n'
"""

# The credentials are a file, which kubectl cannot do without, in memory where the host has such a place,
# and for as long as the script runs.
_ADMIN = """umask 077
place=/dev/shm; [ -d "$place" ] && [ -w "$place" ] || place=$DATA/.sealboot
admin=$(mktemp "$place/.sealboot-XXXXXX")
trap 'rm -f "$admin"' EXIT
trap 'exit 130' HUP INT TERM
printf '%s' "$ADMIN" | base64 -d >"$admin"
kubectl() { "$DATA/rootfs/bin/kubectl" --kubeconfig "$admin" "$@"; }
"""

# A node that the operator has closed to new pods stays closed: whose the mark is is written down before it is set.
DRAIN = f"""set -eu
{MARK}{_NAME}{_ADMIN}
case $(cat "$DATA/.sealboot/{CORDON}" 2>/dev/null || :) in
"$VERSION "*) ;;
*)
  closed=$(kubectl get node "$name" -o 'jsonpath={{.spec.unschedulable}}')
  case $closed in true) whose=theirs ;; *) whose=ours ;; esac
  mark {CORDON} "$VERSION $whose" ;;
esac
kubectl cordon "$name"
kubectl drain "$name" --ignore-daemonsets --timeout="${{DRAIN_TIMEOUT}}s" $DRAIN_MORE
mark {DRAINED} "$VERSION"
"""

# The last guard before programs of a node are replaced, whatever was believed when the plan was made.
REPLACE = f"""set -eu
{MARK}if [ "$(cat "$DATA/.sealboot/{DRAINED}" 2>/dev/null)" != "$VERSION" ]; then
  echo 'the node was not drained: its programs are not replaced' >&2; exit {REFUSED}
fi
{INSTALL}{PROVE}mark init
"""

OPEN = f"""set -eu
{MARK}{_NAME}{_ADMIN}
case $(cat "$DATA/.sealboot/{CORDON}" 2>/dev/null || :) in *" theirs") ;; *) kubectl uncordon "$name" ;; esac
mark {VERSION} "$VERSION"
rm -f "$DATA/.sealboot/{CORDON}" "$DATA/.sealboot/{DRAINED}"
"""


def upgraded(data: str, release: str, *, master: bool) -> str:
    """Succeeds when kubeadm has finished here for this release; a master's manifest has to agree."""
    manifest = "/etc/kubernetes/manifests/kube-apiserver.yaml"
    looked = f"grep -qwF -e {shlex.quote(f'kube-apiserver:{release}')} {manifest}\n" if master else ""
    return marked(data, PLANE, release) + looked


def drained(data: str, release: str, stamp: str) -> str:
    """Succeeds when the node is empty and still closed, or its programs are the new ones already."""
    closed = (
        f"{_NAME}said=$(kubectl --kubeconfig {_KUBELET} get node \"$name\" -o 'jsonpath={{.spec.unschedulable}}' 2>/dev/null)\n"
        '[ "$said" = true ]\n'
    )
    return f"( {initialised(data, stamp)}) && exit 0\n{marked(data, DRAINED, release)}{closed}"


def ready_with(release: str) -> str:
    """Succeeds when the node is Ready and its kubelet is of this release: its own object says both."""
    path = '{.status.nodeInfo.kubeletVersion} {.status.conditions[?(@.type=="Ready")].status}'
    return (
        f'{_NAME}said=$(kubectl --kubeconfig {_KUBELET} get node "$name" -o {shlex.quote(f"jsonpath={path}")}) || exit 1\n'
        f'[ "$said" != {shlex.quote(f"{release} True")} ] || exit 0\n'
        'echo "$name runs kubelet ${said% *}, and its Ready is ${said##* }" >&2\nexit 1\n'
    )


def served_by(release: str, masters: Sequence[str], port: int) -> str:
    """Succeeds when the API server of every one of these masters is of this release.

    A kubelet must not be newer than an API server that it talks to, and a
    balanced address leads to any of them.
    """
    wanted = shlex.quote(f'"gitVersion":"{release}"')
    return "".join(
        f"kubectl --kubeconfig {_KUBELET} --server {shlex.quote(f'https://{master}:{port}')} get --raw /version 2>/dev/null |"
        f" tr -d ' \\t\\r\\n' | grep -qF -e {wanted} || exit 1\n"
        for master in masters
    )
