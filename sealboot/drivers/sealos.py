"""The `sealos` driver: whole nodes from root filesystems, or what of a node's bootstrap needs sealctl alone.

The stages and their barriers are those of sealos' own bootstrap: every host
has finished one before any host begins the next. What differs is that each
host gets the sealctl of its own architecture, that it must answer from staging
before it goes live, and that nothing sealctl says is believed unverified.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, ip_address
from typing import ClassVar

from pydantic import BaseModel

from sealboot.drivers import (
    sealos_access,
    sealos_checks,
    sealos_files,
    sealos_lifecycle,
    sealos_reset,
    sealos_tree,
)
from sealboot.drivers.base import Context, KubeconfigWay, Slot, Wants
from sealboot.drivers.options import origin_of
from sealboot.drivers.published import get_of
from sealboot.drivers.sealos_options import SealosOptions
from sealboot.drivers.sealos_steps import Cluster, apiserver_of, entry, hostname, ip_of, ipvs, lvscare
from sealboot.model.arch import Arch
from sealboot.model.artifact import Artifact
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.host import Host, Inventory
from sealboot.model.names import closest
from sealboot.model.plan import Wave
from sealboot.model.steps import FileIs, Run, Step, Succeeds, Upload

SLOT = "sealctl"


class SealosDriver:
    """sealos nodes: from nothing to ready with a root filesystem, else as far as sealctl alone can prepare them."""

    name: ClassVar[str] = "sealos"
    roles: ClassVar[tuple[str, ...]] = ("master", "node", "registry")
    default_role: ClassVar[str] = "node"
    Options: ClassVar[type[BaseModel]] = SealosOptions
    published = staticmethod(sealos_files.published)

    def slots(self, inventory: Inventory, options: BaseModel) -> tuple[Slot, ...]:
        """A root filesystem for every host where the operator has some, else sealctl alone; no file for a reset."""
        if _typed(options).state == "absent":
            return ()
        if sealos_tree.has_tree(inventory):
            return (sealos_tree.slot(get_of(sealos_files.published(inventory.release), sealos_tree.SLOT)),)
        return (Slot(SLOT, patterns=("binaries/sealctl*",)),)

    def wants(self, host: Host, options: BaseModel) -> Wants:
        """Where sealctl and the hosts file live, and the tools that the scripts call."""
        typed = _typed(options)
        folders = [typed.hosts_file.rpartition("/")[0] or "/"]
        # The cluster's name is not known here; only its own part of the path is, when it was given.
        if "binary" in host.paths:
            folders.insert(0, host.paths["binary"])
        elif "data" in host.paths:
            folders.insert(0, f"{host.paths['data'].rstrip('/')}/rootfs/opt")
        else:
            folders.insert(0, typed.data_root)
        return Wants(
            directories=tuple(folders),
            tools=("grep", "sort", "tail"),
            questions=sealos_checks.questions(host.paths.get("data") or typed.data_root, typed),
        )

    def kubeconfig(self, inventory: Inventory, options: BaseModel) -> tuple[KubeconfigWay, ...]:
        """On every master."""
        return sealos_access.ways(_typed(options), inventory)

    def checks(self, ctx: Context) -> tuple[Diagnostic, ...]:
        """A cluster that these stages cannot describe: no master, no registry, a name where an IP must be."""
        found = tuple(_findings(ctx.inventory, _typed(ctx.options)))
        if not sealos_tree.has_tree(ctx.inventory) or _typed(ctx.options).state == "absent":
            return found
        return (*found, *sealos_checks.cluster(ctx), *sealos_tree.unfit(ctx))

    def waves(self, ctx: Context) -> tuple[Wave, ...]:
        """Ship, then one wave for each bootstrap stage; none while `checks` has findings."""
        options = _typed(ctx.options)
        registry = options.registry(ctx.inventory)
        if registry is None or any(_findings(ctx.inventory, options)):
            return ()
        masters = tuple(ip_of(host) for host in ctx.inventory.by_role("master"))
        cluster = Cluster(ctx, options, ip_of(registry), masters)
        if options.state == "absent":
            return sealos_reset.waves(cluster)
        if sealos_tree.has_tree(ctx.inventory):
            described = not any(sealos_checks.undescribed(ctx.inventory, options))
            return sealos_lifecycle.waves(cluster) if described else ()
        # A host that only serves the registry is no member of the cluster and needs its own name for it only.
        members = tuple(host for host in ctx.reached if host.role != "registry")
        nodes = tuple(host for host in members if host.role == "node")
        stages = [
            Wave("ship", "Ship sealctl", tuple(s for h in ctx.reached for s in _ship(cluster, h))),
            _stage("verify", "Verify that sealctl runs", [hostname(cluster, h) for h in ctx.reached]),
            _stage(
                "registry-host",
                "Name the registry",
                [entry(cluster, h, cluster.registry_ip, options.registry_domain) for h in ctx.reached],
            ),
            _stage(
                "apiserver-host",
                "Name the API server",
                [entry(cluster, h, apiserver_of(cluster, h), options.apiserver_domain) for h in members],
            ),
            _stage(
                "lvscare-host",
                "Name the nodes to lvscare",
                [entry(cluster, h, ip_of(h), options.lvscare_domain) for h in nodes],
            ),
            _stage("ipvs", "Balance the API server", [ipvs(cluster, h) for h in nodes if options.ipvs]),
            _stage("lvscare", "Keep the balancing", [s for h in nodes for s in lvscare(cluster, h)]),
        ]
        return tuple(wave for wave in stages if wave.steps)


def _typed(options: BaseModel) -> SealosOptions:
    if not isinstance(options, SealosOptions):
        raise TypeError("these are another driver's options")
    return options


def _findings(inventory: Inventory, options: SealosOptions) -> Iterator[Diagnostic]:
    if not inventory.by_role("master"):
        yield Diagnostic(
            "SB607",
            "no host has the role `master`",
            at=origin_of(inventory, "hosts"),
            hints=("give at least one host `role: master`",),
        )
    if options.registry_host is not None and options.registry(inventory) is None:
        names = [host.name for host in inventory.hosts]
        close = closest(options.registry_host, names)
        yield Diagnostic(
            "SB607",
            f"the registry host {options.registry_host!r} is not in the inventory",
            at=origin_of(inventory, "options.registry_host"),
            hints=(f"did you mean `{close}`?",) if close else (),
        )
    for host in inventory.hosts:
        if not _is_ip(ip_of(host), v4=bool(options.ipvs) and host.role == "master"):
            yield Diagnostic(
                "SB604",
                f"a hosts file needs the IP address of {host.name}, and {ip_of(host)!r} is none",
                host=host.name,
                at=host.origin("vars.ip" if "ip" in host.vars else "address"),
                hints=("add `vars: {ip: ADDRESS}` with the address that the other hosts use",),
            )


def _is_ip(text: str, *, v4: bool) -> bool:
    try:
        return isinstance(ip_address(text), IPv4Address) or not v4
    except ValueError:
        return False


def _stage(name: str, title: str, steps: Sequence[Step]) -> Wave:
    return Wave(name, title, tuple(steps))


def _ship(cluster: Cluster, host: Host) -> Iterator[Step]:
    artifact = cluster.ctx.chosen.get((host.name, SLOT))
    if artifact is None:
        return  # that no file fits is the selection's finding
    dest = cluster.sealctl(host)
    folder = dest.rpartition("/")[0]
    yield Run(
        id=f"ship/{host.name}/folder",
        host=host.name,
        title=f"make the directory {folder}",
        timeout=60.0,
        check=Succeeds(f"[ -d {shlex.quote(folder)} ]\n"),
        script=f"mkdir -p {shlex.quote(folder)}\n",
    )
    yield Upload(
        id=f"ship/{host.name}/sealctl",
        host=host.name,
        title=f"upload sealctl to {dest}",
        timeout=3600.0,
        check=FileIs(dest, artifact.sha256, 0o755),
        source=artifact.path,
        sha256=artifact.sha256,
        size=artifact.size,
        dest=dest,
        smoke='"$1" version\n',
        smoke_expects=_platform(cluster, host, artifact),
        slot=SLOT,
    )


def _platform(cluster: Cluster, host: Host, artifact: Artifact) -> tuple[str, ...]:
    """What `sealctl version` must say: the architecture of the bytes, which `fit` matched to the host.

    The two differ only where the host accepts emulation or runs a second
    architecture natively; a file that cannot run never comes this far.
    """
    facts = cluster.ctx.facts.get(host.name)
    in_file: Arch | None = artifact.elf.arch if artifact.elf else None
    on_host: Arch | None = facts.kernel_arch if facts else None
    arch = in_file or on_host
    return (f'"linux/{arch.value}"',) if arch else ()
