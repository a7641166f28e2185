"""Look-alikes of self-extracting programs, and hand-made Go build information.

A look-alike is a real, runnable ELF program of a few hundred bytes in which
the parts that an inspector looks at lie where Go's linker and the projects'
build scripts put them.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

from sealboot.lab import tinyelf
from sealboot.model.arch import Arch

MAGIC = b"\xff Go buildinf:"
FRAME = bytes(range(0x30, 0x40))


def go_info(path: str, settings: Mapping[str, str], module: str = "") -> bytes:
    """Module information as Go writes it, in its frame of two 16-byte marks."""
    lines = [f"path\t{path}"]
    lines += [f"mod\t{module}\t"] if module else []
    lines += [f"build\t{name}={value}" for name, value in settings.items()]
    return FRAME + "".join(f"{line}\n" for line in lines).encode() + FRAME


def varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*out, number))


def go_inline(toolchain: str, info: bytes, arch: Arch) -> bytes:
    """Build information of Go 1.18 and later: two strings behind the 32-byte header."""
    word = arch.info.bits // 8
    header = (MAGIC + bytes((word, 2))).ljust(32, b"\0")
    return header + b"".join(varint(len(part)) + part for part in (toolchain.encode(), info))


def go_pointed(toolchain: str, info: bytes, arch: Arch, address: int) -> bytes:
    """Build information before Go 1.18: addresses of string headers. Lies at `address` in memory."""
    word = arch.info.bits // 8
    order = arch.info.endian

    def number(value: int) -> bytes:
        return value.to_bytes(word, order)

    first, second = address + 32, address + 32 + 2 * word
    text = second + 2 * word
    header = MAGIC + bytes((word, int(order == "big"))) + number(first) + number(second)
    tool = toolchain.encode()
    strings = number(text) + number(len(tool)) + number(text + len(tool)) + number(len(info))
    return header.ljust(32, b"\0") + strings + tool + info


def program(arch: Arch, *parts: bytes, text: str = "x\n", flags: int = 7) -> bytes:
    """A runnable program with `parts` behind its code, each at a multiple of 16, all in one segment."""
    start = tinyelf.headers_size(arch, 1)
    body = bytearray(tinyelf.program(arch, tinyelf.BASE + start, text.encode(), 0))
    for part in parts:
        body += bytes(-(start + len(body)) % 16) + part
    size = start + len(body)
    segment = tinyelf.program_header(
        arch, kind=1, flags=flags, offset=0, address=tinyelf.BASE, size=size, align=tinyelf.ALIGN
    )
    return tinyelf.elf_header(arch, entry=tinyelf.BASE + start, segments=1) + segment + bytes(body)


def address_of_part(arch: Arch, text: str = "x\n") -> int:
    """Where in memory the first part of `program` lies."""
    start = tinyelf.headers_size(arch, 1)
    end = start + len(tinyelf.program(arch, tinyelf.BASE + start, text.encode(), 0))
    return tinyelf.BASE + end + -end % 16


def with_section(data: bytes, arch: Arch, name: str, offset: int, size: int) -> bytes:
    """`data` with a section table at its end that names one section."""
    wide = arch.info.bits == 64
    order = "<" if arch.info.endian == "little" else ">"
    names = b"\0.shstrtab\0" + name.encode() + b"\0"
    names_at = len(data)
    table_at = names_at + len(names)
    layout = order + ("IIQQQQIIQQ" if wide else "IIIIIIIIII")
    entries: Sequence[tuple[int, int, int, int]] = (
        (0, 0, 0, 0),
        (11, 1, offset, size),
        (1, 3, names_at, len(names)),
    )
    table = b"".join(
        struct.pack(layout, n, kind, 0, 0, at, long, 0, 0, 1, 0) for n, kind, at, long in entries
    )
    head = bytearray(data)
    struct.pack_into(order + ("Q" if wide else "I"), head, 40 if wide else 32, table_at)
    struct.pack_into(order + "HHH", head, 58 if wide else 46, 64 if wide else 40, 3, 2)
    return bytes(head) + names + table
