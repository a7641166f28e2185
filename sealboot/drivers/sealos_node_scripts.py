"""Scripts of a sealos node's life, and the read-only questions that go with them.

The root filesystem brings scripts of its own, for bash. What they did is
remembered in `.sealboot/` beside the tree, because they leave nothing that
tells one release from another; wherever there is something to look at (a
link, a program, a kubeconfig) it is looked at as well.
"""

from __future__ import annotations

import shlex

from sealboot.drivers.sealos_image_scripts import PROVE, PULL
from sealboot.drivers.sealos_marks import DONE, MARK, REFUSED, marked

#: What this script prints of its failure is all there is: sealos itself throws it away.
RENDER = f"""set -u
umask 022
cd "$DATA/rootfs" || exit 1
set --
for folder in etc scripts manifests; do [ -d "$folder" ] && set -- "$@" "$DATA/rootfs/$folder"; done
opt/sealctl render --debug=false --clear "$@" || exit $?
left=$(find "$@" -type f '(' -name '*.tmpl' -o -name '*.tpl' ')' | head -n 5)
[ -z "$left" ] && exit 0
echo "sealctl render said that it was done, and left templates: $left" >&2
exit {REFUSED}
"""

BOOTSTRAP_CHECK = f"""set -eu
{MARK}cd "$DATA/rootfs/scripts"
bash check.sh "$registryData"
mark check
"""

KEEP_HOSTS = f"""set -eu
{MARK}mkdir -p "$DATA/.sealboot"
[ -e "$HOSTS_FILE" ] || exit 0
cp -p "$HOSTS_FILE" "$DATA/.sealboot/hosts.new"
mv -f "$DATA/.sealboot/hosts.new" "$DATA/.sealboot/hosts"
"""

UNPACK_REGISTRY = f"""set -eu
{MARK}rm -f "$DATA/.sealboot/images"
tar -xf "$ARCHIVE" -C "$DATA/rootfs"
(cd "$DATA/rootfs" && sha256sum -c .sealboot-registry >/dev/null) || {{ echo 'what was unpacked is not what was packed' >&2; exit 1; }}
sync
mark images
rm -f "$ARCHIVE"
"""

#: `same FILE FILE`: whether they have the same content.
SAME = """same() { [ -f "$1" ] && [ -f "$2" ] && [ "$(sha256sum <"$1")" = "$(sha256sum <"$2")" ]; }
"""

# Nobody writes to a program that runs, and `init-kube.sh` neither makes room before it copies nor says that it
# could not: a name is freed first, and what lies there is compared afterwards. Scripts of published trees are
# no executables, as which kubelet's unit starts one of them (sealos does `chmod -R 0755`).
#: The tree's own scripts, which bring everything that a node runs; they end well whatever they could not do.
INSTALL = f"""{SAME}bin=${{BIN_DIR:-/usr/bin}}
for new in "$DATA"/rootfs/bin/*; do
  [ ! -f "$new" ] || same "$new" "$bin/${{new##*/}}" || rm -f "$bin/${{new##*/}}"
done
chmod 755 "$DATA"/rootfs/scripts/*.sh
cd "$DATA/rootfs/scripts"
bash init-cri.sh "$registryDomain" "$registryPort"
bash init.sh
for new in "$DATA"/rootfs/bin/*; do
  [ ! -f "$new" ] || same "$new" "$bin/${{new##*/}}" || {{
    echo "$bin/${{new##*/}} is not the root filesystem's after its init.sh" >&2; exit 1
  }}
done
"""

INIT = f"""set -eu
{MARK}if [ -s /etc/kubernetes/kubelet.conf ] && [ "$(cat "$DATA/.sealboot/version" 2>/dev/null)" != "$VERSION" ]; then
  echo "this node runs $(cat "$DATA/.sealboot/version" 2>/dev/null || echo 'another release'), not $VERSION: nobody upgrades it by installing over it" >&2
  exit {REFUSED}
fi
{INSTALL}{PROVE}mark version "$VERSION"
mark init
"""

#: Only what a run of ours left half done is taken back: a cluster of somebody else's is not ours to reset.
_AGAIN = """if [ -e "$DATA/.sealboot/kubeadm.begun" ] && [ ! -e "$DATA/.sealboot/kubeadm" ]; then
  kubeadm reset -f --cri-socket "$CRI"
fi
if [ -e /etc/kubernetes/kubelet.conf ] || [ -e /etc/kubernetes/admin.conf ]; then
  echo 'this host is in a cluster already, and not by our doing' >&2; exit 65
fi
mkdir -p "$DATA/.sealboot" "$DATA/etc" /etc/kubernetes
rm -f "$DATA/.sealboot/kubeadm"
: >"$DATA/.sealboot/kubeadm.begun"
policy=$DATA/rootfs/statics/audit-policy.yml
if [ -f "$policy" ]; then cp -f "$policy" /etc/kubernetes/audit-policy.yml; fi
"""
_ENDED = """mark kubeadm
rm -f "$DATA/.sealboot/kubeadm.begun"
"""

#: An API server of another master answers: whoever begins a cluster now has a second one. Where `timeout`
#: is missing nothing is asked.
_ALONE = """for other in $OTHERS; do
  if timeout 5 bash -c ': <"/dev/tcp/$1/$2"' bash "$other" "$PORT" 2>/dev/null; then
    echo "an API server answers at $other:$PORT: this master would begin a second cluster" >&2; exit 65
  fi
done
"""

KUBEADM_INIT = f"""set -eu
{MARK}{_ALONE}{_AGAIN}{PULL}kubeadm init --config="$DATA/etc/kubeadm-init.yaml" --skip-certificate-key-print --skip-token-print --upload-certs -v 0 --ignore-preflight-errors=SystemVerification
{_ENDED}"""

# Filled in by the shell itself: the words of a program that is started can be read by every user of the host.
KUBEADM_JOIN = f"""set -eu
{MARK}{_AGAIN}if [ -n "${{KEY:-}}" ]; then
{PULL}fi
config=$DATA/etc/kubeadm-join.yaml
trap 'rm -f "$config"' EXIT
(umask 077; printf '%s\\n' "$CONFIG" | while IFS= read -r line; do
  case $line in
    *@TOKEN@*) line=${{line%%@TOKEN@*}}$TOKEN${{line#*@TOKEN@}} ;;
    *@CA@*) line=${{line%%@CA@*}}$CA${{line#*@CA@}} ;;
    *@KEY@*) line=${{line%%@KEY@*}}${{KEY:-}}${{line#*@KEY@}} ;;
  esac
  printf '%s\\n' "$line"
done >"$config")
kubeadm join --config="$config" -v 0 --ignore-preflight-errors=SystemVerification
{_ENDED}"""

BOOTSTRAP = "kubeadm token create --ttl 2h --kubeconfig /etc/kubernetes/admin.conf 2>/dev/null\n"
CERTIFICATE_KEY = """kubeadm init phase upload-certs --upload-certs --kubeconfig /etc/kubernetes/admin.conf 2>/dev/null | tail -n 1
"""
CA_HASH = """kubeadm token create --ttl 1m --print-join-command --kubeconfig /etc/kubernetes/admin.conf 2>/dev/null |
  sed -n 's/.*--discovery-token-ca-cert-hash \\(sha256:[0-9a-f]*\\).*/\\1/p'
"""

API_READY = "kubectl --kubeconfig /etc/kubernetes/admin.conf get --raw /readyz >/dev/null 2>&1\n"

#: A node may read its own object with its own credentials, so nobody else need be asked. Why it is not ready
#: is what the one who waits is told in the end.
NODE_READY = """name=$(uname -n | tr 'A-Z' 'a-z')
said=$(kubectl --kubeconfig /etc/kubernetes/kubelet.conf get node "$name" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}') || exit 1
[ "$said" != True ] || exit 0
echo "$name is not ready: $(kubectl --kubeconfig /etc/kubernetes/kubelet.conf get node "$name" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].message}')" >&2
exit 1
"""


def rendered(root: str) -> str:
    """Succeeds when no template is left in the tree."""
    folders = " ".join(shlex.quote(f"{root}/{name}") for name in ("etc", "scripts", "manifests"))
    return (
        f"[ -d {shlex.quote(root)} ] || exit 1\n"
        f"left=$(find {folders} -type f '(' -name '*.tmpl' -o -name '*.tpl' ')' 2>/dev/null | head -n 1)\n"
        '[ -z "$left" ]\n'
    )


def checked(data: str) -> str:
    """Succeeds when the host passed, or is a node already: the ports that must be free then are its own."""
    return f"[ -e {shlex.quote(f'{data}/{DONE}/check')} ] || [ -s /etc/kubernetes/kubelet.conf ]\n"


def linked(data: str, registry_data: str, stamp: str) -> str:
    """Succeeds when the registry serves this tree's images."""
    return (
        marked(data, "registry", stamp)
        + f'[ "$(readlink {shlex.quote(registry_data)})" = {shlex.quote(f"{data}/rootfs/registry")} ]\n'
    )


def images_unpacked(data: str, sha256: str) -> str:
    """Succeeds when the list of images is the one of this archive, each document and link as it was packed."""
    root = shlex.quote(f"{data}/rootfs")
    return (
        f"{marked(data, 'images', sha256)}cd {root} 2>/dev/null || exit 1\n"
        "[ -d registry ] && sha256sum -c .sealboot-registry >/dev/null 2>&1\n"
    )


def images_there(data: str, archive: str, sha256: str) -> str:
    """Succeeds when the list of images is unpacked, or its archive is there to be."""
    return (
        f"( {images_unpacked(data, sha256)}) && exit 0\n"
        f"[ -f {shlex.quote(archive)} ] || exit 1\n"
        f'said=$(sha256sum <{shlex.quote(archive)})\n[ "${{said%% *}}" = {sha256} ]\n'
    )


def initialised(data: str, stamp: str) -> str:
    """Succeeds when the runtime and kubelet of this tree are installed: the programs that lie there are its own."""
    return (
        f"{marked(data, 'init', stamp)}{SAME}"
        "for name in kubelet kubeadm kubectl; do\n"
        f'  same "$(command -v $name)" {shlex.quote(f"{data}/rootfs/bin")}/$name || exit 1\ndone\n'
    )


def member(data: str) -> str:
    """Succeeds when kubeadm has finished here."""
    return f"[ -e {shlex.quote(f'{data}/{DONE}/kubeadm')} ] && [ -s /etc/kubernetes/kubelet.conf ]\n"


def either(first: str, second: str) -> str:
    """Succeeds when one of two questions is answered by yes."""
    return f"( {first}) && exit 0\n( {second})\n"
