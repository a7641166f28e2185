"""The two small binary things of a transcript: an ELF header and an auxiliary vector, as hex text."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from sealboot.model.arch import Arch, Endian, arch_from_elf

_AT_PAGESZ = 6
_EM_ARM = 0x28
_EF_ARM_SOFT = 0x200
_EF_ARM_HARD = 0x400
_HEX = re.compile(r"[0-9a-fA-F]{2}")


@dataclass(frozen=True, slots=True)
class Head:
    """What the ELF header of the running shell says (gABI chapter 4)."""

    arch: Arch | None
    machine: int
    bits: int
    endian: Endian
    hard_float: bool | None


def from_hex(text: str, limit: int = 4096) -> bytes:
    """The bytes of a hex dump without offsets; whatever is no pair of digits ends it."""
    out = bytearray()
    for token in text.split():
        if not _HEX.fullmatch(token) or len(out) >= limit:
            break
        out.append(int(token, 16))
    return bytes(out)


def head(raw: bytes) -> Head | None:
    """Read the first bytes of an ELF file; `None` when they are none."""
    if len(raw) < 20 or raw[:4] != b"\x7fELF" or raw[4] not in {1, 2} or raw[5] not in {1, 2}:
        return None
    endian: Endian = "little" if raw[5] == 1 else "big"
    bits = 32 * raw[4]
    machine = int.from_bytes(raw[18:20], endian)
    return Head(
        arch_from_elf(machine, bits, endian), machine, bits, endian, _float(raw, machine, bits, endian)
    )


def _float(raw: bytes, machine: int, bits: int, endian: Endian) -> bool | None:
    if machine != _EM_ARM or bits != 32 or len(raw) < 40:
        return None
    flags = int.from_bytes(raw[36:40], endian)
    if flags & _EF_ARM_HARD:
        return True
    return False if flags & _EF_ARM_SOFT else None


def page_size(auxv: bytes, bits: int, endian: Endian) -> int | None:
    """AT_PAGESZ of an auxiliary vector, in bytes; `None` when it is absent or no power of two."""
    layout = struct.Struct(("<" if endian == "little" else ">") + ("QQ" if bits == 64 else "II"))
    usable = auxv[: len(auxv) // layout.size * layout.size]
    for kind, value in layout.iter_unpack(usable):
        if kind == _AT_PAGESZ:
            return plausible_page(value)
    return None


def plausible_page(value: int) -> int | None:
    """A page size as Linux has them: a power of two from 4 KiB to 256 KiB."""
    return value if 4096 <= value <= 262144 and value & (value - 1) == 0 else None
