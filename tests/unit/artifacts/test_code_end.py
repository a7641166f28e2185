"""Where the code of a program ends, by its section table."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from elf_corpus import put, static
from fit_kit import artifact_of, elf_of

from sealboot.model.arch import Arch

CODE, DATA = 4, 1


def with_sections(arch: Arch, *sections: tuple[int, int, int], align: int) -> bytes:
    """A static program with a section table of (flags, address, size), its segment aligned to `align`."""
    wide = arch.info.bits == 64
    data = static(arch, "x")
    if wide:
        table = b"".join(struct.pack("<IIQQQQIIQQ", 0, 1, *s[:2], 0, s[2], 0, 0, 1, 0) for s in sections)
        data = put(data, 40, struct.pack("<Q", len(data)))
        return (
            put(put(data, 58, struct.pack("<HH", 64, len(sections))), 112, struct.pack("<Q", align)) + table
        )
    table = b"".join(struct.pack("<IIIIIIIIII", 0, 1, *s[:2], 0, s[2], 0, 0, 1, 0) for s in sections)
    data = put(data, 32, struct.pack("<I", len(data)))
    return put(put(data, 46, struct.pack("<HH", 40, len(sections))), 80, struct.pack("<I", align)) + table


@pytest.mark.parametrize("arch", [Arch.ARM64, Arch.ARM])
@pytest.mark.parametrize(
    ("sections", "align", "end"),
    [
        (((CODE, 0x1000, 0x80), (CODE | DATA, 0x2000, 0x30), (DATA, 0x3000, 5)), 4096, 0x2030),
        (((DATA, 0x3000, 5),), 4096, None),
        ((), 4096, None),
        (((CODE, 0x1000, 0x80),), 65536, None),
    ],
)
def test_the_last_section_with_code(
    arch: Arch, sections: tuple[tuple[int, int, int], ...], align: int, end: int | None, tmp_path: Path
) -> None:
    data = with_sections(arch, *sections, align=align)
    assert elf_of(artifact_of(tmp_path, "x", data)).code_end == end


def test_it_is_not_asked_where_all_kernels_have_the_same_pages(tmp_path: Path) -> None:
    data = with_sections(Arch.AMD64, (CODE, 0x1000, 0x80), align=4096)
    assert elf_of(artifact_of(tmp_path, "x", data)).code_end is None
