"""A stand-in for a Sealos root filesystem: its layout and rules, in programs that are true ELF and small.

Written after what the commands are documented to do, and after what the real ones did (sealctl 5.1.1, kubeadm and
kubelet 1.36.3, docker-registry 2.8.2) with the scripts of labring-actions/runtime. They keep state on the
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
from labkit.sealos_cri import CONTAINERD, CRI_CLIENT, CRICTL, RUNNING, SHIM
from labkit.sealos_images import SERVER as SERVES
from labkit.sealos_images import registry
from sealboot.model.arch import Arch

RELEASE = "v1.29.9"
#: The pause image that this tree's kubeadm wants and its registry has.
PAUSE = "3.10.2"

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
  for folder; do
    [ -d "$folder" ] || continue
    find "$folder" -name '*.tmpl' | while read -r f; do
      cp "$f" "${f%.tmpl}"
      for name in $(grep -o '{{ [.][A-Za-z_]* }}' "$f" | tr -d '{}. ' | sort -u); do
        eval "value=\\${$name-<no value>}"
        sed "s|{{ .$name }}|$value|g" "${f%.tmpl}" >"$f.new"; mv "$f.new" "${f%.tmpl}"
      done
      [ -z "$clear" ] || rm "$f"
      echo "rendered $f"
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
# The reason comes last, after some 20,000 characters of kernel options in colour and of what went well.
fail() {
  n=0; while [ $n -lt 300 ]; do printf '\\033[0;37mCONFIG_OPTION_%s\\033[0m: \\033[0;32menabled (as module)\\033[0m\\n' $n; n=$((n + 1)); done >&2
  echo "kubeadm: $*" >&2; exit 1
}
"""
    + CLIENT
    + CRI_CLIENT
    + """\
images() { for image in kube-apiserver:@VERSION@ pause:@PAUSE@; do echo "registry.k8s.io/$image"; done; }
# kubeadm asks the runtime itself for names of the public registry, unless its configuration forbids it.
pulled() {
  ! grep -q '^ *imagePullPolicy: Never' "$1" || return 0
  socket=$(sed -n 's/^ *criSocket: //p' "$1"); [ -n "$socket" ] || socket=unix:///run/containerd/containerd.sock
  for image in $(images); do cri "$socket" "$image" || fail "[ERROR ImagePull]: failed to pull image $image"; done
}
api() { if [ "$(minor @VERSION@)" -ge 31 ]; then echo v1beta4; else echo v1beta3; fi; }
# v1beta4 is unknown before v1.31, v1beta3 gone in v1.37; what lies between is taken with a warning.
reads() { grep -qx "apiVersion: kubeadm.k8s.io/$(api)" "$1" || fail "no kind for version $(grep '^apiVersion: kubeadm' "$1" | head -n 1)"; }
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
  # kubelet starts the static pods: the pause image by the runtime's name for it, the rest through the shim.
  shim=$(sed -n 's/.*--image-service-endpoint=\\(.*\\)/\\1/p' /etc/kubelet-flags)
  cri "$shim" registry.k8s.io/kube-apiserver:@VERSION@ || fail "[kubelet-check] kube-apiserver is not running"
  cri /run/containerd/containerd.sock "$(sed -n 's/^sandbox = "\\(.*\\)"/\\1/p' /etc/containerd/config.toml)" || fail "[kubelet-check] no sandbox"
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
"config images")
  [ "$3 $4 $5" = "list --kubernetes-version @VERSION@" ] || fail "config images: $*"; images ;;
"upgrade plan"|"upgrade apply"|"upgrade node")
  verb=$2; shift 2; yes=; version=; config=; pull=1
  while [ $# -gt 0 ]; do
    case $1 in
    -y) yes=1 ;; v*) version=$1 ;; --config) config=$2; shift ;;
    *) allowed=--ignore-preflight-errors; known "$1"; case $1 in *ImagePull*) pull= ;; esac ;;
    esac
    shift
  done
  if [ -n "$config" ]; then
    [ "$(minor @VERSION@)" -ge 31 ] && grep -qx 'kind: UpgradeConfiguration' "$config" || fail "unknown flag --config"
    reads "$config"; version=$(sed -n 's/^ *kubernetesVersion: //p' "$config")
  else config=/dev/null; fi
  [ -z "$pull" ] || [ $verb = plan ] || pulled "$config"
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
  cri /var/run/image-cri-shim.sock "registry.k8s.io/kube-apiserver:$version" || fail "[upgrade/apply] kube-apiserver did not come up"
  cp -r $E "$K/tmp/kubeadm-backup-etcd"; manifest; ask "$server" "$who set-release $version"; kubelet ;;
init*)
  shift; allowed='--config --skip-certificate-key-print --skip-token-print --upload-certs -v 0 --ignore-preflight-errors'
  for flag; do known "$flag"; case $flag in --config=*) config=${flag#*=} ;; esac; done
  grep -q '^kind: InitConfiguration' "$config" && grep -q '^kubernetesVersion: @VERSION@' "$config" || fail "bad configuration"
  reads "$config"; pulled "$config"
  node; echo "the CA of $(uname -n)" >$K/pki/ca.crt; mkdir -p $E; printf %s @VERSION@ >$E/release
  ca=$(sum "$(cat $K/pki/ca.crt)"); plane "$ca"; kubelet "$ca"; start ;;
join*)
  shift; allowed='--config -v 0 --ignore-preflight-errors'
  for flag; do known "$flag"; case $flag in --config=*) config=${flag#*=} ;; esac; done
  reads "$config"
  t=$(sed -n 's/.*token: "\\(.*\\)"/\\1/p' "$config"); h=$(sed -n 's/.*- "sha256:\\(.*\\)"/\\1/p' "$config")
  [ "$(printf %s "$h" | cut -c1-6).$(printf %s "$h" | cut -c7-22)" = "$t" ] || fail "the token is not this cluster's"
  release=$(ask apiserver.cluster.local:6443 "node:$h release") || exit 1
  [ "$(minor "$release")" = "$(minor @VERSION@)" ] || fail "the cluster is at $release"
  node
  if grep -q '^controlPlane:' "$config"; then
    grep -Eq 'certificateKey: "[0-9a-f]{64}"' "$config" || fail "no certificate key"
    pulled "$config"
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
cp -au ../cri/registry /usr/bin/
cp -a ../etc/registry_htpasswd "$2"
setsid /usr/bin/registry "$registryPort" "$1" "$2/registry_htpasswd" </dev/null >/dev/null 2>&1 &
echo $! >"$2/pid"
""",
    "init-cri.sh": RUNNING
    + """[ "$1:$2" = "$registryDomain:$registryPort" ] || exit 2
tar -xzf ../cri/cri-containerd.tar.gz -C /
mkdir -p /etc/containerd; cp ../etc/config.toml /etc/containerd/
running /usr/bin/containerd
""",
    # `init-shim.sh` and `init-kube.sh`: no `set -e`; a program that runs is not written to (ETXTBSY, which a stand-in
    # that has become its shell would not give: kubelet has noted which file it was started from).
    "init.sh": RUNNING
    + """grep 127.0.0.1 <(grep localhost /etc/hosts) >/dev/null || echo '127.0.0.1 localhost' >>/etc/hosts
grep ::1 <(grep localhost /etc/hosts) >/dev/null || echo '::1 localhost' >>/etc/hosts
cp -a ../etc/image-cri-shim.yaml ../etc/crictl.yaml /etc; cp -rf ../cri/image-cri-shim /usr/bin
running /usr/bin/image-cri-shim
for program in ../bin/*; do
  there=/usr/bin/${program##*/}
  if [ -e "$there" ] && [ "$(stat -c %i "$there")" = "$(cat /run/kubelet.inode 2>/dev/null)" ] &&
    kill -0 "$(cat /run/kubelet.pid 2>/dev/null)" 2>/dev/null; then
    echo "cp: cannot create regular file '$there': Text file busy" >&2
  else cp -a "$program" "$there"; fi
done
crictl pull "$registryDomain:$registryPort/$sandboxImage"
cp ../etc/kubelet-flags /etc/
if [ -d /run/systemd/system ]; then
  cp ../etc/kubelet.service /etc/systemd/system/; systemctl -q --no-reload enable kubelet
fi
mkdir -p /var/lib/kubelet; echo "$SEALOS_SYS_RUN_MODE" >/var/lib/kubelet/mode
""",
    "clean.sh": RUNNING
    + """if [ -d /run/systemd/system ]; then
  systemctl -q disable --now kubelet; rm -f /etc/systemd/system/kubelet.service; systemctl daemon-reload
fi
stopped image-cri-shim
rm -rf /usr/bin/kubeadm /usr/bin/kubelet /usr/bin/kubectl /usr/bin/crictl /var/lib/kubelet /run/kubelet.*
rm -rf /usr/bin/image-cri-shim /etc/image-cri-shim.yaml /etc/crictl.yaml /etc/kubelet-flags /run/image-cri-shim.sock
""",
    "clean-cri.sh": RUNNING
    + "stopped containerd\nrm -rf /usr/bin/containerd /usr/bin/runc /etc/containerd /run/containerd\n",
    "clean-registry.sh": '[ ! -e "$2/pid" ] || kill "$(cat "$2/pid")"; rm -rf "$2" "$1" /usr/bin/registry\n',
}


_ETC = {
    "config.toml.tmpl": """mode = "{{ .SEALOS_SYS_RUN_MODE }}"
address = "{{ .SEALOS_SYS_CRI_ENDPOINT }}"
registry = "{{ .registryDomain }}:{{ .registryPort }}"
auth = "YWRtaW46cGFzc3cwcmQ="
sandbox = "{{ .registryDomain }}:{{ .registryPort }}/{{ .sandboxImage }}"
""",
    "image-cri-shim.yaml.tmpl": """shim: {{ .SEALOS_SYS_IMAGE_ENDPOINT }}
cri: {{ .SEALOS_SYS_CRI_ENDPOINT }}
address: {{ .registryDomain }}:{{ .registryPort }}
auth: {{ .registryUsername }}:{{ .registryPassword }}
""",
    # Both have the shim's socket written in, whatever the variables say.
    "crictl.yaml": "runtime-endpoint: unix:///run/containerd/containerd.sock\n"
    "image-endpoint: unix:///var/run/image-cri-shim.sock\n",
    "kubelet-flags": "--image-service-endpoint=unix:///var/run/image-cri-shim.sock\n",
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
        return program(arch, text.replace("@PAUSE@", PAUSE), release)

    both = (Arch.AMD64, Arch.ARM64)
    served = {f"kube-apiserver:{release}": both, f"pause:{PAUSE}": both} if images is None else images
    return {
        "bin/kubeadm": made(_KUBEADM),
        "bin/kubectl": made(KUBECTL),
        "bin/kubelet": made(KUBELET),
        "bin/crictl": made(CRICTL),
        "opt/sealctl": made(SEALCTL),
        "cri/cri-containerd.tar.gz": _targz(
            {"usr/bin/containerd": made(CONTAINERD), "usr/bin/runc": made(_VERSION)}
        ),
        "cri/registry": made(_REGISTRY),
        "cri/image-cri-shim": made(SHIM),
        "etc/registry.yml.tmpl": b"domain: {{ .registryDomain }}\n",
        **{f"etc/{name}": text.encode() for name, text in _ETC.items()},
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
        place.chmod(0o755 if data[:2] == b"\x7fE" else 0o644)  # scripts are none that could be started
    return path
