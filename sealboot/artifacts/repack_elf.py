"""A program without what no kernel and no loader reads: symbol table and debug information.

What `strip` does, for every architecture alike and with a stricter rule: no
byte that is loaded moves or changes, except the three fields of the ELF header
that say where the section table is (gABI chapter 4: only linkers and debuggers
read that). Sections that stay are written again behind the last loaded byte.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

from sealboot.artifacts.elf_ident import EHDR_SIZE, PHDR_SIZE
from sealboot.artifacts.reader import Source, Window, chunks
from sealboot.artifacts.scan import read
from sealboot.model.artifact import Elf

MAX_SECTIONS = 4096
_MAX_NAMES = 1 << 20
#: Names may overlap: four thousand of them could be a gigabyte.
_MAX_NAME = 4096
_MAX_ALIGN = 1 << 16
#: 32-bit headers tell no place behind 4 GiB; alignment may move the last ones back by some.
_MAX_NARROW = 1 << 31

_NULL, _SYMTAB, _RELA, _NOBITS, _REL, _GROUP, _SYMTAB_SHNDX = 0, 2, 4, 8, 9, 17, 18
_ALLOC, _INFO_LINK = 0x2, 0x40
_DEBUG = (".debug_", ".zdebug_", ".gnu.debuglto_", ".stab")
#: name, type, flags, address, offset, size, link, info, alignment, entry size
_ENTRY = {32: "IIIIIIIIII", 64: "IIQQQQIIQQ"}


@dataclass(frozen=True, slots=True)
class Section:
    """One entry of the section table; `name` is text, the rest are its fields as numbers."""

    name: bytes
    type: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    align: int
    entry: int

    @property
    def loaded(self) -> bool:
        """Whether it is part of the running program."""
        return bool(self.flags & _ALLOC)

    @property
    def end(self) -> int:
        """The first byte in the file behind it."""
        return self.offset + (0 if self.type in {_NULL, _NOBITS} else self.size)


@dataclass(frozen=True, slots=True)
class Slim:
    """How to write a program anew: `head`, then the old bytes up to `keep`, then `tail`.

    `head` replaces the ELF header, byte for byte as long. `moved` are the
    (offset, length, padding before) of sections that follow `keep`; `table`
    is what comes last. `dropped` names what is left out.
    """

    head: bytes
    keep: int
    moved: tuple[tuple[int, int, int], ...] = ()
    table: bytes = b""
    dropped: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of the program when it is written."""
        return self.keep + sum(length + pad for _, length, pad in self.moved) + len(self.table)

    def pieces(self, source: Source) -> Iterator[bytes]:
        """The program's bytes, in order."""
        yield self.head
        yield from chunks(Window(source, len(self.head), self.keep - len(self.head)))
        for offset, length, pad in self.moved:
            yield bytes(pad)
            yield from chunks(Window(source, offset, length))
        yield self.table


def table_fields(bits: int) -> tuple[tuple[int, int], ...]:
    """Where in the ELF header the section table is told: (offset, length) of the fields that may differ."""
    return ((40, 8), (58, 6)) if bits == 64 else ((32, 4), (46, 6))


def slim(source: Source, elf: Elf) -> Slim | str:
    """The program in `source` up to `elf.end`, without symbols and debug information.

    A text says why its sections are left as they are. A program without a
    section table is returned as it is, with nothing dropped.
    """
    bits, head = elf.bits, source.at(0, EHDR_SIZE[elf.bits])
    place, numbers = table_fields(bits)
    table_at = int.from_bytes(head[place[0] : sum(place)], elf.endian)
    order = "<" if elf.endian == "little" else ">"
    entry_size, count, names_index = struct.unpack_from(order + "HHH", head, numbers[0])
    whole = Slim(head, elf.end)
    if not table_at and not count:
        return whole
    sections = _read_table(source, elf, (table_at, entry_size, count, names_index))
    if isinstance(sections, str):
        return sections
    if bits == 32 and elf.end > _MAX_NARROW:
        return "it is larger than any 32-bit program"
    headers = int.from_bytes(head[28:32] if bits == 32 else head[32:40], elf.endian)
    load_end = _load_end(elf, headers, sections)
    if load_end is None or load_end > elf.end or load_end < len(head):
        return "its headers describe bytes that are not there"
    kept, dropped = _sorted_out(sections, names_index)
    if any(s.align > _MAX_ALIGN for s in kept):
        return "a section asks for an alignment that no compiler writes"
    if not dropped or load_end + sum(s.size for s in kept if not s.loaded) >= elf.end:
        return whole  # sections may overlap: all of them together may be longer than the file
    made = _written(elf, head, load_end, kept)
    if made.size >= elf.end:
        return whole
    return replace(made, dropped=tuple(dropped))


def _read_table(source: Source, elf: Elf, told: tuple[int, int, int, int]) -> list[Section] | str:
    table_at, entry_size, count, names_index = told
    layout = ("<" if elf.endian == "little" else ">") + _ENTRY[elf.bits]
    if entry_size != struct.calcsize(layout) or not 0 < names_index < count <= MAX_SECTIONS:
        return "its section table is not an ordinary one"
    data = source.at(table_at, count * entry_size)
    if len(data) < count * entry_size:
        return "its section table is cut off"
    rows = [struct.unpack_from(layout, data, at * entry_size) for at in range(count)]
    names_at, names_size = rows[names_index][4:6]
    if names_size > _MAX_NAMES:
        return "the names of its sections are not ordinary ones"
    names = read(source, names_at, names_size)
    ends = [names.find(b"\0", row[0], row[0] + _MAX_NAME) for row in rows]
    if names_size and -1 in ends:
        return "the names of its sections are not ordinary ones"
    return [Section(names[row[0] : max(end, 0)], *row[1:]) for row, end in zip(rows, ends, strict=True)]


def _load_end(elf: Elf, headers: int, sections: list[Section]) -> int | None:
    """The first byte behind everything that any segment or loaded section describes; `None` for nonsense.

    Every segment counts, not only the loaded ones: what a note or an unknown
    segment describes may be read at run time as well. So do the program
    headers, wherever they are: a kernel reads them by the place told in `headers`.
    """
    ends = [EHDR_SIZE[elf.bits], headers + len(elf.segments) * PHDR_SIZE[elf.bits]]
    ends += [s.offset + s.filesz for s in elf.segments if s.type]
    ends += [s.end for s in sections if s.loaded]
    return max(ends) if max(ends) < 1 << 62 else None


def _sorted_out(sections: list[Section], names_index: int) -> tuple[list[Section], list[str]]:
    """The table as it will be, and the names of what is left out.

    An entry in front of a loaded section becomes an empty one instead of going:
    the dynamic symbols, which are loaded and stay as they are, count sections.
    """
    symbols = {i for i, s in enumerate(sections) if s.type == _SYMTAB and not s.loaded}
    strings = {sections[i].link for i in symbols}
    strings -= {s.link for i, s in enumerate(sections) if i not in symbols and s.type not in {_REL, _RELA}}
    out = {names_index}  # written anew
    for index, section in enumerate(sections):
        relocates = section.type in {_REL, _RELA, _GROUP, _SYMTAB_SHNDX}
        debug = section.name.startswith(tuple(p.encode() for p in _DEBUG))
        if not section.loaded and (index in symbols | strings or relocates or debug):
            out.add(index)
    last = max((i for i, s in enumerate(sections) if s.loaded), default=0)
    new: dict[int, int] = {}
    kept: list[Section] = []
    for index, section in enumerate(sections):
        if index not in out:
            new[index] = len(kept)
            kept.append(section)
        elif index < last:
            kept.append(Section(b"", _NULL, 0, 0, 0, 0, 0, 0, 0, 0))
    dropped = [
        sections[i].name.decode("utf-8", "backslashreplace")
        for i in sorted(out - {names_index})
        if not sections[i].loaded
    ]
    return [_relinked(s, new) for s in kept], dropped


def _relinked(section: Section, new: dict[int, int]) -> Section:
    points = section.type in {_REL, _RELA} or bool(section.flags & _INFO_LINK)
    info = new.get(section.info, 0) if points else section.info
    return replace(section, link=new.get(section.link, 0), info=info)


def _written(elf: Elf, head: bytes, load_end: int, kept: list[Section]) -> Slim:
    """Put what follows the loaded bytes behind them again, and the table last."""
    at = load_end
    moved: list[tuple[int, int, int]] = []
    placed: list[Section] = []
    for section in kept:
        if section.loaded or section.type in {_NULL, _NOBITS} or section.end <= load_end:
            placed.append(section)
            continue
        pad = -at % max(section.align, 1)
        moved.append((section.offset, section.size, pad))
        placed.append(replace(section, offset=at + pad))
        at += pad + section.size
    names = bytearray(b"\0")
    name_at = []
    for section in placed:
        name_at.append(len(names) if section.name else 0)
        names += section.name + b"\0" if section.name else b""
    own = len(names)
    names += b".shstrtab\0"
    placed.append(Section(b".shstrtab", 3, 0, 0, at, len(names), 0, 0, 1, 0))
    name_at.append(own)
    pad = -(at + len(names)) % 8
    order = "<" if elf.endian == "little" else ">"
    rows = b"".join(
        struct.pack(order + _ENTRY[elf.bits], where, s.type, s.flags, s.address, s.offset, s.size, s.link,
                    s.info, s.align, s.entry)
        for where, s in zip(name_at, placed, strict=True)
    )  # fmt: skip
    place, numbers = table_fields(elf.bits)
    new_head = bytearray(head)
    new_head[place[0] : sum(place)] = (at + len(names) + pad).to_bytes(place[1], elf.endian)
    struct.pack_into(order + "HH", new_head, numbers[0] + 2, len(placed), len(placed) - 1)
    return Slim(bytes(new_head), load_end, tuple(moved), bytes(names) + bytes(pad) + rows)
