"""k3s taken off its hosts again: agents at once, then the servers from the last to the first.

A unit of our own has no uninstaller of k3s' own, so this is one. Pods outlive
their service (`KillMode=process`), so their shims are ended with everything
below them; what they mounted is unmounted; and nothing is deleted while
something is still mounted there, because that would delete a volume's data.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from sealboot.drivers.k3s_config import CONFIG_DIR, SERVICES
from sealboot.drivers.k3s_options import K3sOptions
from sealboot.model.host import Host
from sealboot.model.plan import PathExists, Remove, Run, Service, ServiceIs, Step, Succeeds, Wave

#: What k3s makes outside of its data directory.
_ELSEWHERE = (CONFIG_DIR, "/etc/rancher/node", "/run/k3s", "/run/flannel", "/var/lib/kubelet", "/var/lib/cni")
#: What k3s makes in it; anything else in a directory that the operator chose is not ours.
_INSIDE = ("agent", "data", "server", "storage")
_LINKS = ("cni0", "flannel.1", "flannel-v6.1", "flannel-wg", "flannel-wg-v6", "kube-ipvs0")

_CLEAN = """set -u
sb_end() {
  for sb_child in $(cat /proc/"$1"/task/*/children 2>/dev/null); do sb_end "$sb_child"; done
  kill -9 "$1" 2>/dev/null
}
for sb_proc in /proc/[0-9]*; do
  case $(tr '\\0' ' ' <"$sb_proc/cmdline" 2>/dev/null) in
    "$DATA"/data/*containerd-shim*|*containerd-shim*' /run/k3s/containerd/'*) sb_end "${sb_proc#/proc/}" ;;
  esac
done
sb_mounts() {
  while read -r _ sb_at _; do
    for sb_place in $PLACES; do case $sb_at in "$sb_place"|"$sb_place"/*) echo "$sb_at" ;; esac; done
  done </proc/mounts | sort -r
}
for sb_at in $(sb_mounts); do umount "$sb_at" || umount -l "$sb_at"; done
sb_left=$(sb_mounts)
[ -z "$sb_left" ] || { echo "still mounted, so nothing was deleted: $sb_left" >&2; exit 1; }
for sb_link in $LINKS; do ip link delete "$sb_link" 2>/dev/null; done
for sb_tables in iptables ip6tables; do
  command -v "$sb_tables-save" >/dev/null 2>&1 || continue
  "$sb_tables-save" | grep -v -e KUBE- -e CNI- -e flannel | "$sb_tables-restore"
done
rm -rf $PLACES $UNITS || exit 1
for sb_parent in "$DATA" /var/lib/rancher /etc/rancher; do rmdir "$sb_parent" 2>/dev/null; done
command -v systemctl >/dev/null 2>&1 && [ -d /run/systemd/system ] && systemctl daemon-reload
exit 0
"""


def waves(options: K3sOptions, hosts: Sequence[Host]) -> tuple[Wave, ...]:
    """What takes k3s off these hosts, with all that it kept."""
    agents = tuple(s for h in hosts if h.role == "agent" for s in _steps(options, h))
    servers = tuple(s for h in reversed(hosts) if h.role == "server" for s in _steps(options, h))
    stages = (
        Wave("reset-agents", "Take k3s off the agents", agents),
        Wave("reset-servers", "Take k3s off the servers", servers, 1),
    )
    return tuple(wave for wave in stages if wave.steps)


def _steps(options: K3sOptions, host: Host) -> tuple[Step, ...]:
    name, service, data = host.name, SERVICES[host.role], options.data(host)
    places = (*(f"{data}/{part}" for part in _INSIDE), *_ELSEWHERE)
    units = (f"/etc/systemd/system/{service}.service", f"/etc/systemd/system/{service}.service.env")
    gone = " && ".join(
        f"[ ! -e {shlex.quote(path)} ]" for path in (*places, *units, f"/etc/init.d/{service}")
    )
    return (
        Service(
            id=f"reset/{name}/service",
            host=name,
            title=f"stop {service}",
            timeout=120.0,
            check=ServiceIs(service, active=False, enabled=False),
            name=service,
            state="stopped",
            enabled=False,
        ),
        Run(
            id=f"reset/{name}/clean",
            host=name,
            title="end pods, unmount, and remove what k3s kept",
            timeout=600.0,
            check=Succeeds(f"{gone}\n"),
            script=_CLEAN,
            env={
                "DATA": data,
                "PLACES": " ".join(places),
                "UNITS": " ".join((*units, f"/etc/init.d/{service}")),
                "LINKS": " ".join(_LINKS),
            },
        ),
        Remove(
            id=f"reset/{name}/program",
            host=name,
            title=f"remove {options.binary(host)}",
            timeout=60.0,
            check=PathExists(options.binary(host), present=False),
            path=options.binary(host),
        ),
    )
