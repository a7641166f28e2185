"""Linux kernels by their boot headers: what a boot loader or kexec would find in them.

Sources: Linux Documentation/arch/x86/boot.rst (bzImage), arch/arm64/booting.rst
and arch/riscv/boot-image-header.rst (Image), arch/arm/boot/compressed/head.S
(zImage), arch/s390/boot/head.S (S390).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from sealboot.artifacts.findings import Finding
from sealboot.artifacts.reader import MAX_READ, Source
from sealboot.artifacts.streams import compression
from sealboot.model.arch import Arch, Endian
from sealboot.model.artifact import Kernel

#: How much of an uncompressed image is searched for its version.
MAX_BANNER = 32 << 20

#: Covers every header below but that of s390.
_HEAD = 0x400
_VERSION_LENGTH = 255
_BANNER = b"Linux version "

_HDRS_AT, _HDRS, _HDRS_END = 0x202, b"\x55\xaaHdrS", 0x264
_PROTOCOL_32_64 = 0x020C  # since 2.12 `xloadflags` tells 64-bit kernels from 32-bit ones
_XLF_KERNEL_64 = 1
_MAGIC_AT = 56
_ARM64_MAGIC, _RISCV_MAGIC, _EFI_MAGIC = b"ARM\x64", b"RSC\x05", b"\xcd\x23\x82\x81"
_RESERVED = slice(32, 56)
_ARM64_PAGES = {1: 4096, 2: 16384, 3: 65536}
_ZIMAGE_AT = 0x24
_ZIMAGE: dict[bytes, Endian] = {b"\x18\x28\x6f\x01": "little", b"\x01\x6f\x28\x18": "big"}
_S390_AT, _S390 = 0x10008, b"S390EP"
#: Section names that every vmlinux has and no other program.
_VMLINUX = frozenset({b"__ksymtab", b".init.text"})
_WRAPPED = b".kernel:vmlinux.strip"  # a compressed kernel in powerpc's boot wrapper


@dataclass(frozen=True, slots=True)
class Found:
    """A kernel that was recognised, and what is wrong with it."""

    kernel: Kernel
    findings: tuple[Finding, ...] = ()


def identify(source: Source, pe_arch: Arch | None = None) -> Found | None:
    """The kernel that `source` begins with; `None` when it is none. Never raises.

    `pe_arch` is what the PE header of the same file says: it decides where
    the boot header leaves the architecture open. Reads some hundred bytes,
    and up to `MAX_BANNER` in search of the version.
    """
    head = source.at(0, _HEAD)
    if head[0x1FE:0x200] + head[_HDRS_AT : _HDRS_AT + 4] == _HDRS and len(head) >= _HDRS_END:
        return _bzimage(source, head, pe_arch)
    magic = head[_MAGIC_AT : _MAGIC_AT + 4]
    if magic == _ARM64_MAGIC and not any(head[_RESERVED]):  # a text may say ARMd too
        return Found(_arm64(source, head))
    if magic == _RISCV_MAGIC:
        return Found(_flat(source, head, Arch.RISCV64))
    zimage = _ZIMAGE.get(head[_ZIMAGE_AT : _ZIMAGE_AT + 4])
    if zimage is not None and len(head) >= 0x34:
        return _zimage(source, head, zimage)
    if magic == _EFI_MAGIC and pe_arch is not None:  # loongarch has no magic of its own
        return Found(_flat(source, head, pe_arch))
    if source.at(_S390_AT, len(_S390)) == _S390:
        return Found(Kernel("S390", Arch.S390X, endian="big"))
    return None


def _bzimage(source: Source, head: bytes, pe_arch: Arch | None) -> Found:
    protocol, text_at = _u16(head, 0x206), _u16(head, 0x20E)
    arch = pe_arch
    if protocol >= _PROTOCOL_32_64:
        arch = Arch.AMD64 if _u16(head, 0x236) & _XLF_KERNEL_64 else Arch.I386
    setup = (head[0x1F1] or 4) * 512  # 0 means 4, for loaders of 1995
    findings: list[Finding] = []
    packed = ""
    if protocol >= 0x0208:
        at, length = setup + 512 + _u32(head, 0x248), _u32(head, 0x24C)
        packed = compression(source.at(at, 16))
        if at + length > source.size:
            findings.append(
                Finding(
                    f"truncated: the file ends at {source.size}, the kernel at {at + length}", source.size
                )
            )
    text = source.at(text_at + 0x200, _VERSION_LENGTH) if text_at and text_at < setup else b""
    kernel = Kernel(
        "bzImage",
        arch,
        version=_release(text),
        relocatable=bool(head[0x234]) if protocol >= 0x0205 else None,
        compression=packed,
        protocol=f"{protocol >> 8}.{protocol & 0xFF:02}",
        memory=_u32(head, 0x260) if protocol >= 0x020A else None,
    )
    return Found(kernel, tuple(findings))


def _arm64(source: Source, head: bytes) -> Kernel:
    flags = _u64(head, 24)
    return Kernel(
        "Image",
        Arch.ARM64,
        version=_banner(source),
        endian="big" if flags & 1 else "little",
        page_size=_ARM64_PAGES.get(flags >> 1 & 3),
        relocatable=True,
        memory=_u64(head, 16) or None,
    )


def _flat(source: Source, head: bytes, arch: Arch) -> Kernel:
    """A flat image with its size where arm64 has it."""
    return Kernel("Image", arch, version=_banner(source), memory=_u64(head, 16) or None)


def _zimage(source: Source, head: bytes, endian: Endian) -> Found:
    start, end = (int.from_bytes(head[at : at + 4], endian) for at in (0x28, 0x2C))
    findings: tuple[Finding, ...] = ()
    if end - start > source.size:
        findings = (
            Finding(f"truncated: the file ends at {source.size}, the kernel at {end - start}", source.size),
        )
    return Found(Kernel("zImage", Arch.ARM, endian=endian), findings)


def vmlinux(source: Source, arch: Arch | None, endian: Endian) -> Kernel | None:
    """The kernel that an ELF file is; `None` for a program of userland.

    Told by section names: addresses would do for most architectures, but an
    s390 kernel is linked like a program. Reads under 128 KiB.
    """
    names = _section_names(source, endian)
    if _WRAPPED in names:
        return Kernel("zImage", arch, endian=endian)
    if names >= _VMLINUX:
        return Kernel("vmlinux", arch, version=_banner(source), endian=endian)
    return None


def _section_names(source: Source, endian: Endian) -> frozenset[bytes]:
    head = source.at(0, 64)
    order = "<" if endian == "little" else ">"
    wide = head[4:5] == b"\x02"
    if len(head) < 64:
        return frozenset()
    (start,) = struct.unpack_from(f"{order}Q" if wide else f"{order}I", head, 0x28 if wide else 0x20)
    size, count, index = struct.unpack_from(f"{order}HHH", head, 0x3A if wide else 0x2E)
    if size != (64 if wide else 40) or index >= count or count > 1024:
        return frozenset()
    row = source.at(start + index * size, size)
    if len(row) < size:
        return frozenset()
    at, length = struct.unpack_from(f"{order}QQ" if wide else f"{order}II", row, 24 if wide else 16)
    return frozenset(source.at(at, min(length, 1 << 16)).split(b"\0"))


def _banner(source: Source) -> str:
    """The release in `Linux version 6.1.0-18-arm64 (...`, which the kernel itself prints first."""
    kept, at = b"", 0
    while at < min(source.size, MAX_BANNER):
        data = kept + source.at(at, MAX_READ)
        if len(data) == len(kept):
            break
        place = data.find(_BANNER)
        while 0 <= place < len(data) - _VERSION_LENGTH:
            release = _release(data[place + len(_BANNER) : place + _VERSION_LENGTH])
            if release[:1].isdigit():  # the format string `Linux version %s` is there too
                return release
            place = data.find(_BANNER, place + 1)
        at += len(data) - len(kept)
        kept = data[-_VERSION_LENGTH:]
    return ""


def _release(text: bytes) -> str:
    word = text.split(b"\0", 1)[0].split(b" ", 1)[0]
    return word.decode("ascii", "backslashreplace")[:_VERSION_LENGTH]


def _u16(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "little")


def _u32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")


def _u64(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 8], "little")
