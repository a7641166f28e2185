"""PT_DYNAMIC: needed libraries and symbol versions, through segments alone (sections may lie or be gone).

Structures: gABI chapter 5 and the LSB's symbol versioning, through pyelftools'
parsers over bounded buffers; every count that the file names has a cap here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

from elftools.common.utils import struct_parse

from sealboot.artifacts.elf_header import Layout, MalformedError
from sealboot.artifacts.elf_segments import PT_DYNAMIC, file_offset
from sealboot.artifacts.reader import Source
from sealboot.model.artifact import Segment

#: Real programs have about 30 entries, 10 libraries and 20 versions.
MAX_ENTRIES = 4096
MAX_NEEDED = 512
MAX_VERSIONS = 2048
MAX_STRING = 1024

_VER_FLG_WEAK = 0x2
_VERNEED_SIZE = 16


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
    strings = _place(segments, values, "DT_STRTAB")
    if strings is None:
        return Dynamic()
    tables = _Tables(source, layout, segments, strings)
    needed = [tables.string(value) for tag, value in entries if tag == "DT_NEEDED"][:MAX_NEEDED]
    verneed = _place(segments, values, "DT_VERNEED")
    versions = list(_versions(tables, verneed, values.get("DT_VERNEEDNUM", 0))) if verneed else []
    return Dynamic(tuple(dict.fromkeys(needed)), tuple(dict.fromkeys(versions)))


def _entries(
    source: Source, layout: Layout, segment: Segment, segments: tuple[Segment, ...]
) -> Iterator[tuple[str, int]]:
    """Tag and value until DT_NULL. Tags of no known name come out as their number in text."""
    size = 2 * layout.bits // 8
    loaded = file_offset(segments, segment.vaddr)  # a loader goes by the address
    data = source.at(segment.offset if loaded is None else loaded, min(segment.filesz, MAX_ENTRIES * size))
    for at in range(0, len(data) - size + 1, size):
        raw = struct_parse(layout.structs.Elf_Dyn, BytesIO(data[at : at + size]), 0)
        tag = str(raw["d_tag"])
        if tag == "DT_NULL":
            return
        yield tag, int(raw["d_val"])


def _place(segments: tuple[Segment, ...], values: dict[str, int], tag: str) -> int | None:
    address = values.get(tag)
    if address is None:
        return None
    offset = file_offset(segments, address)
    if offset is None:
        raise MalformedError(f"{tag} points at {address:#x}, which is not in the file")
    return offset


def _versions(tables: _Tables, at: int, count: int) -> Iterator[str]:
    """The chain of Verneed records, each with its chain of Vernaux: both only ever move forward."""
    budget = MAX_VERSIONS
    for _ in range(min(count, MAX_NEEDED)):
        need = _record(tables, at, "Elf_Verneed")
        aux = at + need["vn_aux"]
        for _ in range(need["vn_cnt"]):
            budget -= 1
            if budget < 0:
                raise MalformedError(f"more than {MAX_VERSIONS} symbol versions", at)
            entry = _record(tables, aux, "Elf_Vernaux")
            if not entry["vna_flags"] & _VER_FLG_WEAK:
                yield tables.string(entry["vna_name"])
            if not entry["vna_next"]:
                break
            aux += entry["vna_next"]
        if not need["vn_next"]:
            return
        at += need["vn_next"]


def _record(tables: _Tables, at: int, name: str) -> dict[str, int]:
    data = tables.source.at(at, _VERNEED_SIZE)
    if len(data) < _VERNEED_SIZE:
        raise MalformedError("symbol versions lie outside the file", at)
    return dict(struct_parse(getattr(tables.layout.structs, name), BytesIO(data), 0))
