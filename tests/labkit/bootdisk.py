"""Disks that UEFI boots from: one EFI system partition with one unified kernel image."""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path

from boot_kit import add_sections

from labkit.apt import LabUnavailableError
from labkit.debs import extract

_LOADERS = {"amd64": "BOOTX64.EFI", "arm64": "BOOTAA64.EFI"}
_SECTOR = 512
#: Where the partition begins, in sectors.
_FIRST = 2048
#: Bytes beyond the image: tables of the file system, and its root.
_MARGIN = 16 << 20


def stub(debian: str) -> Path:
    """systemd's stub for Debian's architecture `debian`, as `ukify` would use it."""
    (found,) = extract("systemd-boot-efi", debian).glob("usr/lib/systemd/boot/efi/linux*.efi.stub")
    return found


def uki(debian: str, kernel: bytes, initrd: bytes, cmdline: str, os_release: bytes = b"ID=lab\n") -> bytes:
    """A unified kernel image on systemd's stub for Debian's architecture `debian`."""
    parts = [(".osrel", os_release), (".cmdline", cmdline.encode()), (".linux", kernel), (".initrd", initrd)]
    return add_sections(stub(debian).read_bytes(), parts)


def disk(image: bytes, debian: str, folder: Path) -> bytes:
    """A disk with that UKI where firmware looks on removable media; `folder` is for temporary files.

    Partitioned as in the days of the MBR, with the type for EFI (UEFI 2.10, section 5.2.2).
    """
    size = (len(image) + _MARGIN) // (1 << 20) << 20
    path, loader = folder / "disk.raw", folder / _LOADERS[debian]
    loader.write_bytes(image)
    head = bytearray(_FIRST * _SECTOR)
    head[446:462] = struct.pack("<B3sB3sII", 0, b"\0\2\0", 0xEF, b"\xff" * 3, _FIRST, size // _SECTOR)
    head[510:512] = b"\x55\xaa"
    path.write_bytes(bytes(head) + bytes(size))
    place = f"{path}@@{_FIRST * _SECTOR}"
    shape = ("-T", str(size // _SECTOR), "-h", "64", "-s", "32", "-H", str(_FIRST))
    _mtool("mformat", "-i", place, *shape, "::")
    _mtool("mmd", "-i", place, "::/EFI", "::/EFI/BOOT")
    _mtool("mcopy", "-i", place, str(loader), "::/EFI/BOOT/")
    made = path.read_bytes()
    path.unlink()
    loader.unlink()
    return made


def _mtool(name: str, *arguments: str) -> None:
    # All programs of the package are one, which goes by the name that it is told.
    program = extract("mtools", "amd64") / "usr/bin/mtools"
    done = subprocess.run(
        [str(program), "-c", name, *arguments],
        env=os.environ | {"MTOOLS_SKIP_CHECK": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise LabUnavailableError(f"{name}: {done.stderr.strip()}")


def firmware() -> Path:
    """UEFI for amd64 machines."""
    return extract("ovmf", "amd64") / "usr/share/ovmf/OVMF.fd"
