"""A stand-in for a Sealos root filesystem: its layout and rules, in programs that are true ELF and small.

Written after what the commands are documented to do. They keep state on the
node, enforce the order (kubelet before kubeadm, the API server's name before a
join, a token that the cluster gave) and fail when they are called wrongly, so
that a plan which comes to its end here was in order.
"""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

from labkit.sealctl import HOSTS, program
from sealboot.model.arch import Arch

RELEASE = "v1.29.9"

_SEALCTL = (
    """\
arch=@ARCH@ version=v5.0.1
fail() { echo "sealctl: $*" >&2; exit 1; }
case ${1:-} in
version) echo "{\\"gitVersion\\":\\"$version\\",\\"platform\\":\\"linux/$arch\\"}" ;;
hostname) printf %s "$(uname -n)" >&2 ;;
render)
  shift; clear=
  while [ $# -gt 0 ]; do
    case $1 in --debug=false) ;; --clear) clear=1 ;; -*) fail "render: unknown flag $1" ;; *) break ;; esac
    shift
  done
  [ -n "${registryDomain:-}" ] && [ -n "${SEALOS_SYS_RUN_MODE:-}" ] || fail "render: no values"
  for folder; do
    [ -d "$folder" ] || fail "render: no folder $folder"
    find "$folder" -name '*.tmpl' | while read -r f; do
      sed -e "s|{{ .registryDomain }}|$registryDomain|" -e "s|{{ .mode }}|$SEALOS_SYS_RUN_MODE|" "$f" >"${f%.tmpl}"
      [ -z "$clear" ] || rm "$f"
    done
  done ;;
"""
    + HOSTS
    + """\
*) fail "unknown command ${1:-}" ;;
esac
"""
)

_KUBEADM = """\
K=/etc/kubernetes
fail() { echo "kubeadm: $*" >&2; exit 1; }
sum() { printf %s "$1" | sha256sum | cut -c1-64; }
token() { t=$(sum "$(cat $K/pki/ca.crt)"); printf '%s.%s' "$(printf %s "$t" | cut -c1-6)" "$(printf %s "$t" | cut -c7-22)"; }
known() { case " $allowed " in *" ${1%%=*} "*) ;; *) fail "unknown flag ${1%%=*}" ;; esac; }
node() {
  [ -x /usr/bin/kubelet ] && [ -s /etc/containerd/config.toml ] || fail "kubelet or its runtime is not there"
  grep -q 'apiserver\\.cluster\\.local' /etc/hosts || fail "lookup apiserver.cluster.local: no such host"
  [ ! -e $K/kubelet.conf ] || fail "[ERROR FileAvailable--etc-kubernetes-kubelet.conf]"
  mkdir -p $K/manifests $K/pki /etc/cni/net.d
}
plane() {
  echo apiserver >$K/manifests/kube-apiserver.yaml; echo admin >$K/admin.conf
  mkdir -p /var/lib/etcd/member
}
case "${1:-} ${2:-}" in
"init phase")
  [ "${3:-}" = upload-certs ] && [ -s $K/admin.conf ] || fail "cannot upload certificates"
  echo "[upload-certs] Using certificate key:"; sum "key of $(cat $K/pki/ca.crt)" ;;
"token create")
  [ -s $K/admin.conf ] || fail "no such file: admin.conf"
  case "$*" in
  *--print-join-command*) echo "kubeadm join apiserver.cluster.local:6443 --token $(token) --discovery-token-ca-cert-hash sha256:$(sum "$(cat $K/pki/ca.crt)")" ;;
  *) echo "$(token)" ;;
  esac ;;
init*)
  shift; allowed='--config --skip-certificate-key-print --skip-token-print --upload-certs -v 0 --ignore-preflight-errors'
  for flag; do known "$flag"; case $flag in --config=*) config=${flag#*=} ;; esac; done
  grep -q '^kind: InitConfiguration' "$config" && grep -q '^kubernetesVersion: @VERSION@' "$config" || fail "bad configuration"
  node; echo "the CA of $(uname -n)" >$K/pki/ca.crt; plane; echo kubelet >$K/kubelet.conf ;;
join*)
  shift; allowed='--config -v 0 --ignore-preflight-errors'
  for flag; do known "$flag"; case $flag in --config=*) config=${flag#*=} ;; esac; done
  t=$(sed -n 's/.*token: "\\(.*\\)"/\\1/p' "$config"); h=$(sed -n 's/.*- "sha256:\\(.*\\)"/\\1/p' "$config")
  [ "$(printf %s "$h" | cut -c1-6).$(printf %s "$h" | cut -c7-22)" = "$t" ] || fail "the token is not this cluster's"
  node
  if grep -q '^controlPlane:' "$config"; then
    grep -Eq 'certificateKey: "[0-9a-f]{64}"' "$config" || fail "no certificate key"; plane
  fi
  echo kubelet >$K/kubelet.conf ;;
reset*)
  rm -rf $K/manifests $K/pki $K/admin.conf $K/kubelet.conf ;;
"version "*) echo @VERSION@ ;;
*) fail "unknown command ${1:-}" ;;
esac
"""

_KUBECTL = """\
[ "${1:-}" = --kubeconfig ] && [ -s "${2:-}" ] || { echo 'kubectl: no configuration' >&2; exit 1; }
shift 2
case "$*" in
'get --raw /readyz') [ -e /etc/kubernetes/manifests/kube-apiserver.yaml ] && echo ok ;;
"get node $(uname -n | tr A-Z a-z) -o jsonpath="*) [ -x /usr/bin/kubelet ] && printf True ;;
*) echo "kubectl: $*?" >&2; exit 1 ;;
esac
"""

_VERSION = '[ "${1:-}" = --version ] || exit 1; echo @VERSION@\n'

_REGISTRY = """\
exec perl -MIO::Socket::INET -e '
my $s = IO::Socket::INET->new(LocalPort => $ARGV[0], Listen => 5, ReuseAddr => 1) or die $!;
while (my $c = $s->accept) { close $c }' "$1"
"""

_SCRIPTS = {
    "check.sh": """[ $# = 1 ] || exit 2
! command -v containerd || { echo 'containerd is there already'; exit 1; }
[ ! -f "$1" ]
""",
    "init-registry.sh": """[ $# = 2 ] && [ -d "$1/docker" ] || { echo 'no images'; exit 1; }
mkdir -p "$2"; cp ../etc/registry.yml "$2/"
tar -xzf ../cri/registry.tar.gz -C /usr/bin registry
setsid /usr/bin/registry "$registryPort" </dev/null >/dev/null 2>&1 &
echo $! >"$2/pid"
""",
    "init-cri.sh": """[ "$1:$2" = "$registryDomain:$registryPort" ] || exit 2
tar -xzf ../cri/cri-containerd.tar.gz -C /
mkdir -p /etc/containerd; cp ../etc/config.toml /etc/containerd/
/usr/bin/containerd --version
""",
    "init.sh": """set -e
cp -f ../bin/* /usr/bin/
/usr/bin/kubelet --version
mkdir -p /var/lib/kubelet; echo "$SEALOS_SYS_RUN_MODE" >/var/lib/kubelet/mode
""",
    "clean.sh": "rm -rf /usr/bin/kubeadm /usr/bin/kubelet /usr/bin/kubectl /usr/bin/crictl /var/lib/kubelet\n",
    "clean-cri.sh": "rm -rf /usr/bin/containerd /usr/bin/runc /etc/containerd\n",
    "clean-registry.sh": '[ ! -e "$2/pid" ] || kill "$(cat "$2/pid")"; rm -rf "$2" "$1" /usr/bin/registry\n',
}


def _targz(files: Mapping[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o755
            archive.addfile(info, io.BytesIO(data))
    return gzip.compress(made.getvalue(), mtime=0)


def files(arch: Arch, release: str = RELEASE) -> dict[str, bytes]:
    """Every file of the tree for `arch`."""

    def made(text: str) -> bytes:
        return program(arch, text, release)

    return {
        "bin/kubeadm": made(_KUBEADM),
        "bin/kubectl": made(_KUBECTL),
        "bin/kubelet": made(_VERSION),
        "bin/crictl": made(_VERSION),
        "opt/sealctl": made(_SEALCTL),
        "cri/cri-containerd.tar.gz": _targz(
            {"usr/bin/containerd": made(_VERSION), "usr/bin/runc": made(_VERSION)}
        ),
        "cri/registry.tar.gz": _targz({"registry": made(_REGISTRY)}),
        "etc/registry.yml.tmpl": b"domain: {{ .registryDomain }}\n",
        "etc/config.toml.tmpl": b'mode = "{{ .mode }}"\n',
        "statics/audit-policy.yml": b"kind: Policy\n",
        **{f"scripts/{name}": b"#!/bin/bash\n" + text.encode() for name, text in _SCRIPTS.items()},
        "registry/docker/registry/v2/repositories/.keep": b"",
    }


def folder(path: Path, arch: Arch, release: str = RELEASE) -> Path:
    """The tree as a folder, as `sealos build` leaves one."""
    for name, data in files(arch, release).items():
        place = path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        place.chmod(0o755 if data[:2] in {b"\x7fE", b"#!"} else 0o644)
    return path
