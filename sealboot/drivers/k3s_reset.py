"""k3s taken off its hosts again: agents at once, then the servers from the last to the first.

A unit of our own has no uninstaller of k3s' own, so this is one. Pods outlive
their service (`KillMode=process`), so their shims are ended with everything
below them; what they mounted is unmounted; and nothing is deleted while
something is still mounted there, because that would delete a volume's data.

What is not of our making is not touched: before the service is stopped, each
host has to show that its k3s was set up by us, with its data where the
inventory says. `config.yaml`, which shows it, is removed last, so that a run
which was cut off is taken up again.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from sealboot.drivers.k3s_config import CONFIG_DIR, MADE_BY, SERVICES
from sealboot.drivers.k3s_options import K3sOptions
from sealboot.model.host import Host
from sealboot.model.plan import PathExists, Remove, Run, Service, ServiceIs, Step, Succeeds, Wave

#: What k3s makes outside of its data directory, and shares with every other kubelet.
_ELSEWHERE = ("/etc/rancher/node", "/run/k3s", "/run/flannel", "/var/lib/kubelet", "/var/lib/cni")
#: What k3s makes in it; anything else in a directory that the operator chose is not ours.
_INSIDE = ("agent", "data", "server", "storage")
_LINKS = ("cni0", "flannel.1", "flannel-v6.1", "flannel-wg", "flannel-wg-v6", "kube-ipvs0")
#: EX_DATAERR of sysexits.h: something is there that the step will not touch.
_REFUSED = 65

_OURS = f"""set -u
sb_config={CONFIG_DIR}/config.yaml
sb_refuse() {{ echo "$1: it is left as it is" >&2; exit {_REFUSED}; }}
for sb_file in "$sb_config" $UNITS; do
  [ ! -e "$sb_file" ] || grep -qF {shlex.quote(MADE_BY)} "$sb_file" || sb_refuse "$sb_file is not of our making"
done
for sb_file in $OTHERS; do
  [ ! -e "$sb_file" ] || sb_refuse "the service of the other role is here, $sb_file"
done
if [ -e "$sb_config" ]; then
  sb_data=$(sed -n 's/^data-dir: *//p' "$sb_config")
  sb_data=${{sb_data:-/var/lib/rancher/k3s}}
  [ "$sb_data" = "$DATA" ] || sb_refuse "k3s keeps its data in $sb_data, the inventory says $DATA"
  [ ! -e /etc/kubernetes/kubelet.conf ] || sb_refuse 'this host is a node of a kubeadm cluster'
else
  for sb_part in server agent/containerd agent/kubelet.kubeconfig; do
    [ ! -e "$DATA/$sb_part" ] || sb_refuse "$DATA/$sb_part is there, and no config.yaml of ours"
  done
fi
exit 0
"""

# A link is removed, never what it points to; what is mounted below that is unmounted all the same.
_CLEAN = f"""set -u
sb_end() {{
  for sb_child in $(cat /proc/"$1"/task/*/children 2>/dev/null); do sb_end "$sb_child"; done
  kill -9 "$1" 2>/dev/null
}}
sb_real() {{ (CDPATH= cd -P -- "$1" 2>/dev/null && pwd -P); }}
sb_all=$(for sb_place in $PLACES; do printf '%s\\n' "$sb_place"; sb_real "$sb_place"; done 2>/dev/null | sort -u)
sb_mounts() (
  set -f
  IFS='
'
  while IFS=' ' read -r _ sb_at _; do
    case $sb_at in *\\0*) sb_at=$(printf '%b.' "$sb_at"); sb_at=${{sb_at%.}} ;; esac
    for sb_place in $sb_all; do
      case $sb_at in "$sb_place"|"$sb_place"/*) printf '%s\\n' "$sb_at"; break ;; esac
    done
  done </proc/mounts | sort -r
)
if [ -e {CONFIG_DIR}/config.yaml ]; then
  for sb_proc in /proc/[0-9]*; do
    sb_line=$({{ tr '\\0' ' ' <"$sb_proc/cmdline"; }} 2>/dev/null)
    case ${{sb_line%% *}} in containerd-shim*|*/containerd-shim*) ;; *) continue ;; esac
    case $sb_line in
      "$DATA"/data/*|*' /run/k3s/containerd/'*) sb_end "${{sb_proc#/proc/}}" ;;
    esac
  done
  sb_mounts | while IFS= read -r sb_at; do umount "$sb_at" || umount -l "$sb_at"; done
  sb_left=$(sb_mounts)
  [ -z "$sb_left" ] || {{ echo "still mounted, so nothing was deleted: $sb_left" >&2; exit 1; }}
  for sb_link in $LINKS; do ip link delete "$sb_link" 2>/dev/null; done
  for sb_tables in iptables ip6tables; do
    command -v "$sb_tables-save" >/dev/null 2>&1 || continue
    sb_rules=$("$sb_tables-save") || continue
    printf '%s\\n' "$sb_rules" | grep -v -e KUBE- -e CNI- -e flannel | "$sb_tables-restore"
  done
  rm -rf $PLACES || exit 1
else
  rm -rf "$DATA/agent/images" || exit 1
  rmdir "$DATA/agent" 2>/dev/null
fi
rm -f $UNITS || exit 1
command -v systemctl >/dev/null 2>&1 && [ -d /run/systemd/system ] && systemctl daemon-reload
for sb_parent in "$DATA" /var/lib/rancher; do rmdir "$sb_parent" 2>/dev/null; done
rm -rf {CONFIG_DIR} || exit 1
rmdir /etc/rancher 2>/dev/null
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


def _units(service: str) -> tuple[str, ...]:
    return (f"/etc/systemd/system/{service}.service", f"/etc/init.d/{service}")


def _steps(options: K3sOptions, host: Host) -> tuple[Step, ...]:
    name, service, data = host.name, SERVICES[host.role], options.data(host)
    units = _units(service)
    other = next(label for role, label in SERVICES.items() if role != host.role)
    ours = _set(UNITS=" ".join(units), OTHERS=" ".join(_units(other)), DATA=data) + _OURS
    gone = " && ".join(
        f"[ ! -e {shlex.quote(path)} ]" for path in (CONFIG_DIR, f"{data}/agent/images", *units)
    )
    return (
        Run(
            id=f"reset/{name}/ours",
            host=name,
            title="make sure that its k3s is of our making",
            timeout=60.0,
            check=Succeeds(ours),
            script=ours,
        ),
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
                "PLACES": " ".join((*(f"{data}/{part}" for part in _INSIDE), *_ELSEWHERE)),
                "UNITS": " ".join((*units, f"{units[0]}.env")),
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


def _set(**values: str) -> str:
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())
