"""One section by its name. No kernel reads sections: what they say only tells where to look first."""

from __future__ import annotations

from dataclasses import dataclass

from sealboot.artifacts.elf_ident import EHDR_SIZE
from sealboot.artifacts.reader import Source
from sealboot.model.artifact import Elf

#: Section headers and bytes of names looked at; programs have some dozens.
MAX_SECTIONS = 4096
MAX_NAMES = 1 << 16

_SHDR_SIZE = {32: 40, 64: 64}


@dataclass(frozen=True, slots=True)
class Found:
    """Where in the file a section begins; `None` without such a section. `named`: others have names."""

    offset: int | None = None
    named: bool = False


def find_section(source: Source, elf: Elf, name: str) -> Found:
    """Look for the first section called `name`."""
    bits = elf.laid_out_as.info.bits if elf.laid_out_as else elf.bits
    endian = elf.laid_out_as.info.endian if elf.laid_out_as else elf.endian
    size, word = _SHDR_SIZE[bits], bits // 8

    def number(data: bytes, at: int, length: int) -> int:
        return int.from_bytes(data[at : at + length], endian)

    head = source.at(0, EHDR_SIZE[bits])
    if len(head) < EHDR_SIZE[bits]:
        return Found()
    table_at = number(head, 24 + 2 * word, word)
    entry, count, names_index = (number(head, len(head) - i, 2) for i in (6, 4, 2))
    if not table_at or entry != size or names_index >= count:
        return Found()
    table = source.at(table_at, min(count, MAX_SECTIONS) * size)

    def offset_and_length(index: int) -> tuple[int, int]:
        at = index * size + 8 + 2 * word  # after name, type, flags and address
        return number(table, at, word), number(table, at + word, word)

    names_at, names_length = offset_and_length(names_index)
    names = source.at(names_at, min(names_length, MAX_NAMES))
    wanted = name.encode() + b"\0"
    for index in range(len(table) // size if wanted in names else 0):
        start = number(table, index * size, 4)
        if names[start : start + len(wanted)] == wanted:
            return Found(offset_and_length(index)[0], named=True)
    return Found(named=len(names.strip(b"\0")) > 0)
