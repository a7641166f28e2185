"""Steps that sealctl takes on a sealos node, whichever way it came there: names, balancing, the static pod."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sealboot.drivers import sealos_hosts_scripts as hosts
from sealboot.drivers import sealos_scripts as scripts
from sealboot.drivers.base import Context
from sealboot.drivers.sealos_options import SealosOptions
from sealboot.drivers.sealos_tree import has_tree
from sealboot.model.host import Host
from sealboot.model.steps import Run, Step, Succeeds


@dataclass(frozen=True, slots=True)
class Cluster:
    """The cluster as the stages see it: who is who, and the addresses they use."""

    ctx: Context
    options: SealosOptions
    registry_ip: str
    masters: tuple[str, ...]

    @property
    def release(self) -> str:
        """The release of Kubernetes that is wanted."""
        return self.options.release(self.ctx.inventory)

    def sealctl(self, host: Host) -> str:
        """Where sealctl is on this host: in its root filesystem, where there is one, whatever `paths.binary` says."""
        if has_tree(self.ctx.inventory):
            return f"{self.options.rootfs(self.ctx.inventory, host)}/opt/sealctl"
        return self.options.sealctl(self.ctx.inventory, host)


def ip_of(host: Host) -> str:
    """The address that other hosts use: `vars.ip`, or the host's own."""
    return host.vars.get("ip", host.address)


def hostname(cluster: Cluster, host: Host) -> Step:
    """It must run, and say what the kernel says."""
    script = scripts.same_hostname(cluster.sealctl(host))
    return Run(
        id=f"verify/{host.name}/hostname",
        host=host.name,
        title="ask sealctl for the host's name",
        timeout=60.0,
        check=Succeeds(script),
        script=script,
    )


def entry(cluster: Cluster, host: Host, address: str, domain: str) -> Step:
    """The hosts file gives `domain` exactly this address."""
    options = cluster.options
    return Run(
        id=f"hosts/{host.name}/{domain}",
        host=host.name,
        title=f"{domain} is {address}",
        timeout=60.0,
        check=Succeeds(hosts.has_entry(options.hosts_file, address, domain)),
        script=hosts.ADD_HOST,
        env={"HOSTS_FILE": options.hosts_file, "IP": address, "DOMAIN": domain},
    )


def apiserver_of(cluster: Cluster, host: Host) -> str:
    """Masters talk to the first master, nodes to the balanced address."""
    return cluster.options.vip if host.role == "node" else cluster.masters[0]


def ipvs(cluster: Cluster, host: Host) -> Step:
    """The kernel balances the virtual address over the masters."""
    options = cluster.options
    return Run(
        id=f"ipvs/{host.name}/rules",
        host=host.name,
        title=f"balance {options.vip} over {len(cluster.masters)} masters",
        timeout=120.0,
        check=Succeeds(scripts.has_ipvs(options.vip, cluster.masters, options.apiserver_port)),
        script=scripts.add_ipvs(cluster.sealctl(host), options.vip, cluster.masters, options.apiserver_port),
    )


def lvscare(cluster: Cluster, host: Host) -> Iterator[Step]:
    """The static pod that keeps the balancing up to date; nothing without an image for it."""
    options = cluster.options
    if options.lvscare_image is None:
        return
    manifest = {"folder": options.manifests, "name": options.lvscare_name, "vip": options.vip}
    image, masters, port = options.lvscare_image, cluster.masters, options.apiserver_port
    yield Run(
        id=f"lvscare/{host.name}/manifest",
        host=host.name,
        title=f"write the static pod {options.lvscare_name}",
        timeout=60.0,
        check=Succeeds(scripts.has_lvscare(**manifest, image=image, masters=masters, port=port)),
        script=scripts.add_lvscare(
            cluster.sealctl(host), **manifest, image=image, masters=masters, port=port
        ),
    )
