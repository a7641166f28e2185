"""The ELF header: its first 64 bytes decide the architecture, and nothing else is asked for that.

Field layout: System V gABI, chapter 4. The header's structure is pyelftools';
what a lying header could make unbounded is never handed to it. Rows of tables
are one `struct` each, which takes a fiftieth of the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from io import BytesIO
from struct import Struct
from typing import Literal

from elftools.common.utils import struct_parse
from elftools.elf.structs import ELFStructs

from sealboot.artifacts.elf_ident import EHDR_SIZE, identify
from sealboot.artifacts.reader import Source
from sealboot.model.arch import Arch, Endian

_EI_CLASS, _EI_DATA, _EI_OSABI = 4, 5, 7


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
    ident = identify(head)
    bits, endian = ident.layout
    layout = Layout(bits, endian, _structs(bits, endian))
    # Numbers only: the parser refuses class and data bytes that it has no name for.
    numbers = head[:_EI_CLASS] + bytes((1, 1)) + head[_EI_DATA + 1 :]
    raw = struct_parse(layout.structs.Elf_Ehdr, BytesIO(numbers), 0)
    return Header(
        layout=layout,
        bits=ident.bits,
        endian=ident.endian,
        machine=ident.machine,
        type=ident.type,
        osabi=head[_EI_OSABI],
        flags=raw["e_flags"],
        entry=raw["e_entry"],
        arch=ident.arch,
        laid_out_as=ident.laid_out_as,
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
