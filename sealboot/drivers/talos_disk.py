"""Onto a disk: the image streamed over it and read back, the firmware told, then a reboot that nothing can hold up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sealboot.drivers.base import Context
from sealboot.drivers.talos_facts import Machine
from sealboot.drivers.talos_options import API_PORT, TalosOptions, device_of
from sealboot.model.arch import Arch
from sealboot.model.bootfiles import disk_image_of
from sealboot.model.host import Host
from sealboot.model.steps import Handover, Run, Step, WriteDisk

IMAGE: Final = "image"

#: The removable-media path of each architecture (UEFI 2.10, section 3.5.1.1).
LOADERS: Final = {Arch.AMD64: "BOOTX64.EFI", Arch.ARM64: "BOOTAA64.EFI", Arch.RISCV64: "BOOTRISCV64.EFI"}

#: Nothing of the old system is asked: its disk may be the one that was overwritten. The kernel does it
#: all: write what is still in memory, make file systems read-only, reset.
REBOOT: Final = """sync
if [ -w /proc/sysrq-trigger ]; then
  echo 1 >/proc/sys/kernel/sysrq
  echo s >/proc/sysrq-trigger
  echo u >/proc/sysrq-trigger
  echo b >/proc/sysrq-trigger
else
  exec reboot -f
fi
"""

_ENTRY = """set -eu
PATH=$PATH:/usr/sbin:/sbin
command -v efibootmgr >/dev/null || exit 0
if command -v blockdev >/dev/null; then blockdev --rereadpt "$DISK" || :; fi
efibootmgr --quiet --create --disk "$DISK" --part "$PART" --label Talos --loader "$LOADER"
"""


def write(ctx: Context, host: Host) -> Iterator[Step]:
    """The image, over everything on the disk; and an entry of the firmware where the old disk would boot else."""
    image = disk_image_of(ctx.artifact(host, IMAGE))
    device = device_of(host)
    if image is None or image.file is None or device is None:
        return
    machine = Machine.of(ctx.facts[host.name])
    held = machine.is_root(device)
    disk = machine.disk(device)
    size = f", {disk.size >> 30} GiB" if disk is not None else ""
    running = ", which the running system is on" if held else ""
    yield WriteDisk(
        id=f"write/{host.name}/image",
        host=host.name,
        title=f"overwrite {device} with {ctx.artifact(host, IMAGE).path}",
        timeout=7200.0,
        source=image.file.path,
        sha256=image.file.sha256,
        size=image.file.size,
        raw_sha256=image.sha256,
        raw_size=image.size,
        device=device,
        destroys=f"everything on {device} of {host.name}{size}{running}",
        in_use=held,
    )
    arch = ctx.facts[host.name].kernel_arch
    if machine.uefi and not held and arch in LOADERS and image.esp:
        yield Run(
            id=f"write/{host.name}/entry",
            host=host.name,
            title=f"tell the firmware to boot {device}",
            timeout=60.0,
            script=_ENTRY,
            env={"DISK": device, "PART": str(image.esp), "LOADER": f"\\EFI\\BOOT\\{LOADERS[arch]}"},
        )


def leave(options: TalosOptions, host: Host) -> Iterator[Step]:
    """Reset the machine: it boots from the disk that was written."""
    yield Handover(
        id=f"handover/{host.name}/reboot",
        host=host.name,
        title=f"reboot into Talos, and wait for its answer on port {API_PORT}",
        timeout=float(options.handover_timeout),
        script=REBOOT,
        port=API_PORT,
        alpn=("h2",),
    )
