"""Notes: the oldest kernel a program accepts (NT_GNU_ABI_TAG) and the x86 level it needs.

Sources: LSB core, "special sections"; the x86-64 psABI, chapter "program
property" (GNU_PROPERTY_X86_ISA_1_NEEDED). Found through PT_NOTE, not sections.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

from elftools.common.utils import struct_parse

from sealboot.artifacts.elf_header import Layout
from sealboot.artifacts.elf_segments import PT_GNU_PROPERTY, PT_NOTE
from sealboot.artifacts.reader import Source
from sealboot.model.artifact import Segment

#: Bytes read of one note segment, and note segments read of one file.
MAX_NOTES = 64 << 10
MAX_SEGMENTS = 16
MAX_OWNERS = 16
_OWNER_SIZE = 16
_GNU = b"GNU"

_NT_GNU_ABI_TAG, _NT_GNU_PROPERTY = 1, 5
_ABI_LINUX = "ELF_NOTE_OS_LINUX"
_X86_ISA_NEEDED = 0xC0008002
_NHDR = 12
_ABI_SIZE = 16
_LEVELS = 4


@dataclass(frozen=True, slots=True)
class Notes:
    """What the notes demand of a host."""

    min_kernel: tuple[int, ...] | None = None
    x86_level: int | None = None
    owners: tuple[bytes, ...] = ()
    abi_tag: int | None = None  # the system of NT_GNU_ABI_TAG, 0 for Linux


def read_notes(source: Source, layout: Layout, segments: tuple[Segment, ...]) -> Notes:
    """Read all note segments, bounded; unknown notes are passed over."""
    min_kernel: tuple[int, ...] | None = None
    x86_level: int | None = None
    owners: list[bytes] = []
    abi_tag: int | None = None
    found = [s for s in segments if s.type in {PT_NOTE, PT_GNU_PROPERTY}]
    for segment in found[:MAX_SEGMENTS]:
        data = source.at(segment.offset, min(segment.filesz, MAX_NOTES))
        for owner, kind, body in _notes(data, layout, 8 if segment.align == 8 else 4):
            if owner not in owners and len(owners) < MAX_OWNERS:
                owners.append(owner)
            if owner != _GNU:
                continue
            if kind == _NT_GNU_ABI_TAG:
                abi_tag = layout.word(body, 0) if len(body) >= _ABI_SIZE else abi_tag
                min_kernel = _abi(body, layout) or min_kernel
            elif kind == _NT_GNU_PROPERTY:
                x86_level = max(filter(None, (x86_level, _isa(body, layout))), default=None)
    return Notes(min_kernel, x86_level, tuple(owners), abi_tag)


def _notes(data: bytes, layout: Layout, align: int) -> Iterator[tuple[bytes, int, bytes]]:
    """Owner, type and body of each note."""
    at = 0
    while at + _NHDR <= len(data):
        name_size, body_size, kind = (layout.word(data, at + i) for i in (0, 4, 8))
        name_at = at + _NHDR
        body_at = _up(name_at + name_size, align)
        owner = data[name_at : name_at + min(name_size, _OWNER_SIZE)].split(b"\0", 1)[0]
        yield owner, kind, data[body_at : body_at + body_size]
        at = _up(body_at + body_size, align)


def _abi(body: bytes, layout: Layout) -> tuple[int, ...] | None:
    if len(body) < _ABI_SIZE:
        return None
    raw = struct_parse(layout.structs.Elf_abi, BytesIO(body), 0)
    if raw["abi_os"] != _ABI_LINUX:
        return None
    return (raw["abi_major"], raw["abi_minor"], raw["abi_tiny"])


def _isa(body: bytes, layout: Layout) -> int | None:
    """The highest level among the bits of the ISA property: bit 0 is the baseline, bit 3 is v4."""
    at = 0
    while at + 8 <= len(body):
        kind, size = layout.word(body, at), layout.word(body, at + 4)
        if kind == _X86_ISA_NEEDED and size == 4:
            bits = layout.word(body, at + 8) & ((1 << _LEVELS) - 1)
            return bits.bit_length() or None
        at = _up(at + 8 + size, layout.bits // 8)
    return None


def _up(value: int, align: int) -> int:
    return (value + align - 1) // align * align
