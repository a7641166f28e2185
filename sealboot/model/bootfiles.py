"""What a machine is booted from, made ready to be sent: kernel and initrd, disk images, machine configurations."""

from __future__ import annotations

from dataclasses import dataclass

from sealboot.model.arch import Arch
from sealboot.model.artifact import Artifact, Other
from sealboot.model.tree import Packed


@dataclass(frozen=True, slots=True)
class BootFiles(Other):
    """Kernel and initrd as kexec takes them, taken out of a file that boots by itself.

    `kernel` is unwrapped: no old kexec knows EFI zboot. `initrd` is `None`
    where the file is a kernel alone. `wrapped` says that a wrapper was taken
    off; `unpacked` is what the initrd inflates to, in bytes.
    """

    kernel: Packed | None = None
    initrd: Packed | None = None
    wrapped: bool = False
    unpacked: int | None = None


@dataclass(frozen=True, slots=True)
class DiskImage(Other):
    """A raw disk image, inflated once to be measured: `size` and `sha256` are of its plain content.

    `table` is `gpt`, `mbr` or empty. `loaders` are the architectures of the
    EFI programs at the removable-media path (`/EFI/BOOT`), read from their PE
    headers; empty where no EFI system partition could be read, which then says
    nothing. `esp` is the number of that partition. `bios` says that the boot
    sector holds code. `labels` are the names of its GPT partitions. `file` is
    where the image lies on the controller.
    """

    file: Packed | None = None
    size: int = 0
    sha256: str = ""
    compression: str = ""
    table: str = ""
    bios: bool = False
    loaders: tuple[Arch, ...] = ()
    esp: int | None = None
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MachineConfig(Other):
    """What a Talos machine configuration says that is no secret.

    `type` is `controlplane` or `worker` (`init` in old ones); `image` the
    installer that the machine runs, `disk` where to; both empty where the
    configuration leaves them to defaults, `disk` also where a selector chooses
    it (Talos takes the selector where both are there). `wipe` says that the
    disk is wiped first, `unattended` that an `UnattendedInstallConfig` has it
    installed. `file` is where it lies on the controller.
    """

    file: Packed | None = None
    type: str = ""
    cluster: str = ""
    endpoint: str = ""
    image: str = ""
    disk: str = ""
    wipe: bool = False
    unattended: bool = False


@dataclass(frozen=True, slots=True)
class TalosConfig(Other):
    """The credentials of `talosctl`: where they lie on the controller, and for which cluster they are."""

    file: Packed | None = None
    context: str = ""
    endpoints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OnController(Other):
    """A file that is used where it lies, on the controller: its absolute path."""

    file: Packed | None = None


def file_of(artifact: Artifact) -> Packed | None:
    """Where a file that is used on the controller lies there."""
    return next((layer.file for layer in artifact.layers if isinstance(layer, OnController)), None)


def boot_files_of(artifact: Artifact) -> BootFiles | None:
    """Kernel and initrd taken out of an artifact; `None` when nothing was."""
    return next((layer for layer in artifact.layers if isinstance(layer, BootFiles)), None)


def disk_image_of(artifact: Artifact) -> DiskImage | None:
    """The disk image that an artifact is; `None` when it is none."""
    return next((layer for layer in artifact.layers if isinstance(layer, DiskImage)), None)


def machine_config_of(artifact: Artifact) -> MachineConfig | None:
    """The machine configuration that an artifact is; `None` when it is none."""
    return next((layer for layer in artifact.layers if isinstance(layer, MachineConfig)), None)
