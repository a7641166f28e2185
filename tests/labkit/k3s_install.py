"""A stand-in for k3s' install.sh, after its documentation: it makes the service, and knows no internet.

It keeps what is easily got wrong: everything called `K3S_*` in its environment goes into the service's
environment file, `ARCH` overrules `uname`, and a service is not started when program, unit and
environment are what they were when the script began.
"""

from __future__ import annotations

INSTALL_SH = r"""#!/bin/sh
set -eu
fail() { echo "[ERROR]  $*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || fail "root is needed"
[ "${INSTALL_K3S_SKIP_DOWNLOAD:-}" = true ] || fail "Can not download: there is no internet"
[ -z "${ARCH:-}" ] || fail "an architecture was forced: $ARCH"
bin=${INSTALL_K3S_BIN_DIR:-/usr/local/bin}
[ -x "$bin/k3s" ] || fail "Executable k3s binary not found at $bin/k3s"
set -- ${INSTALL_K3S_EXEC:-server}
role=$1
[ "$role" = server ] && name=k3s || name=k3s-$role
if command -v rc-update >/dev/null 2>&1; then unit=/etc/init.d/$name env=/etc/rancher/k3s/$name.env
else unit=/etc/systemd/system/$name.service env=$unit.env; fi
hashes() { sha256sum "$bin/k3s" "$unit" "$env" 2>/dev/null || :; }
before=$(hashes)

for tool in kubectl crictl ctr; do
  [ -e "$bin/$tool" ] || ln -s k3s "$bin/$tool"
done
cat >"$bin/k3s-killall.sh" <<KILLALL
#!/bin/sh
if command -v rc-service >/dev/null 2>&1; then rc-service $name stop || :; else systemctl stop $name.service; fi
KILLALL
cat >"$bin/$name-uninstall.sh" <<UNINSTALL
#!/bin/sh
$bin/k3s-killall.sh
if command -v rc-update >/dev/null 2>&1; then rc-update delete $name default || :
else systemctl disable $name.service; systemctl reset-failed $name.service; systemctl daemon-reload; fi
rm -f $unit $env
for tool in kubectl crictl ctr; do [ ! -L $bin/\$tool ] || rm -f $bin/\$tool; done
rm -rf /etc/rancher/k3s /run/k3s /run/flannel /var/lib/rancher/k3s /var/lib/kubelet
rm -f $bin/k3s $bin/k3s-killall.sh $bin/$name-uninstall.sh
UNINSTALL
chmod 0755 "$bin/k3s-killall.sh" "$bin/$name-uninstall.sh"

mkdir -p "${env%/*}"
touch "$env"
chmod 0600 "$env"
export | sed 's/^export //' | grep -E '^(K3S|CONTAINERD)_|^(NO|HTTP|HTTPS)_PROXY=' >"$env" || :

case $unit in
*.service)
  cat >"$unit" <<UNIT
[Unit]
Description=Lightweight Kubernetes
Wants=network-online.target
After=network-online.target

[Install]
WantedBy=multi-user.target

[Service]
Type=notify
EnvironmentFile=-/etc/default/%N
EnvironmentFile=-$env
KillMode=process
Delegate=yes
TimeoutStartSec=0
Restart=always
RestartSec=5s
ExecStart=$bin/k3s $*
UNIT
  chmod 0644 "$unit"
  [ "${INSTALL_K3S_SKIP_ENABLE:-}" = true ] && exit 0
  systemctl enable "$unit" >/dev/null
  systemctl daemon-reload ;;
*)
  cat >"$unit" <<UNIT
#!/sbin/openrc-run
depend() {
    after network-online
}
supervisor=supervise-daemon
name=$name
command="$bin/k3s"
command_args="$*"
output_log=/var/log/$name.log
error_log=/var/log/$name.log
pidfile=/var/run/$name.pid
respawn_delay=5
respawn_max=0
set -o allexport
if [ -f $env ]; then . $env; fi
set +o allexport
UNIT
  chmod 0755 "$unit"
  [ "${INSTALL_K3S_SKIP_ENABLE:-}" = true ] && exit 0
  rc-update add "$name" default >/dev/null ;;
esac

[ "${INSTALL_K3S_SKIP_START:-}" = true ] && exit 0
if [ "$before" = "$(hashes)" ] && [ "${INSTALL_K3S_FORCE_RESTART:-}" != true ]; then
  echo "[INFO]  No change detected so skipping service start"
  exit 0
fi
case $unit in
*.service) systemctl restart "$name" ;;
*) rc-service "$name" restart ;;
esac
"""


def install_sh() -> bytes:
    """The script as a file."""
    return INSTALL_SH.encode()
