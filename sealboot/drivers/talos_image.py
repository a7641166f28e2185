"""Whether the files are Talos', of the release that is wanted, and agree with each other."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sealboot.drivers import talos_kexec as kexec
from sealboot.drivers.access import api_url
from sealboot.drivers.base import Context
from sealboot.drivers.options import origin_of
from sealboot.drivers.talos_cluster import config_of
from sealboot.drivers.talos_facts import Machine
from sealboot.drivers.talos_names import (
    ARCHES,
    RELEASES,
    Asset,
    Installer,
    Version,
    default_installer,
    factory_url,
    installer,
    parse_installer,
    release_asset,
    release_url,
)
from sealboot.drivers.talos_options import TalosOptions
from sealboot.model.artifact import Artifact, Uki
from sealboot.model.bootfiles import MachineConfig
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.host import Host, Inventory

_SOFT = Severity.WARNING


def boots(ctx: Context, options: TalosOptions, host: Host, chosen: Artifact) -> Iterator[Diagnostic]:
    """SB704: what the host would boot is not Talos, not the release's, or cannot come up."""
    uki = next((layer for layer in chosen.layers if isinstance(layer, Uki)), None)
    if kexec.initrd_of(ctx, host) is None:
        hint = f"name it beside the kernel: `artifacts: {{{kexec.INITRD}: [...]}}`"
        if uki is not None:
            hint = "use the image as Talos makes it"
        yield _not_talos(
            host, chosen, f"{chosen.path} has no initrd with it, and all of Talos is in there", hint
        )
    if uki is None:
        return
    name = uki.os_release.get("ID", "")
    if name != "talos":
        what = f"its os-release says {name!r}" if name else "nothing in it says so"
        yield _not_talos(host, chosen, f"{chosen.path} is not Talos: {what}", _get(ctx, host))
        return
    told = uki.os_release.get("VERSION_ID", "")
    wanted = options.version(ctx.inventory)
    if wanted is not None and told and Version.parse(told) != wanted:
        yield _not_talos(
            host, chosen, f"{chosen.path} is Talos {told}, the inventory names {wanted}", _get(ctx, host)
        )
    if "talos.platform=" not in uki.cmdline:
        yield _not_talos(
            host,
            chosen,
            f"the command line in {chosen.path} names no `talos.platform=`",
            "use the image as Talos makes it; `talos.platform=metal` may be among kernel_args",
            severity=_SOFT if any(w.startswith("talos.platform=") for w in options.kernel_args) else None,
        )


def _not_talos(
    host: Host, chosen: Artifact, what: str, hint: str, *, severity: Severity | None = None
) -> Diagnostic:
    return Diagnostic(
        "SB704",
        what,
        severity or Severity.ERROR,
        host=host.name,
        artifact=chosen.path,
        at=host.origin(f"artifacts.{kexec.BOOT}"),
        hints=(hint,),
    )


def _get(ctx: Context, host: Host) -> str:
    """Where the right file is to be had, as far as the inventory tells."""
    version = Version.parse(ctx.inventory.release or "")
    arch = ctx.facts[host.name].kernel_arch
    if version is None or arch is None:
        return get_image(ctx.inventory, "uki")
    return f"use {release_url('uki', arch, version)}, or {factory_url('uki', arch, version)}"


def get_image(inventory: Inventory, what: Asset) -> str:
    """What to get where no image fits."""
    version = Version.parse(inventory.release or "")
    names = " or ".join(str(release_asset(what, arch)) for arch in ARCHES)
    place = f"{RELEASES}/{version}" if version is not None else "a release of Talos or an image factory"
    return f"get {names} from {place}; any name will do"


def gen_config(inventory: Inventory, options: TalosOptions) -> str:
    """The command that makes the configurations and credentials of a new cluster."""
    version = options.version(inventory)
    first = options.first(inventory)
    image = ""
    if version is not None:
        schematic = options.schematic_id
        made = (
            installer(version, schematic, host=options.factory) if schematic else default_installer(version)
        )
        image = f" --install-image {made}"
    place = api_url(first.address if first is not None else "ENDPOINT", 6443)
    return f"make it: `talosctl gen config {inventory.name} {place} --install-disk /dev/DISK{image} --output talos`"


def configurations(ctx: Context, options: TalosOptions) -> Iterator[Diagnostic]:
    """SB706, SB707, SB714 and SB715: each host's machine configuration against its role, release and disks."""
    told: set[tuple[str, str]] = set()
    yield from _one_cluster(ctx)
    for host in ctx.reached:
        config = config_of(ctx, host)
        chosen = ctx.chosen.get((host.name, host.role))
        if config is None or chosen is None:
            continue
        if config.type != host.role:
            yield Diagnostic(
                "SB706",
                f"{chosen.path} is the machine configuration of a {config.type or 'machine without a type'},"
                f" and {host.name} is a {host.role}",
                host=host.name,
                artifact=chosen.path,
                at=host.origin(f"artifacts.{host.role}"),
                hints=("the type decides, whatever the file is called: name the other file",),
            )
        yield from _target(ctx, options, host, config, chosen.path)
        for what, hint in _installer(ctx, options, config):
            if (chosen.path, what) not in told:
                told.add((chosen.path, what))
                yield Diagnostic(
                    "SB707",
                    f"{chosen.path}: {what}",
                    _SOFT,
                    host=host.name,
                    artifact=chosen.path,
                    at=origin_of(ctx.inventory, f"artifacts.{host.role}"),
                    evidence=(("installer", config.image or "(the default)"),),
                    hints=(hint,),
                )


def _target(
    ctx: Context, options: TalosOptions, host: Host, config: MachineConfig, path: str
) -> Iterator[Diagnostic]:
    """SB714: Talos is to install itself on a disk that this machine has not. Every machine calls its disks otherwise."""
    facts = ctx.facts[host.name]
    machine = Machine.of(facts)
    plain = re.fullmatch(r"/dev/[a-z0-9]+", config.disk)  # what stands in /dev/disk is for udev to know
    if facts.assumed or options.route_of(host) == "disk" or not machine.disks or plain is None:
        return
    if not any(config.disk == f"/dev/{disk.name}" for disk in machine.disks):
        yield Diagnostic(
            "SB714",
            f"{path} installs Talos on {config.disk}, which {host.name} does not have",
            _SOFT,
            host=host.name,
            artifact=path,
            at=host.origin(f"artifacts.{host.role}"),
            evidence=(("disks", ", ".join(f"/dev/{disk.name}" for disk in machine.disks[:8])),),
            hints=(
                "give it a configuration of its own: `artifacts: {" + host.role + ": [...]}` on the host",
                "or choose the disk by a `diskSelector`",
            ),
        )


def _one_cluster(ctx: Context) -> Iterator[Diagnostic]:
    """SB715: configurations that were made for different clusters never meet."""
    files: dict[str, tuple[Host, MachineConfig]] = {}
    for host in ctx.reached:
        config = config_of(ctx, host)
        if config is not None:
            files.setdefault(ctx.chosen[host.name, host.role].path, (host, config))
    for what, name in (("name", "cluster"), ("endpoint", "endpoint")):
        values = {path: getattr(config, name) for path, (_, config) in files.items() if getattr(config, name)}
        if len(set(values.values())) > 1:
            path, (host, _) = list(files.items())[-1]
            yield Diagnostic(
                "SB715",
                f"the machine configurations are of different clusters, by their {what}",
                Severity.ERROR if what == "name" else _SOFT,  # a balancer may have two names
                host=host.name,
                artifact=path,
                evidence=tuple((path, str(value)) for path, value in values.items()),
                hints=("make them together: one `talosctl gen config` writes all of a cluster",),
            )


def _installer(ctx: Context, options: TalosOptions, config: MachineConfig) -> Iterator[tuple[str, str]]:
    """What the installer in a machine configuration has against the release and the schematic."""
    wanted = options.version(ctx.inventory)
    schematic = options.schematic_id
    shown = config.image or (default_installer(wanted) if wanted is not None else "")
    made: Installer | None = parse_installer(shown) if shown else None
    if made is None:
        return
    best = ""
    if wanted is not None:
        best = (
            installer(wanted, schematic or made.schematic, host=options.factory)
            if (schematic or made.schematic)
            else default_installer(wanted)
        )
    hint = f"write `image: {best}`" if best else "name the installer of the release that boots"
    told = Version.parse(made.version)
    if wanted is not None and told is not None and told != wanted:
        yield f"it installs Talos {told}, and {wanted} is booted", hint
    if schematic is not None and made.schematic != schematic:
        yield "its installer is not made of the schematic in the inventory", hint
    if wanted is not None and made.schematic and wanted.line >= (1, 10) and not made.platform:
        yield "its installer has the name that factories used before Talos 1.10", hint
    if wanted is not None and made.schematic and wanted.line < (1, 10) and made.platform:
        yield "its installer has the name that factories use since Talos 1.10", hint
