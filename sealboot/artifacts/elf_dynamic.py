"""PT_DYNAMIC: needed libraries and symbol versions, through segments alone (sections may lie or be gone).

Structures: gABI chapter 5 and the LSB's symbol versioning, over bounded
buffers; every count that the file names has a cap here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sealboot.artifacts.elf_header import Layout
from sealboot.artifacts.elf_ident import MalformedError
from sealboot.artifacts.elf_segments import PT_DYNAMIC, file_offset
from sealboot.artifacts.reader import Source
from sealboot.model.artifact import Segment

#: Real programs have about 30 entries, 10 libraries and 20 versions.
MAX_ENTRIES = 4096
MAX_NEEDED = 512
MAX_VERSIONS = 2048
MAX_STRING = 1024

_VER_FLG_WEAK = 0x2
#: Verneed (version, count, file, first, next) and Vernaux (hash, flags, other, name, next), whatever the class.
_VERNEED, _VERNAUX = "HHIII", "IHHII"
_NULL, _NEEDED, _STRTAB, _VERNEED_AT, _VERNEED_COUNT = 0, 1, 5, 0x6FFFFFFE, 0x6FFFFFFF


@dataclass(frozen=True, slots=True)
class Dynamic:
    """What the program's loader will be asked for."""

    needed: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Tables:
    source: Source
    layout: Layout
    segments: tuple[Segment, ...]
    strings: int

    def string(self, index: int) -> str:
        raw = self.source.at(self.strings + index, MAX_STRING).split(b"\0", 1)[0]
        return raw.decode("utf-8", "backslashreplace")


def read_dynamic(source: Source, layout: Layout, segments: tuple[Segment, ...]) -> Dynamic:
    """Needed libraries and versions; raises `MalformedError` where a table lies outside the file."""
    segment = next((s for s in segments if s.type == PT_DYNAMIC), None)
    if segment is None:
        return Dynamic()
    entries = list(_entries(source, layout, segment, segments))
    values = dict(reversed(entries))  # the first of each tag
    strings = _place(segments, values, _STRTAB, "DT_STRTAB")
    if strings is None:
        return Dynamic()
    tables = _Tables(source, layout, segments, strings)
    needed = [tables.string(value) for tag, value in entries if tag == _NEEDED][:MAX_NEEDED]
    verneed = _place(segments, values, _VERNEED_AT, "DT_VERNEED")
    versions = list(_versions(tables, verneed, values.get(_VERNEED_COUNT, 0))) if verneed else []
    return Dynamic(tuple(dict.fromkeys(needed)), tuple(dict.fromkeys(versions)))


def _entries(
    source: Source, layout: Layout, segment: Segment, segments: tuple[Segment, ...]
) -> Iterator[tuple[int, int]]:
    """Tag and value until DT_NULL."""
    row = layout.row("II", "QQ")
    size = row.size
    loaded = file_offset(segments, segment.vaddr)  # a loader goes by the address
    data = source.at(segment.offset if loaded is None else loaded, min(segment.filesz, MAX_ENTRIES * size))
    for tag, value in row.iter_unpack(data[: len(data) // size * size]):
        if tag == _NULL:
            return
        yield tag, value


def _place(segments: tuple[Segment, ...], values: dict[int, int], tag: int, name: str) -> int | None:
    address = values.get(tag)
    if address is None:
        return None
    offset = file_offset(segments, address)
    if offset is None:
        raise MalformedError(f"{name} points at {address:#x}, which is not in the file")
    return offset


def _versions(tables: _Tables, at: int, count: int) -> Iterator[str]:
    """The chain of Verneed records, each with its chain of Vernaux: both only ever move forward."""
    budget = MAX_VERSIONS
    for _ in range(min(count, MAX_NEEDED)):
        _, names, _, first, following = _record(tables, at, _VERNEED)
        aux = at + first
        for _ in range(names):
            budget -= 1
            if budget < 0:
                raise MalformedError(f"more than {MAX_VERSIONS} symbol versions", at)
            _, flags, _, name, step = _record(tables, aux, _VERNAUX)
            if not flags & _VER_FLG_WEAK:
                yield tables.string(name)
            if not step:
                break
            aux += step
        if not following:
            return
        at += following


def _record(tables: _Tables, at: int, fields: str) -> tuple[int, ...]:
    row = tables.layout.row(fields)
    data = tables.source.at(at, row.size)
    if len(data) < row.size:
        raise MalformedError("symbol versions lie outside the file", at)
    return row.unpack(data)
