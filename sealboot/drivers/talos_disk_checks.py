"""Whether a disk may be overwritten, and what is written to it can be booted by this machine."""

from __future__ import annotations

from collections.abc import Iterator

from sealboot.drivers import talos_disk as disk
from sealboot.drivers.base import Context
from sealboot.drivers.talos_facts import Machine
from sealboot.drivers.talos_options import device_of
from sealboot.model.arch import Arch
from sealboot.model.bootfiles import DiskImage, disk_image_of
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.facts import Facts
from sealboot.model.host import Host


def disk_findings(ctx: Context, host: Host, facts: Facts, machine: Machine) -> Iterator[Diagnostic]:
    """SB698 to SB701 of one machine that is to take this way."""
    device = device_of(host)
    found = machine.disk(device) if device is not None else None
    problem = _no_disk(host, device, machine)
    if problem or device is None:
        names = ", ".join(f"/dev/{d.name} ({d.size >> 30} GiB)" for d in machine.disks[:8])
        yield Diagnostic(
            "SB698",
            problem,
            host=host.name,
            at=host.origin("vars.disk"),
            evidence=(("disks", names),) if names else (),
            hints=("name the whole disk that is to be overwritten: `vars: {disk: /dev/...}`",),
        )
        return
    if machine.is_root(device) and host.vars.get("overwrite") != "running-system":
        places = found.mounted if found is not None else ()
        yield Diagnostic(
            "SB699",
            f"the running system of {host.name} is on {device}",
            host=host.name,
            at=host.origin("vars.disk"),
            evidence=(("mounted from it", ", ".join(places) or "swap"),),
            hints=(
                "take the other way: `vars: {route: kexec}`; Talos then installs itself on that disk",
                "or say that it may be overwritten under the running system: `vars: {overwrite: running-system}`",
            ),
        )
    chosen = ctx.chosen.get((host.name, disk.IMAGE))
    made = disk_image_of(chosen) if chosen is not None else None
    if made is None:
        return
    if found is not None and made.size > found.size:
        yield Diagnostic(
            "SB700",
            f"{device} of {host.name} is smaller than the image",
            host=host.name,
            artifact=chosen.path if chosen else None,
            at=host.origin("vars.disk"),
            evidence=(("image", f"{made.size} bytes"), ("disk", f"{found.size} bytes")),
        )
    yield from _firmware(host, facts, machine, made, chosen.path if chosen else "")


def _no_disk(host: Host, device: str | None, machine: Machine) -> str:
    """Why the disk cannot be meant; empty when it can."""
    if device is None:
        said = host.vars.get("disk")
        return f"{said!r} is no device of {host.name}" if said else f"no disk of {host.name} is named"
    found = machine.disk(device)
    if machine.named_partition:
        return f"{device} of {host.name} is a partition, and an image has its own"
    if found is None:
        return f"{host.name} has no disk {device}"
    return f"{device} of {host.name} is read-only" if found.read_only else ""


def _firmware(host: Host, facts: Facts, machine: Machine, made: DiskImage, path: str) -> Iterator[Diagnostic]:
    """SB701: the image holds nothing that this firmware starts."""
    arch = facts.kernel_arch
    why = ""
    if machine.uefi and made.loaders and arch not in made.loaders:
        loaders = ", ".join(a.both_names for a in made.loaders)
        why = f"its EFI loaders are for {loaders}"
    elif machine.uefi and made.table and made.esp is None:
        why = "the machine boots by UEFI, and the image has no EFI system partition"
    elif machine.uefi is False and arch is Arch.AMD64 and not made.bios:
        why = "the machine boots by BIOS, and the image has no code in its boot sector"
    if why:
        yield Diagnostic(
            "SB701",
            f"{host.name} cannot boot {path}: {why}",
            host=host.name,
            artifact=path,
            at=host.origin("vars.disk"),
            hints=("use an image for this machine and firmware",),
        )
    elif machine.uefi and not machine.is_root(f"/dev/{machine.named}") and "efibootmgr" not in machine.kernel:
        yield Diagnostic(
            "SB701",
            f"{host.name} has no efibootmgr: its firmware may go on booting the old disk",
            Severity.WARNING,
            host=host.name,
            at=host.origin("vars.disk"),
            hints=("install efibootmgr", "or choose the disk in the firmware's own menu"),
        )
    elif made.table and made.esp is not None and not made.loaders:
        yield Diagnostic(
            "SB701",
            f"nobody can say for which processor {path} is: no EFI loader could be read in it",
            Severity.WARNING,
            host=host.name,
            artifact=path,
            at=host.origin("vars.disk"),
        )
