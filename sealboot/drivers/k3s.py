"""The `k3s` driver: a cluster from nothing to nodes Ready, offline, on machines whose processors differ.

Every file goes to all hosts at once, because that takes longest. Then the
first server begins the cluster, further servers join one after the other
(etcd admits one learner at a time), and the agents start together: each asks
for its server until it answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

from pydantic import BaseModel

from sealboot.checks import cgroups, ports, route
from sealboot.drivers import (
    k3s_access,
    k3s_files,
    k3s_hosts,
    k3s_images_checks,
    k3s_images_choice,
    k3s_install,
    k3s_leaving,
    k3s_registries,
    k3s_reset,
)
from sealboot.drivers import k3s_images as images
from sealboot.drivers import k3s_images_space as room
from sealboot.drivers import k3s_scripts as scripts
from sealboot.drivers.asking import as_root
from sealboot.drivers.base import Context, KubeconfigWay, Slot, Wants
from sealboot.drivers.k3s_before import alone, snapshot
from sealboot.drivers.k3s_checks import findings, paths
from sealboot.drivers.k3s_config import secrets_of
from sealboot.drivers.k3s_node import SLOT, TOKEN_SECRET, Node, configure, ship, start, token
from sealboot.drivers.k3s_options import K3sOptions
from sealboot.drivers.kubelet import MEMORY_GROUP
from sealboot.drivers.published import get_of
from sealboot.model.artifact import Kind
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.host import Host, Inventory
from sealboot.model.plan import Wave
from sealboot.model.secret import SecretRef
from sealboot.model.steps import Step

#: Compressions that k3s unpacks; what the bytes are decides its ending on the host.
ARCHIVES = (Kind.TAR, Kind.GZIP, Kind.ZSTD, Kind.BZIP2)

_INSTALL = (
    Slot(k3s_install.SLOT, patterns=("binaries/install.sh",), kinds=(Kind.SCRIPT,), executable=False),
)


class K3sDriver:
    """k3s servers and agents."""

    name: ClassVar[str] = "k3s"
    roles: ClassVar[tuple[str, ...]] = ("server", "agent")
    default_role: ClassVar[str] = "agent"
    Options: ClassVar[type[BaseModel]] = K3sOptions
    published = staticmethod(k3s_files.published)

    def slots(self, inventory: Inventory, options: BaseModel) -> tuple[Slot, ...]:
        """One program for every host, by its contents: releases call the one for arm `k3s-armhf`.

        Then the image archives. Each host gets those of its own architecture and no others: of two
        archives that carry one name, the one imported last would win.
        """
        typed = _typed(options)
        if typed.state == "absent":
            return ()
        archives = typed.image_slots(inventory)
        files = k3s_files.published(inventory.release)
        return (
            Slot(SLOT, patterns=("binaries/k3s*",), get=get_of(files, SLOT)),
            *(_INSTALL if typed.install == "script" else ()),
            *(Slot(name, kinds=ARCHIVES, executable=False, get=get_of(files, name)) for name in archives),
        )

    def wants(self, host: Host, options: BaseModel) -> Wants:
        """Where files go, and what makes k3s fail on a host that looks well."""
        typed = _typed(options)
        listed, places = k3s_images_choice.listing(typed, host), room.question(typed.data(host))
        return Wants(
            directories=(typed.binary(host).rpartition("/")[0], typed.data(host), "/etc"),
            tools=("stat", "od", "tr"),
            # k3s unpacks containerd, runc and the rest of itself there.
            programs=(typed.data(host),),
            questions={
                "k3s.memory": MEMORY_GROUP,
                cgroups.KEY: cgroups.QUESTION,
                "k3s.units": k3s_hosts.UNITS,
                "k3s.resolver": k3s_hosts.RESOLVER,
                "k3s.selinux": k3s_hosts.SELINUX,
                ports.KEY: ports.question(k3s_hosts.ports(typed, host)),
                route.KEY: route.QUESTION,
                "k3s.https": "command -v curl || command -v wget || command -v python3 || :\n",
                "k3s.foreign": as_root(host, scripts.FOREIGN, scripts.FOREIGN),
                "k3s.state": as_root(host, scripts.state(typed.data(host)), "echo closed\n"),
                "k3s.nodes": as_root(host, scripts.nodes(typed.binary(host), typed.data(host))),
                **self._leaving(host, typed),
                "k3s.version": scripts.version(typed.binary(host)),
                "k3s.images": as_root(host, listed, listed),
                "k3s.mirrors": as_root(host, k3s_registries.MIRRORS),
                "k3s.places": as_root(host, places, places),
            },
        )

    @staticmethod
    def _leaving(host: Host, options: K3sOptions) -> Mapping[str, str]:
        """Who has a vote in etcd is asked where a server is to go."""
        if options.state != "absent" or host.role != "server":
            return {}
        script = scripts.etcd_members(options.binary(host), options.data(host))
        return {k3s_leaving.MEMBERS: as_root(host, script)}

    def secrets(self, options: BaseModel) -> Mapping[str, SecretRef]:
        """The operator's own token, where there is one, and the passwords of registries."""
        typed = _typed(options)
        ref = typed.token_from
        return {**({TOKEN_SECRET: ref} if ref is not None else {}), **secrets_of(typed)}

    def kubeconfig(self, inventory: Inventory, options: BaseModel) -> tuple[KubeconfigWay, ...]:
        """On every server."""
        return k3s_access.ways(_typed(options), inventory)

    def checks(self, ctx: Context) -> tuple[Diagnostic, ...]:
        """Clusters that cannot come up as they are described, and hosts that cannot be nodes."""
        options = _typed(ctx.options)
        if options.state == "absent":
            return (*paths(ctx, options), *k3s_leaving.findings(ctx, options))
        return (*findings(ctx, options), *k3s_images_checks.findings(ctx, options))

    def waves(self, ctx: Context) -> tuple[Wave, ...]:
        """The desired state: files, the token, the first server, the others in turn, the agents at once."""
        options = _typed(ctx.options)
        first = options.first(ctx.inventory)
        if first is None or any(paths(ctx, options)):
            return ()
        if options.state == "absent":
            return k3s_reset.waves(options, ctx.inventory, ctx.reached, k3s_leaving.told(ctx))
        slots = (SLOT, k3s_install.SLOT) if options.install == "script" else (SLOT,)
        ready = (host for host in ctx.reached if all((host.name, slot) in ctx.chosen for slot in slots))
        nodes = tuple(Node.of(ctx, options, host) for host in ready)
        begins = tuple(node for node in nodes if node.host.name == first.name)
        joins = tuple(node for node in nodes if node.host.role == "server" and node.host.name != first.name)
        agents = tuple(node for node in nodes if node.host.role == "agent")
        stages = (
            _wave("alone", "Look for a cluster that runs", (s for n in begins for s in alone(n))),
            _wave("snapshot", "Keep a snapshot of etcd", (s for n in begins for s in snapshot(n))),
            _wave("ship", "Ship k3s", (s for n in nodes for s in ship(n))),
            _wave("images", "Ship image archives", (s for n in nodes for s in images.put(n))),
            _wave("token", "Have a token", (s for n in begins for s in token(n))),
            _wave("configure", "Configure the nodes", (s for n in nodes for s in configure(n))),
            _wave(
                "install", "Run k3s' own installer", (s for n in nodes if n.install for s in n.install.run())
            ),
            _wave("first-server", "Start the first server", (s for n in begins for s in start(n))),
            _wave("servers", "Join the other servers", (s for n in joins for s in start(n)), parallel=1),
            _wave("agents", "Join the agents", (s for n in agents for s in start(n))),
            _wave("import", "Import images", (s for n in nodes for s in images.imported(n)), part="images"),
        )
        return tuple(wave for wave in stages if wave.steps)


def _wave(
    name: str, title: str, steps: Iterator[Step], *, parallel: int | None = None, part: str = ""
) -> Wave:
    return Wave(name, title, tuple(steps), parallel, part)


def _typed(options: BaseModel) -> K3sOptions:
    if not isinstance(options, K3sOptions):
        raise TypeError("these are another driver's options")
    return options
