"""A real program cut off at every boundary of its structure, and in the middle of every part."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO

from elftools.elf.elffile import ELFFile


def cuts(program: bytes) -> list[tuple[int, str]]:
    """Where to cut, in bytes from the beginning, and what that place is; each place once, in order."""
    places: dict[int, str] = {}
    for at, what in _places(ELFFile(BytesIO(program))):
        if 0 < at < len(program):
            places.setdefault(at, what)
    return sorted(places.items())


def _places(elf: ELFFile) -> Iterator[tuple[int, str]]:
    header = elf.header
    table, entry, count = header["e_phoff"], header["e_phentsize"], header["e_phnum"]
    yield 16, "behind the ELF identification"
    yield header["e_ehsize"], "behind the ELF header"
    yield table + entry, "behind the first program header"
    yield table + entry * count // 2, "amid the program headers"
    yield table + entry * count, "behind the program headers"
    for number, segment in enumerate(elf.iter_segments()):
        kind, start, size = segment["p_type"], segment["p_offset"], segment["p_filesz"]
        if kind in {"PT_LOAD", "PT_INTERP", "PT_DYNAMIC"} and size:
            name = f"segment {number} ({kind})"
            yield start, f"before {name}"
            yield start + size // 2, f"amid {name}"
            yield start + size, f"behind {name}"
    sections, entry, count = header["e_shoff"], header["e_shentsize"], header["e_shnum"]
    if sections and count:
        yield sections, "before the section headers"
        yield sections + entry * count // 2, "amid the section headers"
        yield sections + entry * count - 1, "one byte before the end of the section headers"
