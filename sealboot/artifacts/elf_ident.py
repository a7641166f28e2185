"""Class, byte order and machine of an ELF file, from the first 64 bytes and nothing else.

Field layout: System V gABI, chapter 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Literal

from sealboot.model.arch import Arch, Endian, arch_from_elf

#: Size of the ELF header, and of one program header, by class in bits.
EHDR_SIZE = {32: 52, 64: 64}
PHDR_SIZE = {32: 32, 64: 56}

_EI_CLASS, _EI_DATA = 4, 5
_CLASSES: dict[int, Literal[32, 64]] = {1: 32, 2: 64}
_ENDIANS: dict[int, Endian] = {1: "little", 2: "big"}
_TYPE_AT, _MACHINE_AT = 16, 18


class MalformedError(Exception):
    """Internal to this room: what is wrong, and at which offset. Becomes a value in `elf.parse`."""

    def __init__(self, what: str, offset: int = 0) -> None:
        super().__init__(what)
        self.offset = offset


@dataclass(frozen=True, slots=True)
class Ident:
    """`bits` and `endian` are what the identification *claims*; `layout` is how the rest is to be read."""

    bits: int
    endian: Endian
    machine: int
    type: int
    arch: Arch | None
    laid_out_as: Arch | None
    layout: tuple[Literal[32, 64], Endian]


def identify(head: bytes) -> Ident:
    """Read the first bytes of a file; raises `MalformedError` when there is no whole ELF header."""
    if len(head) < EHDR_SIZE[32]:
        raise MalformedError(f"ends inside the ELF header: {len(head)} bytes", len(head))
    claimed_bits = _CLASSES.get(head[_EI_CLASS])
    claimed_endian = _ENDIANS.get(head[_EI_DATA])
    arch = _arch(head, claimed_bits, claimed_endian) if claimed_bits and claimed_endian else None
    laid_out = None if arch else _laid_out(head)
    bits, endian = _readable(claimed_bits, claimed_endian, laid_out)
    if len(head) < EHDR_SIZE[bits]:
        raise MalformedError(f"ends inside the ELF header: {len(head)} bytes", len(head))
    shown_endian = claimed_endian or endian
    return Ident(
        bits=claimed_bits or bits,
        endian=shown_endian,
        machine=_half(head, _MACHINE_AT, shown_endian),
        type=_half(head, _TYPE_AT, endian),
        arch=arch,
        laid_out_as=laid_out,
        layout=(bits, endian),
    )


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
