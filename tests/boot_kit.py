"""Boot images made from bytes: PE files, UKIs on any stub, zboot images, kernels and initrds of every kind.

The layouts are those of the format's own specifications, written down a
second time and independently of the parsers under test.
"""

from __future__ import annotations

import gzip
import lzma
import struct
from collections.abc import Sequence

from sealboot.artifacts.zstd import zstd

MACHINES = {
    "386": 0x14C,
    "amd64": 0x8664,
    "arm": 0x1C2,
    "arm64": 0xAA64,
    "riscv64": 0x5064,
    "loong64": 0x6264,
}
FILE_ALIGN, SECTION_ALIGN = 512, 4096
_PE_AT = 0x80
_HEADERS = 4096

Part = tuple[str, bytes]


def up(value: int, to: int) -> int:
    return (value + to - 1) // to * to


def pe(machine: int = 0x8664, parts: Sequence[Part] = (), *, plus: bool = True, head: bytes = b"") -> bytes:
    """A PE image with the given sections; `head` overlays the DOS header."""
    directories = 16
    fixed = 112 if plus else 96
    optional = bytearray(fixed + directories * 8)
    struct.pack_into("<H", optional, 0, 0x20B if plus else 0x10B)
    struct.pack_into("<II", optional, 32, SECTION_ALIGN, FILE_ALIGN)
    struct.pack_into("<II", optional, 56, _HEADERS, _HEADERS)
    struct.pack_into("<H", optional, 68, 10)
    struct.pack_into("<I", optional, fixed - 4, directories)
    coff = struct.pack("<HHIIIHH", machine, 0, 0, 0, 0, len(optional), 0x0206)
    data = bytearray(_HEADERS)
    data[:2] = b"MZ"
    data[: len(head)] = head
    struct.pack_into("<I", data, 0x3C, _PE_AT)
    body = b"PE\0\0" + coff + bytes(optional)
    data[_PE_AT : _PE_AT + len(body)] = body
    return add_sections(bytes(data), parts)


def add_sections(image: bytes, parts: Sequence[Part]) -> bytes:
    """Append sections to a PE image as `ukify` would: after the others, in memory and in the file."""
    data = bytearray(image)
    at = struct.unpack_from("<I", data, 0x3C)[0]
    count, optional = struct.unpack_from("<H", data, at + 6)[0], struct.unpack_from("<H", data, at + 20)[0]
    memory, file = struct.unpack_from("<II", data, at + 24 + 32)
    table = at + 24 + optional
    rows = [struct.unpack_from("<8sIIIIIIHHI", data, table + 40 * n) for n in range(count)]
    first = min((row[4] for row in rows if row[3]), default=len(data))
    assert table + 40 * (count + len(parts)) <= first, "no room for more section headers"
    address = max((row[2] + max(row[1], row[3]) for row in rows), default=_HEADERS)
    for number, (name, content) in enumerate(parts, count):
        address = up(address, memory)
        data += bytes(up(len(data), file) - len(data))
        raw = up(len(content), file)
        row = struct.pack(
            "<8sIIIIIIHHI", name.encode(), len(content), address, raw, len(data), 0, 0, 0, 0, 0x40000040
        )
        data[table + 40 * number : table + 40 * (number + 1)] = row
        data += content + bytes(raw - len(content))
        address += len(content)
    struct.pack_into("<H", data, at + 6, count + len(parts))
    struct.pack_into("<I", data, at + 24 + 56, up(address, memory))
    return bytes(data)


def sign(image: bytes) -> bytes:
    """Append a certificate table that looks like one: what it certifies is nothing."""
    data = bytearray(image) + bytes(up(len(image), 8) - len(image))
    at = struct.unpack_from("<I", data, 0x3C)[0] + 24
    entry = at + (112 if data[at : at + 2] == b"\x0b\x02" else 96) + 4 * 8
    table = struct.pack("<IHH", 64, 0x0200, 0x0002) + bytes(56)
    struct.pack_into("<II", data, entry, len(data), len(table))
    return bytes(data) + table


def arm64_image(pages: int = 1, *, big: bool = False, size: int = 8192) -> bytes:
    """A flat arm64 Image; `pages` is the header's code for the page size (1: 4, 2: 16, 3: 64 KiB)."""
    data = bytearray(size)
    struct.pack_into("<QQQ", data, 8, 0, 1 << 20, int(big) | pages << 1 | 8)
    data[56:60] = b"ARM\x64"
    banner = b"Linux version %s\0Linux version 6.6.1-test (someone@build) (gcc 12) #1 SMP\n\0"
    data[2048 : 2048 + len(banner)] = banner
    return bytes(data)


def riscv_image() -> bytes:
    data = bytearray(4096)
    struct.pack_into("<QQQI", data, 8, 0x200000, 1 << 20, 0, 2)
    data[48:56], data[56:60] = b"RISCV\0\0\0", b"RSC\x05"
    return bytes(data)


def bzimage(
    *, wide: bool = True, protocol: int = 0x020F, packed: bytes = b"\x28\xb5\x2f\xfd", pad: int = 4000
) -> bytes:
    """An x86 boot image of four setup sectors and a payload that begins with `packed`."""
    setup = 4
    data = bytearray((setup + 1) * 512)
    data[0x1F1] = setup
    data[0x1FE:0x200] = b"\x55\xaa"
    data[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", data, 0x206, protocol)
    struct.pack_into("<H", data, 0x20E, 0x400)
    data[0x234] = 1
    struct.pack_into("<H", data, 0x236, int(wide))
    struct.pack_into("<II", data, 0x248, 16, len(packed) + pad)
    struct.pack_into("<I", data, 0x260, 1 << 24)
    text = b"6.6.1-test (someone@build) #1 SMP\0"
    data[0x600 : 0x600 + len(text)] = text
    return bytes(data) + bytes(16) + packed + bytes(pad)


def zimage(*, big: bool = False) -> bytes:
    order = ">" if big else "<"
    data = bytearray(4096)
    struct.pack_into(f"{order}IIII", data, 0x24, 0x016F2818, 0, 4096, 0x04030201)
    return bytes(data)


def s390_image() -> bytes:
    data = bytearray(0x11000)
    data[0x10008:0x1000E] = b"S390EP"
    return bytes(data)


#: Method in a zboot header -> how Linux's build compresses for it.
def _lzma(data: bytes) -> bytes:
    return lzma.compress(data, lzma.FORMAT_ALONE, preset=6)


METHODS = {
    "gzip": lambda data: gzip.compress(data, 6, mtime=0),
    "zstd22": zstd.compress,
    "xzkern": lambda data: lzma.compress(data, check=lzma.CHECK_CRC32, preset=1),
    "lzma": _lzma,
}


def zboot(image: bytes, machine: int = 0xAA64, method: str = "gzip", claimed: str = "") -> bytes:
    """`image` in an EFI zboot program, as zboot-header.S and its linker script lay it out."""
    payload = METHODS[method](image)
    # gzip ends with the inflated size; for the others the build appends it, and does not count it.
    extra = b"" if method == "gzip" else struct.pack("<I", len(image))
    shell = bytearray(pe(machine, [(".text", bytes(16) + payload + extra), (".data", bytes(512))]))
    offset = _HEADERS + 16
    name = (claimed or method).encode()
    struct.pack_into(
        "<2s2s4sII8x32sI", shell, 0, b"MZ", b"\0\0", b"zimg", offset, len(payload), name, 0x818223CD
    )
    return bytes(shell)


def cpio(files: Sequence[Part]) -> bytes:
    """A newc archive."""
    made = b""
    for number, (name, content) in enumerate([*files, ("TRAILER!!!", b"")]):
        fields = (number, 0o100644, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        entry = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        made += entry + bytes(-len(entry) % 4) + content + bytes(-len(content) % 4)
    return made


OS_RELEASE = b'ID=talos\nNAME="Talos"\nVERSION_ID=v1.14.0\nPRETTY_NAME="Talos (v1.14.0)"\n'


def uki(
    machine: int = 0xAA64, kernel: bytes | None = None, initrd: bytes | None = None, more: Sequence[Part] = ()
) -> bytes:
    """A small UKI with everything that one usually has."""
    kernel = pe(machine, [(".text", bytes(64))], head=arm64_image()[:64]) if kernel is None else kernel
    initrd = METHODS["zstd22"](cpio([("init", b"#!/bin/sh\n")])) if initrd is None else initrd
    stub = pe(
        machine, [(".text", b"\x90" * 700), (".sdmagic", b"#### LoaderInfo: systemd-stub 257.1 ####\0")]
    )
    parts = [
        (".osrel", OS_RELEASE),
        (".cmdline", b"console=ttyAMA0 talos.platform=metal"),
        (".uname", b"6.6.1-test"),
        (".linux", kernel),
        (".initrd", initrd),
    ]
    return add_sections(stub, [*parts, *more])
