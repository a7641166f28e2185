"""The `k0s` driver: a cluster from nothing to nodes Ready, and its upgrades, on machines whose processors differ.

Everything is sent and validated while nothing changes. Then the first controller begins the cluster or
goes first, further controllers follow one by one, new workers join at once, and workers whose program
changes do so in batches, each emptied before. On every host one step swaps, starts and proves, or puts
back what was there (`k0s_golive`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from pydantic import BaseModel

from sealboot.checks import cgroups, ports, route
from sealboot.drivers import (
    k0s_access,
    k0s_airgap,
    k0s_checks,
    k0s_files,
    k0s_reset,
    k0s_running,
    k0s_upgrade,
)
from sealboot.drivers import k0s_images as images
from sealboot.drivers import k0s_node as steps
from sealboot.drivers import k0s_scripts as scripts
from sealboot.drivers.asking import as_root
from sealboot.drivers.base import Context, KubeconfigWay, Slot, Wants
from sealboot.drivers.k0s_node import SLOT, Node
from sealboot.drivers.k0s_options import CONTROLLERS, NODES, K0sOptions
from sealboot.drivers.kubelet import MEMORY_GROUP
from sealboot.drivers.published import get_of
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.host import Host, Inventory
from sealboot.model.plan import Wave
from sealboot.model.steps import Step

_TOOLS = ("base64", "cut", "gzip", "sed", "sha256sum", "stat", "tail", "tr")


class K0sDriver:
    """k0s controllers and workers."""

    name: ClassVar[str] = "k0s"
    roles: ClassVar[tuple[str, ...]] = (*CONTROLLERS, "worker")
    default_role: ClassVar[str] = "worker"
    Options: ClassVar[type[BaseModel]] = K0sOptions
    lone_role: ClassVar[str] = "controller+worker"  # one that others can join, which `single` is not
    published = staticmethod(k0s_files.published)

    def slots(self, inventory: Inventory, options: BaseModel) -> tuple[Slot, ...]:
        """One program for every host that stays, and the image bundles of those that are nodes."""
        typed = _typed(options)
        staying = frozenset(host.name for host in inventory.hosts if not typed.leaving(host))
        if not staying:
            return ()
        bundles = typed.image_slots(inventory)
        files = k0s_files.published(inventory.release)
        return (
            Slot(SLOT, patterns=("binaries/k0s*",), hosts=staying, get=get_of(files, SLOT)),
            *(
                Slot(
                    name,
                    roles=NODES,
                    kinds=images.KINDS,
                    executable=False,
                    hosts=staying,
                    get=get_of(files, name),
                )
                for name in bundles
            ),
            *k0s_airgap.slots(inventory),
        )

    def wants(self, host: Host, options: BaseModel) -> Wants:
        """Where files go, and what makes k0s fail on a host that looks well; some of it only root can tell."""
        typed = _typed(options)
        binary, data = typed.binary(host), typed.data(host)
        return Wants(
            directories=(binary.rpartition("/")[0], data, "/etc"),
            tools=_TOOLS,
            questions={
                "k0s.memory": MEMORY_GROUP,
                cgroups.KEY: cgroups.QUESTION,
                "k0s.units": scripts.UNITS,
                "k0s.https": "command -v curl || command -v wget || :\n",
                "k0s.addresses": scripts.ADDRESSES,
                "k0s.foreign": as_root(host, scripts.foreign(data), scripts.foreign(data)),
                "k0s.state": as_root(host, scripts.state(data), scripts.state(data)),
                "k0s.proven": scripts.proven(binary),
                "k0s.installed": as_root(host, scripts.installed(binary), scripts.installed(binary)),
                "k0s.version": as_root(host, scripts.version(binary), scripts.version(binary)),
                "k0s.members": as_root(host, scripts.members(binary, data))
                if host.role in CONTROLLERS
                else ":\n",
                ports.KEY: ports.question(k0s_checks.ports_of(typed, host)),
                route.KEY: route.QUESTION,
                **k0s_airgap.questions(typed, host),
            },
            programs=(data,),
        )

    def kubeconfig(self, inventory: Inventory, options: BaseModel) -> tuple[KubeconfigWay, ...]:
        """Every controller has the administrator's."""
        return k0s_access.ways(_typed(options), inventory)

    def checks(self, ctx: Context) -> tuple[Diagnostic, ...]:
        """Clusters that cannot come up as they are described, and hosts that cannot be members."""
        options = _typed(ctx.options)
        if options.state == "absent":
            return tuple(k0s_checks.paths(ctx, options))
        return (
            *k0s_checks.findings(ctx, options),
            *images.findings(ctx, options),
            *k0s_airgap.findings(ctx, options),
        )

    def waves(self, ctx: Context) -> tuple[Wave, ...]:
        """The desired state: everything ready first, then the first controller, the others, the workers."""
        options = _typed(ctx.options)
        if any(k0s_checks.paths(ctx, options)):
            return ()
        members = k0s_running.nodes(ctx, options)
        controllers = tuple(node for node in members if node.controller)
        leader = next(iter(controllers), None)
        brought = _brought(ctx, options, members, leader) if options.first(ctx.inventory) else ()
        return tuple(wave for wave in (*brought, *k0s_reset.waves(ctx, options, leader)) if wave.steps)


def _brought(
    ctx: Context, options: K0sOptions, members: tuple[Node, ...], leader: Node | None
) -> tuple[Wave, ...]:
    """The waves that bring hosts up; `leader` is the first controller of this run, if there is one."""
    first = tuple(node for node in members if node.first)
    others = tuple(node for node in members if node.controller and not node.first)
    workers = tuple(node for node in members if not node.controller)
    up = tuple(node for node in (*first, *others) if node.member)
    fresh = tuple(node for node in workers if not node.joined)
    there = tuple(node for node in workers if node.joined)
    saved = leader is not None and any(node.replaced for node in (*first, *others))
    leads = (leader,) if leader is not None else ()
    return (
        _wave("alone", "Look for a cluster that runs", (s for n in first for s in steps.begin(n, others))),
        _wave("ship", "Send k0s", (s for n in members for s in steps.ship(n))),
        _wave("images", "Send image bundles", (s for n in members for s in images.put(n))),
        _wave("configure", "Have settings ready", (s for n in members for s in steps.configure(n))),
        _wave("wake", "Start controllers that are down", (s for n in up for s in steps.wake(n))),
        _wave("backup", "Keep a backup", (s for n in leads if saved for s in steps.backup(n))),
        _wave("confirm", "Have the images confirmed", k0s_airgap.confirm(ctx, options)),
        _wave("unpin", "Unpin images of older releases", k0s_airgap.unpin(ctx, options)),
        _wave("first", "Run the first controller", (s for n in first for s in k0s_upgrade.change(n))),
        _wave(
            "controller-token",
            "Have a token for controllers",
            (s for n in first if others for s in steps.token(n, "controller")),
        ),
        _wave(
            "controllers",
            "Run the other controllers",
            (s for n in others for s in k0s_upgrade.change(n)),
            parallel=1,
        ),
        _wave(
            "worker-token",
            "Have a token for workers",
            (s for n in first if workers for s in steps.token(n, "worker")),
        ),
        _wave("workers", "Join new workers", (s for n in fresh for s in (*steps.join(n), *steps.run(n)))),
        *k0s_upgrade.batches(options, leader, there),
        _wave(
            "schedulable",
            "Leave nobody cordoned",
            (s for n in leads for s in k0s_upgrade.schedulable(n, [m for m in members if m.member])),
        ),
        _wave("revoke", "Invalidate tokens", (s for n in first for s in steps.revoke(n))),
        _wave("import", "Import images", (s for n in members for s in images.imported(n)), part="images"),
    )


def _wave(
    name: str, title: str, made: Iterable[Step], *, parallel: int | None = None, part: str = ""
) -> Wave:
    return Wave(name, title, tuple(made), parallel, part)


def _typed(options: BaseModel) -> K0sOptions:
    if not isinstance(options, K0sOptions):
        raise TypeError("these are another driver's options")
    return options
