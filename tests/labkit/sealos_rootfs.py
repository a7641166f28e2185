"""A stand-in for a Sealos root filesystem: its layout and rules, in programs that are true ELF and small.

Written after what the commands are documented to do. They keep state on the
node, enforce the order (kubelet before kubeadm, the API server's name before a
join, a token that the cluster gave) and fail when they are called wrongly, so
that a plan which comes to its end here was in order.
"""

from __future__ import annotations

import gzip
import io
import shutil
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from labkit.sealctl import HOSTS, program
from labkit.sealos_api import CLIENT, KUBECTL, KUBELET, SERVER
from labkit.sealos_images import SERVED, registry
from labkit.sealos_images import SERVER as SERVES
from sealboot.model.arch import Arch

RELEASE = "v1.29.9"

SEALCTL = (
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

_KUBEADM = (
    """\
K=/etc/kubernetes E=/var/lib/etcd/member
fail() { echo "kubeadm: $*" >&2; exit 1; }
"""
    + CLIENT
    + SERVED
    + """\
sum() { printf %s "$1" | sha256sum | cut -c1-64; }
minor() { echo "$1" | sed 's/^v[0-9]*[.]\\([0-9]*\\)[.].*/\\1/'; }
token() { t=$(sum "$(cat $K/pki/ca.crt)"); printf '%s.%s' "$(printf %s "$t" | cut -c1-6)" "$(printf %s "$t" | cut -c7-22)"; }
known() { case " $allowed " in *" ${1%%=*} "*) ;; *) fail "unknown flag ${1%%=*}" ;; esac; }
config() { printf 'user: %s\\nserver: %s\\n' "$1" "$2"; }
node() {
  [ -x /usr/bin/kubelet ] && [ -s /etc/containerd/config.toml ] || fail "kubelet or its runtime is not there"
  grep -q 'apiserver\\.cluster\\.local' /etc/hosts || fail "lookup apiserver.cluster.local: no such host"
  [ ! -e $K/kubelet.conf ] || fail "[ERROR FileAvailable--etc-kubernetes-kubelet.conf]"
  mkdir -p $K/manifests $K/pki /etc/cni/net.d
}
manifest() { echo 'image: registry.k8s.io/kube-apiserver:@VERSION@' >$K/manifests/kube-apiserver.yaml; }
plane() {
  served sealos.hub:5000 kube-apiserver:@VERSION@ || fail "[ERROR ImagePull] kube-apiserver:@VERSION@"
  manifest; mkdir -p $E; config "admin:$1" apiserver.cluster.local:6443 >$K/admin.conf; printf %s "$1" >$K/pki/ca.sum
  setsid perl -e '@SERVER@' $E $K ${2:-} </dev/null >/dev/null 2>&1 &
  echo $! >$K/apiserver.pid
  until (ask 127.0.0.1:6443 x readyz) 2>/dev/null; do kill -0 "$(cat $K/apiserver.pid)" || fail 'the API server died'; sleep 0.1; done
}
kubelet() {
  mkdir -p /var/lib/kubelet; echo 'release: @VERSION@' >/var/lib/kubelet/config.yaml
  [ $# = 0 ] || config "node:$1" apiserver.cluster.local:6443 >$K/kubelet.conf
}
start() {
  if [ -d /run/systemd/system ]; then systemctl daemon-reload && systemctl restart kubelet; return; fi
  exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-
  setsid /usr/bin/kubelet </dev/null >/dev/null 2>&1 &
  echo $! >/var/lib/kubelet/pid
}
admin() { as_told $K/admin.conf; release=$(ask "$server" "$who release") || exit 1; }
case "${1:-} ${2:-}" in
"version -o") [ "$3" = short ] && echo @VERSION@ ;;
"init phase")
  [ "${3:-}" = upload-certs ] && [ -s $K/admin.conf ] || fail "cannot upload certificates"
  echo "[upload-certs] Using certificate key:"; sum "key of $(cat $K/pki/ca.crt)" ;;
"token create")
  [ -s $K/admin.conf ] || fail "no such file: admin.conf"
  case "$*" in
  *--print-join-command*) echo "kubeadm join apiserver.cluster.local:6443 --token $(token) --discovery-token-ca-cert-hash sha256:$(sum "$(cat $K/pki/ca.crt)")" ;;
  *) echo "$(token)" ;;
  esac ;;
"kubeconfig user")
  [ "$3 $5 $7 $9" = "--client-name --org --validity-period --config" ] && [ "$6" = system:masters ] || fail "kubeconfig: $*"
  shift 9; [ $# = 1 ] && grep -q '^controlPlaneEndpoint: "apiserver.cluster.local:6443"' "$1" || fail "kubeconfig: no configuration"
  config "admin:$(cat $K/pki/ca.sum)" apiserver.cluster.local:6443 ;;
"upgrade plan"|"upgrade apply"|"upgrade node")
  verb=$2; shift 2; yes=; version=
  for flag; do case $flag in -y) yes=1 ;; v*) version=$flag ;; *) allowed=--ignore-preflight-errors; known "$flag" ;; esac; done
  if [ $verb = node ]; then
    as_told $K/kubelet.conf; release=$(ask "$server" "$who release") || exit 1
    [ "$release" = @VERSION@ ] || fail "the cluster is at $release, and this is kubeadm @VERSION@"
    [ ! -e $K/manifests/kube-apiserver.yaml ] || manifest
    kubelet; exit 0
  fi
  admin; [ "$version" = @VERSION@ ] || fail "this is kubeadm @VERSION@, not $version"
  step=$(( $(minor "$version") - $(minor "$release") ))
  [ $step = 0 ] || [ $step = 1 ] || fail "[upgrade/version] FATAL: from $release to $version"
  if [ $verb = plan ]; then mkdir -p $K/tmp; : >"$K/tmp/planned-$version"; exit 0; fi
  [ -n "$yes" ] || fail "[upgrade/confirm] no terminal"
  [ -e "$K/tmp/planned-$version" ] || fail "nobody has planned the upgrade to $version"
  served sealos.hub:5000 "kube-apiserver:$version" || fail "[ERROR ImagePull] kube-apiserver:$version"
  cp -r $E "$K/tmp/kubeadm-backup-etcd"; manifest; ask "$server" "$who set-release $version"; kubelet ;;
init*)
  shift; allowed='--config --skip-certificate-key-print --skip-token-print --upload-certs -v 0 --ignore-preflight-errors'
  for flag; do known "$flag"; case $flag in --config=*) config=${flag#*=} ;; esac; done
  grep -q '^kind: InitConfiguration' "$config" && grep -q '^kubernetesVersion: @VERSION@' "$config" || fail "bad configuration"
  node; echo "the CA of $(uname -n)" >$K/pki/ca.crt; mkdir -p $E; printf %s @VERSION@ >$E/release
  ca=$(sum "$(cat $K/pki/ca.crt)"); plane "$ca"; kubelet "$ca"; start ;;
join*)
  shift; allowed='--config -v 0 --ignore-preflight-errors'
  for flag; do known "$flag"; case $flag in --config=*) config=${flag#*=} ;; esac; done
  t=$(sed -n 's/.*token: "\\(.*\\)"/\\1/p' "$config"); h=$(sed -n 's/.*- "sha256:\\(.*\\)"/\\1/p' "$config")
  [ "$(printf %s "$h" | cut -c1-6).$(printf %s "$h" | cut -c7-22)" = "$t" ] || fail "the token is not this cluster's"
  release=$(ask apiserver.cluster.local:6443 "node:$h release") || exit 1
  [ "$(minor "$release")" = "$(minor @VERSION@)" ] || fail "the cluster is at $release"
  node
  if grep -q '^controlPlane:' "$config"; then
    grep -Eq 'certificateKey: "[0-9a-f]{64}"' "$config" || fail "no certificate key"
    peer=$(sed -n 's/ *apiserver\\.cluster\\.local.*//p' /etc/hosts); plane "$h" "$peer:6443"
  fi
  kubelet "$h"; start ;;
reset*)
  [ ! -e $K/apiserver.pid ] || kill "$(cat $K/apiserver.pid)"
  if [ -d /run/systemd/system ]; then systemctl stop kubelet; elif [ -e /var/lib/kubelet/pid ]; then kill "$(cat /var/lib/kubelet/pid)"; fi
  rm -rf $K/manifests $K/pki $K/admin.conf $K/kubelet.conf $K/apiserver.pid ;;
*) fail "unknown command ${1:-}" ;;
esac
""".replace("@SERVER@", SERVER)
)

_UNIT = """\
[Unit]
Description=kubelet
[Service]
Environment=RELEASE=@VERSION@
ExecStart=/usr/bin/kubelet
Restart=always
RestartSec=1
[Install]
WantedBy=multi-user.target
"""

_VERSION = '[ "${1:-}" = --version ] || exit 1; echo @VERSION@\n'

_REGISTRY = "exec perl -e '@SERVER@' \"$@\"\n".replace("@SERVER@", SERVES)

_SCRIPTS = {
    "check.sh": """[ $# = 1 ] || exit 2
! command -v containerd || { echo 'containerd is there already'; exit 1; }
for port in 10249 10250 10257 10259 5050; do
  ! (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "port $port is in use"; exit 1; }
done
[ ! -f "$1" ]
""",
    "init-registry.sh": """[ $# = 2 ] && [ -d "$1/docker" ] || { echo 'no images'; exit 1; }
mkdir -p "$2"; cp ../etc/registry.yml "$2/"
[ ! -e "$2/pid" ] || kill "$(cat "$2/pid")"
tar -xzf ../cri/registry.tar.gz -C /usr/bin registry
setsid /usr/bin/registry "$registryPort" "$1" </dev/null >/dev/null 2>&1 &
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
if [ -d /run/systemd/system ]; then
  cp ../etc/kubelet.service /etc/systemd/system/; systemctl -q --no-reload enable kubelet
fi
mkdir -p /var/lib/kubelet; echo "$SEALOS_SYS_RUN_MODE" >/var/lib/kubelet/mode
""",
    "clean.sh": """if [ -d /run/systemd/system ]; then
  systemctl -q disable --now kubelet; rm -f /etc/systemd/system/kubelet.service; systemctl daemon-reload
fi
rm -rf /usr/bin/kubeadm /usr/bin/kubelet /usr/bin/kubectl /usr/bin/crictl /var/lib/kubelet
""",
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


def files(
    arch: Arch,
    release: str = RELEASE,
    images: Mapping[str, Sequence[Arch]] | None = None,
    layer: int = 200,
) -> dict[str, bytes]:
    """Every file of the tree for `arch`; `images` are those of its registry, else what kubeadm pulls."""

    def made(text: str) -> bytes:
        return program(arch, text, release)

    served = images if images is not None else {f"kube-apiserver:{release}": (Arch.AMD64, Arch.ARM64)}
    return {
        "bin/kubeadm": made(_KUBEADM),
        "bin/kubectl": made(KUBECTL),
        "bin/kubelet": made(KUBELET),
        "bin/crictl": made(_VERSION),
        "opt/sealctl": made(SEALCTL),
        "cri/cri-containerd.tar.gz": _targz(
            {"usr/bin/containerd": made(_VERSION), "usr/bin/runc": made(_VERSION)}
        ),
        "cri/registry.tar.gz": _targz({"registry": made(_REGISTRY)}),
        "etc/registry.yml.tmpl": b"domain: {{ .registryDomain }}\n",
        "etc/config.toml.tmpl": b'mode = "{{ .mode }}"\n',
        "etc/kubelet.service": _UNIT.replace("@VERSION@", release).encode(),
        "statics/audit-policy.yml": b"kind: Policy\n",
        **{f"scripts/{name}": b"#!/bin/bash\n" + text.encode() for name, text in _SCRIPTS.items()},
        **registry(served, layer=layer),
    }


def folder(
    path: Path,
    arch: Arch,
    release: str = RELEASE,
    images: Mapping[str, Sequence[Arch]] | None = None,
    layer: int = 200,
) -> Path:
    """The tree as a folder, as `sealos build` leaves one; what lay there before is gone."""
    shutil.rmtree(path, ignore_errors=True)
    for name, data in files(arch, release, images, layer).items():
        place = path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        place.chmod(0o755 if data[:2] in {b"\x7fE", b"#!"} else 0o644)
    return path
