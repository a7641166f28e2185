"""Debian's own boot files of any architecture: systemd's EFI stub, and the kernel that the lab's machines boot."""

from __future__ import annotations

from pathlib import Path

from labkit.debs import extract
from labkit.vm import kernel_of


def stub(debian: str) -> bytes:
    """systemd's stub for Debian's architecture `debian`, as `ukify` would use it."""
    (found,) = extract("systemd-boot-efi", debian).glob("usr/lib/systemd/boot/efi/linux*.efi.stub")
    return found.read_bytes()


def kernel(debian: str) -> Path:
    """The kernel that the lab boots on `debian` machines, as its package has it."""
    return kernel_of(debian)
