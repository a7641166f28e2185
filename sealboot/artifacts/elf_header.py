"""The ELF header: its first 64 bytes decide the architecture, and nothing else is asked for that.

Field layout: System V gABI, chapter 4. The header's structure is pyelftools';
what a lying header could make unbounded is never handed to it. Rows of tables
are one `struct` each, which takes a fiftieth of the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from io import BytesIO
from itertools import product
from struct import Struct
from typing import Literal

from elftools.common.utils import struct_parse
from elftools.elf.structs import ELFStructs

from sealboot.artifacts.reader import Source
from sealboot.model.arch import Arch, Endian, arch_from_elf

#: Size of the ELF header, and of one program header, by class in bits.
EHDR_SIZE = {32: 52, 64: 64}
PHDR_SIZE = {32: 32, 64: 56}

_EI_CLASS, _EI_DATA, _EI_OSABI = 4, 5, 7
_CLASSES: dict[int, Literal[32, 64]] = {1: 32, 2: 64}
_ENDIANS: dict[int, Endian] = {1: "little", 2: "big"}
_TYPE_AT, _MACHINE_AT = 16, 18


class MalformedError(Exception):
    """Internal to this room: what is wrong, and at which offset. Becomes a value in `elf.parse`."""

    def __init__(self, what: str, offset: int = 0) -> None:
        super().__init__(what)
        self.offset = offset


@dataclass(frozen=True, slots=True)
class Layout:
    """How to read the rest of the file: class, byte order and pyelftools' structures for them."""

    bits: Literal[32, 64]
    endian: Endian
    structs: ELFStructs

    def word(self, data: bytes, offset: int) -> int:
        """The 32-bit unsigned number at `offset`."""
        return int.from_bytes(data[offset : offset + 4], self.endian)

    def row(self, narrow: str, wide: str = "") -> Struct:
        """How to read a table's rows: their fields in letters of `struct`, of a 32-bit file and of a 64-bit one."""
        return _row(self.endian, narrow if self.bits == 32 or not wide else wide)


@dataclass(frozen=True, slots=True)
class Header:
    """The ELF header as numbers. `bits` and `endian` are what the identification *claims*."""

    layout: Layout
    bits: int
    endian: Endian
    machine: int
    type: int
    osabi: int
    flags: int
    entry: int
    arch: Arch | None
    laid_out_as: Arch | None
    phoff: int
    phentsize: int
    phnum: int
    shoff: int
    shentsize: int
    shnum: int


def read_header(source: Source) -> Header:
    """Read the header; raises `MalformedError` when there is no whole one."""
    head = source.at(0, EHDR_SIZE[64])
    if len(head) < EHDR_SIZE[32]:
        raise MalformedError(f"ends inside the ELF header: {len(head)} bytes", len(head))
    claimed_bits = _CLASSES.get(head[_EI_CLASS])
    claimed_endian = _ENDIANS.get(head[_EI_DATA])
    arch = _arch(head, claimed_bits, claimed_endian) if claimed_bits and claimed_endian else None
    laid_out = None if arch else _laid_out(head)
    bits, endian = _readable(claimed_bits, claimed_endian, laid_out)
    if len(head) < EHDR_SIZE[bits]:
        raise MalformedError(f"ends inside the ELF header: {len(head)} bytes", len(head))
    layout = Layout(bits, endian, _structs(bits, endian))
    # Numbers only: the parser refuses class and data bytes that it has no name for.
    numbers = head[:_EI_CLASS] + bytes((1, 1)) + head[_EI_DATA + 1 :]
    raw = struct_parse(layout.structs.Elf_Ehdr, BytesIO(numbers), 0)
    shown_bits = claimed_bits or bits
    shown_endian = claimed_endian or endian
    return Header(
        layout=layout,
        bits=shown_bits,
        endian=shown_endian,
        machine=_half(head, _MACHINE_AT, shown_endian),
        type=_half(head, _TYPE_AT, endian),
        osabi=head[_EI_OSABI],
        flags=raw["e_flags"],
        entry=raw["e_entry"],
        arch=arch,
        laid_out_as=laid_out,
        phoff=raw["e_phoff"],
        phentsize=raw["e_phentsize"],
        phnum=raw["e_phnum"],
        shoff=raw["e_shoff"],
        shentsize=raw["e_shentsize"],
        shnum=raw["e_shnum"],
    )


@cache
def _row(endian: Endian, fields: str) -> Struct:
    return Struct(("<" if endian == "little" else ">") + fields)


@cache  # describing them takes longer than reading a file
def _structs(bits: int, endian: Endian) -> ELFStructs:
    structs = ELFStructs(little_endian=endian == "little", elfclass=bits)
    structs.create_basic_structs()
    structs.create_advanced_structs()
    return structs


def _half(head: bytes, offset: int, endian: Endian) -> int:
    return int.from_bytes(head[offset : offset + 2], endian)


def _arch(head: bytes, bits: int, endian: Endian) -> Arch | None:
    return arch_from_elf(_half(head, _MACHINE_AT, endian), bits, endian)


def _laid_out(head: bytes) -> Arch | None:
    """The architecture whose layout the header has, when class or data byte say otherwise.

    Asked only when the claimed triple is unknown. The size of a program header
    must match too, so an x32 file (x86-64 in 32-bit layout) is not taken for one.
    """
    for bits, endian in product(PHDR_SIZE, _ENDIANS.values()):
        arch = _arch(head, bits, endian)
        phentsize_at = EHDR_SIZE[bits] - 10
        if arch is not None and _half(head, phentsize_at, endian) == PHDR_SIZE[bits]:
            return arch
    return None


def _readable(
    bits: Literal[32, 64] | None, endian: Endian | None, laid_out: Arch | None
) -> tuple[Literal[32, 64], Endian]:
    if laid_out is not None:
        return laid_out.info.bits, laid_out.info.endian
    if bits is None:
        raise MalformedError("the class byte says neither 32 nor 64 bits", _EI_CLASS)
    if endian is None:
        raise MalformedError("the data byte says neither little nor big endian", _EI_DATA)
    return bits, endian
