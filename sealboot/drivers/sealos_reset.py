"""A sealos cluster taken down again: nodes first, then masters from the last to the first.

What is undone is what the stages did, in the reverse order, with the root
filesystem's own scripts while it is still there; what `kubeadm reset` leaves
(rules of iptables, a network plugin's interfaces) is left. A hosts file that was only
changed by us becomes the copy that was kept; one that others have written to
since only loses our entries.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence

from sealboot.drivers.sealos_hosts_scripts import REMOVE_HOSTS, has_none
from sealboot.drivers.sealos_marks import DONE
from sealboot.drivers.sealos_scripts import ipvs_rule
from sealboot.drivers.sealos_steps import Cluster
from sealboot.model.host import Host
from sealboot.model.plan import Wave
from sealboot.model.steps import PathExists, Remove, Run, Step, Succeeds

_NODE_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", re.ASCII)
_FOLDERS = ("/etc/kubernetes", "/etc/cni", "/opt/cni")

#: `kubeadm` is asked only where it did something: a host that is none of ours is left alone.
_LEAVE = f"""set -u
if [ -e "$DATA/{DONE}/kubeadm" ] || [ -e "$DATA/{DONE}/kubeadm.begun" ]; then
  kubeadm reset -f --cri-socket "$CRI" || exit $?
  rm -rf {" ".join(_FOLDERS)} "$ETCD"
  ip link delete kube-ipvs0 2>/dev/null
  rm -f "$DATA/{DONE}/kubeadm" "$DATA/{DONE}/kubeadm.begun"
fi
exit 0
"""

#: The static pod first, which would make the rule again; only a manifest that is about our address.
_UNBALANCE = """set -u
if grep -qsF -e "$VS" "$MANIFEST"; then rm -f "$MANIFEST" || exit 1; fi
if grep -qsF -e "$RULE" /proc/net/ip_vs; then "$SEALCTL" ipvs --vs "$VS" -C || exit $?; fi
exit 0
"""

#: Whoever leaves is no longer a node of a cluster that goes on; a master that goes itself can still say so.
_DELETE = """set -eu
kubectl --kubeconfig /etc/kubernetes/admin.conf delete node $NAMES --ignore-not-found --request-timeout=60s
"""

#: An API server that does not answer keeps nobody from leaving.
_LISTED = (
    "kubectl --kubeconfig /etc/kubernetes/admin.conf get nodes -o name --request-timeout=10s 2>/dev/null"
)

_CLEAN = f"""set -u
cd "$DATA/rootfs/scripts" || exit 1
if [ -e "$DATA/{DONE}/init" ]; then
  bash clean.sh && bash clean-cri.sh || exit $?
  rm -f "$DATA/{DONE}/init"
fi
if [ -e "$DATA/{DONE}/registry" ]; then
  bash clean-registry.sh "$registryData" "$registryConfig" || exit $?
  [ "$(readlink "$registryData")" != "$DATA/rootfs/registry" ] || rm -f "$registryData"
  rm -f "$DATA/{DONE}/registry"
fi
exit 0
"""

#: Folders above the data that nobody else uses go as well.
_FORGET = """set -u
case $DATA in /var/lib/sealos/*) ;; *) exit 0 ;; esac
rmdir "${DATA%/*}" 2>/dev/null && rmdir "$(dirname "${DATA%/*}")" 2>/dev/null
exit 0
"""


def waves(cluster: Cluster) -> tuple[Wave, ...]:
    """What takes the selected hosts out of the cluster."""
    hosts = cluster.ctx.reached
    nodes = [h for h in hosts if h.role == "node"]
    masters = [h for h in reversed(hosts) if h.role == "master"]
    stages = (
        Wave(
            "leave-nodes",
            "Take the nodes out",
            tuple(s for h in nodes for s in (_leave(cluster, h), _unbalance(cluster, h))),
        ),
        Wave("delete-nodes", "Delete their objects", tuple(_delete(cluster, [*nodes, *masters]))),
        Wave("leave-masters", "Take the masters down", tuple(_leave(cluster, h) for h in masters), 1),
        Wave("clean", "Remove runtime and kubelet", tuple(_clean(cluster, h) for h in hosts)),
        Wave("hosts", "Put the hosts files back", tuple(_hosts(cluster, h) for h in hosts)),
        Wave("forget", "Remove the root filesystem", tuple(s for h in hosts for s in _forget(cluster, h))),
    )
    return tuple(wave for wave in stages if wave.steps)


def _data(cluster: Cluster, host: Host) -> str:
    return cluster.options.data(cluster.ctx.inventory, host)


def _run(cluster: Cluster, host: Host, named: tuple[str, str], check: str, script: str, **env: str) -> Run:
    step, title = named
    return Run(
        id=f"reset/{host.name}/{step}",
        host=host.name,
        title=title,
        timeout=900.0,
        check=Succeeds(check),
        script=script,
        env={"DATA": _data(cluster, host), **env},
    )


def _gone(cluster: Cluster, host: Host, *names: str) -> str:
    """Succeeds when none of these things was done here, or all were undone."""
    folder = f"{_data(cluster, host)}/{DONE}"
    return "".join(f"[ ! -e {shlex.quote(f'{folder}/{name}')} ] || exit 1\n" for name in names)


def _leave(cluster: Cluster, host: Host) -> Step:
    options = cluster.options
    return _run(
        cluster,
        host,
        ("kubeadm", "kubeadm reset"),
        _gone(cluster, host, "kubeadm", "kubeadm.begun"),
        _LEAVE,
        CRI=options.cri_socket,
        ETCD=options.etcd_data,
    )


def _unbalance(cluster: Cluster, host: Host) -> Step:
    """Where nothing of it is there, there was none: hosts of a cluster without balancing answer so."""
    options = cluster.options
    manifest, served = (
        f"{options.manifests}/{options.lvscare_name}.yaml",
        f"{options.vip}:{options.apiserver_port}",
    )
    rule = ipvs_rule(options.vip, options.apiserver_port)
    asked = (
        f"grep -qsF -e {shlex.quote(served)} {shlex.quote(manifest)} && exit 1\n"
        f"grep -qsF -e {shlex.quote(rule)} /proc/net/ip_vs && exit 1\nexit 0\n"
    )
    return _run(
        cluster,
        host,
        ("balancing", f"stop balancing {served}"),
        asked,
        _UNBALANCE,
        MANIFEST=manifest,
        VS=served,
        RULE=rule,
        SEALCTL=cluster.sealctl(host),
    )


def _delete(cluster: Cluster, leaving: Sequence[Host]) -> Iterator[Step]:
    """By the master that goes last; without one in this run there is nobody who may."""
    asking = next((h for h in cluster.ctx.reached if h.role == "master"), None)
    known = [cluster.ctx.facts[h.name].hostname.lower() for h in leaving]
    names = [name for name in known if _NODE_NAME.fullmatch(name)]
    if asking is None or not names:
        return
    there = " ".join(f"-e node/{name}" for name in names)
    yield _run(
        cluster,
        asking,
        ("nodes", "delete the objects of the nodes that leave"),
        f"{_LISTED} | grep -qxF {there} && exit 1\nexit 0\n",
        _DELETE,
        NAMES=" ".join(names),
    )


def _clean(cluster: Cluster, host: Host) -> Step:
    options = cluster.options
    return _run(
        cluster,
        host,
        ("scripts", "run the root filesystem's own clean-up"),
        _gone(cluster, host, "init", "registry"),
        _CLEAN,
        registryData=options.registry_data,
        registryConfig=options.registry_config,
    )


def _hosts(cluster: Cluster, host: Host) -> Step:
    options = cluster.options
    domains = (options.registry_domain, options.apiserver_domain, options.lvscare_domain)
    return _run(
        cluster,
        host,
        ("hosts", f"put {options.hosts_file} back"),
        has_none(options.hosts_file, domains),
        REMOVE_HOSTS,
        HOSTS_FILE=options.hosts_file,
        KEPT=f"{_data(cluster, host)}/{DONE}/hosts",
        DOMAINS=" ".join(domains),
    )


def _forget(cluster: Cluster, host: Host) -> Iterator[Step]:
    data, sealctl = _data(cluster, host), cluster.sealctl(host)
    if not sealctl.startswith(f"{data}/"):  # `paths.binary` has put it where other things may be
        yield Remove(
            id=f"reset/{host.name}/sealctl",
            host=host.name,
            title=f"remove {sealctl}",
            timeout=60.0,
            check=PathExists(sealctl, present=False),
            path=sealctl,
        )
    removed = f"reset/{host.name}/data"
    yield Remove(
        id=removed,
        host=host.name,
        title=f"remove {data}",
        timeout=600.0,
        check=PathExists(data, present=False),
        path=data,
        recursive=True,
    )
    yield Run(
        id=f"reset/{host.name}/parents",
        host=host.name,
        title="remove the folders above it that are empty",
        timeout=60.0,
        script=_FORGET,
        env={"DATA": data},
        only_after=(removed,),
    )
