"""The `talos` driver: Talos onto machines that run another Linux, over SSH, and a cluster of them.

A machine is left alone until everything is known to fit: the image and the kernel in it are for its
processor, it may load another kernel or give up its disk, it has the memory, the network and the
firmware. Then all machines are prepared, then they leave together. From there on nobody answers SSH:
`talosctl` on the controller does the rest. A machine that is in Talos' maintenance mode already needs
no SSH at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pydantic import BaseModel

from sealboot.drivers import talos_cluster as cluster
from sealboot.drivers import talos_disk as disk
from sealboot.drivers import talos_files
from sealboot.drivers import talos_kexec as kexec
from sealboot.drivers.base import Api, Context, Slot, Wants
from sealboot.drivers.talos_checks import findings
from sealboot.drivers.talos_facts import questions
from sealboot.drivers.talos_image import gen_config, get_image
from sealboot.drivers.talos_options import API_PORT, CONTROLPLANE, WORKER, TalosOptions, device_of
from sealboot.model.artifact import Kind
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.host import Host, Inventory
from sealboot.model.plan import Wave
from sealboot.model.steps import Step

_COMPRESSED = (Kind.ZSTD, Kind.XZ, Kind.GZIP, Kind.BZIP2)
_INITRDS = (Kind.INITRD, *_COMPRESSED, Kind.LZ4)


class TalosDriver:
    """Talos machines of a cluster."""

    name: ClassVar[str] = "talos"
    roles: ClassVar[tuple[str, ...]] = (CONTROLPLANE, WORKER)
    default_role: ClassVar[str] = WORKER
    Options: ClassVar[type[BaseModel]] = TalosOptions
    published = staticmethod(talos_files.published)

    def slots(self, inventory: Inventory, options: BaseModel) -> tuple[Slot, ...]:
        """What a machine boots, by its route; a configuration for its role; the controller's own tools."""
        typed = _typed(options)
        routes = {host.name: typed.route_of(host) for host in inventory.hosts}
        by_kexec = frozenset(name for name, route in routes.items() if route == "kexec")
        by_disk = frozenset(routes) - by_kexec
        made: list[Slot] = []
        if by_kexec:
            made += [
                Slot(
                    kexec.BOOT,
                    patterns=("binaries/metal-*-uki.efi",),
                    kinds=(Kind.UKI, Kind.KERNEL),
                    hosts=by_kexec,
                    form="boot",
                    boots=True,
                    hint=get_image(inventory, "uki"),
                ),
                Slot(
                    kexec.INITRD,
                    kinds=_INITRDS,
                    executable=False,
                    required=False,
                    hosts=by_kexec,
                    form="initrd",
                    boots=True,
                ),
            ]
        if by_disk:
            made.append(
                Slot(
                    disk.IMAGE,
                    patterns=("binaries/metal-*.raw*",),
                    kinds=(Kind.UNKNOWN, *_COMPRESSED),
                    executable=False,
                    hosts=by_disk,
                    form="disk",
                    boots=True,
                    hint=get_image(inventory, "raw"),
                )
            )
        if typed.config_url is None:
            made += [
                Slot(
                    role,
                    roles=(role,),
                    patterns=(f"talos/{role}.yaml",),
                    kinds=(Kind.UNKNOWN,),
                    executable=False,
                    form="machine-config",
                    hint=gen_config(inventory, typed),
                )
                for role in self.roles
                if inventory.by_role(role)
            ]
        return (
            *made,
            Slot(
                cluster.TALOSCONFIG,
                patterns=("talos/talosconfig",),
                kinds=(Kind.UNKNOWN,),
                executable=False,
                form="talosconfig",
                on="controller",
                hint=gen_config(inventory, typed),
            ),
            Slot(cluster.TALOSCTL, patterns=("binaries/talosctl*",), required=False, on="controller"),
        )

    def wants(self, host: Host, options: BaseModel) -> Wants:
        """Whether it may leave, and what would become of it."""
        typed = _typed(options)
        by_disk = typed.route_of(host) == "disk"
        return Wants(
            directories=() if by_disk else (typed.data(host),),
            questions=questions(device_of(host) if by_disk else None),
        )

    def api(self, host: Host, options: BaseModel) -> Api:
        """Talos answers here, configured or not."""
        del host
        _typed(options)
        return Api(API_PORT)

    def checks(self, ctx: Context) -> tuple[Diagnostic, ...]:
        """Everything that would leave a machine neither with its old system nor with Talos."""
        return tuple(findings(ctx, _typed(ctx.options)))

    def waves(self, ctx: Context) -> tuple[Wave, ...]:
        """Prepare all, leave together; then the control plane, the cluster once, the workers, and their health."""
        options = _typed(ctx.options)
        tools = cluster.Tools.of(ctx)
        linux = [host for host in ctx.reached if not ctx.facts[host.name].assumed]
        by_kexec = [h for h in linux if options.route_of(h) == "kexec" and (h.name, kexec.BOOT) in ctx.chosen]
        by_disk = [h for h in linux if options.route_of(h) == "disk" and (h.name, disk.IMAGE) in ctx.chosen]
        first = options.first(ctx.inventory)
        begins = [h for h in ctx.reached if first is not None and h.name == first.name]
        planes = [h for h in ctx.reached if h.role == CONTROLPLANE]
        workers = [h for h in ctx.reached if h.role == WORKER]
        stages = [
            _wave(
                "ship", "Ship kernel and initrd", (s for h in by_kexec for s in kexec.ship(ctx, options, h))
            ),
            _wave("load", "Load the kernel", (s for h in by_kexec for s in kexec.load(ctx, options, h))),
            _wave("write", "Overwrite the disks", (s for h in by_disk for s in disk.write(ctx, h))),
            _wave(
                "handover",
                "Leave for Talos",
                (
                    s
                    for h in linux
                    for s in (
                        kexec.leave(options, h)
                        if h in by_kexec
                        else disk.leave(options, h)
                        if h in by_disk
                        else ()
                    )
                ),
            ),
        ]
        if tools is not None:
            stages += [
                _wave(
                    "control-plane",
                    "Configure the control plane",
                    (s for h in planes for s in cluster.configure(ctx, options, tools, h)),
                ),
                _wave(
                    "bootstrap",
                    "Begin the cluster",
                    (
                        s
                        for h in begins
                        if options.bootstrap == "true"
                        for s in cluster.bootstrap(ctx, options, tools, h)
                    ),
                ),
                # The API of a worker has its certificate from a control plane machine; where the endpoint is
                # an address that etcd gives away, there is none before the bootstrap.
                _wave(
                    "workers",
                    "Configure the workers",
                    (s for h in workers for s in cluster.configure(ctx, options, tools, h)),
                ),
                _wave(
                    "health",
                    "Wait for a healthy cluster",
                    (s for h in begins for s in cluster.health(ctx, options, tools, h)),
                ),
            ]
        return tuple(wave for wave in stages if wave.steps)


def _wave(name: str, title: str, steps: Iterator[Step]) -> Wave:
    return Wave(name, title, tuple(steps))


def _typed(options: BaseModel) -> TalosOptions:
    if not isinstance(options, TalosOptions):
        raise TypeError("these are another driver's options")
    return options
