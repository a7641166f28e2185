"""Build attributes of ARM programs: what they ask of a processor, and what broken ones must not do."""

from __future__ import annotations

import struct
from pathlib import Path

import elf_corpus
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealboot.artifacts import inspect
from sealboot.artifacts.arm_attributes import attributes
from sealboot.model.arch import Arch

_V5TE, _V6, _V6KZ, _V7, _V8 = 4, 6, 7, 10, 14
_THUMB_1, _THUMB_2 = 1, 2


def encoded(*pairs: tuple[int, int | bytes]) -> bytes:
    """A whole attributes section, as assemblers write it."""
    body = b"".join(
        bytes((tag, value)) if isinstance(value, int) else bytes((tag,)) + value for tag, value in pairs
    )
    file = b"\x01" + struct.pack("<I", len(body) + 5) + body
    vendor = b"aeabi\0" + file
    return b"A" + struct.pack("<I", len(vendor) + 4) + vendor


MOVW, MOVT, NOP = 0xE300_0000, 0xE340_0000, 0xE1A0_0000


def code(*, constants: int) -> bytes:
    """A thousand A32 instructions, so many of them MOVW and MOVT by turns."""
    words = [MOVT if n % 2 else MOVW for n in range(constants)] + [NOP] * (1000 - constants)
    return struct.pack("<1000I", *words)


def program(section: bytes, text: bytes = b"") -> bytes:
    """A sound ARM program with that section, a section table that names it, and more code behind its own."""
    start = elf_corpus.static(Arch.ARM, "arm")
    size = struct.unpack_from("<I", start, 52 + 16)[0] + len(text)
    code = start[:68] + struct.pack("<II", size, size) + start[76:] + text
    names = b"\0.ARM.attributes\0.shstrtab\0"
    at = len(code)
    table = at + len(section) + len(names)

    def row(name: int, kind: int, offset: int, size: int) -> bytes:
        return struct.pack("<10I", name, kind, 0, 0, offset, size, 0, 0, 1, 0)

    rows = row(0, 0, 0, 0) + row(1, 0x70000003, at, len(section)) + row(17, 3, at + len(section), len(names))
    head = bytearray(code + section + names + rows)
    head[32:36] = struct.pack("<I", table)
    head[46:52] = struct.pack("<HHH", 40, 3, 2)
    return bytes(head)


def level(tmp_path: Path, content: bytes) -> int | None:
    return levels(tmp_path, content)[0]


def levels(tmp_path: Path, content: bytes) -> tuple[int | None, int | None]:
    path = tmp_path / "program"
    path.write_bytes(content)
    elf = inspect(path, "program").elf
    assert elf is not None
    assert not elf.defect
    return elf.arm_level, elf.arm_claim


@pytest.mark.parametrize(
    ("arch", "thumb", "expected"),
    [
        (_V5TE, _THUMB_1, 5),
        (_V6, _THUMB_1, 6),
        (_V6KZ, 0, 6),
        (2, _THUMB_1, None),  # v4T
        (13, _THUMB_2, None),  # v7E-M: no processor for Linux
    ],
)
def test_what_the_compiler_was_told(arch: int, thumb: int, expected: int | None, tmp_path: Path) -> None:
    section = encoded(
        (5, b"a processor\0"), (6, arch), (8, 1), (9, thumb), (32, b"\x01gnu\0"), (67, b"2.09\0"), (34, 1)
    )
    assert level(tmp_path, program(section)) == expected


@pytest.mark.parametrize("arch", [_V7, _V8])
@pytest.mark.parametrize(
    ("constants", "expected"),
    [
        (0, (None, 7)),
        (1, (None, 7)),  # one in a thousand: objects that ask the processor before they use it
        (7, (7, None)),  # the least that was measured in a program for ARMv7
        (31, (7, None)),  # Debian's busybox for armhf
    ],
)
def test_attributes_of_armv7_count_where_the_code_shows_it(
    arch: int, constants: int, expected: tuple[int | None, int | None], tmp_path: Path
) -> None:
    section = encoded((6, arch), (8, 1), (9, _THUMB_2))
    assert levels(tmp_path, program(section, code(constants=constants))) == expected


def test_the_machine_field_decides_whether_they_are_read(tmp_path: Path) -> None:
    assert level(tmp_path, elf_corpus.static(Arch.ARM, "arm")) is None
    assert level(tmp_path, elf_corpus.static(Arch.AMD64, "amd64")) is None


def test_texts_are_passed_over() -> None:
    assert attributes(encoded((4, b"\x06\x07\0"), (6, 10), (65, b"\x09\x02\0"), (9, 2))) == {6: 10, 9: 2}


@pytest.mark.parametrize(
    "section",
    [
        b"",
        b"A",
        b"B" + encoded((6, 10))[1:],
        encoded((6, 10)).replace(b"aeabi", b"gnuuu"),
        encoded((6, 10)).replace(b"\0\x01", b"\0\x02"),  # attributes of one section alone
        encoded((5, b"no end")),
    ],
)
def test_what_is_not_as_it_should_be_tells_nothing(section: bytes) -> None:
    assert 6 not in attributes(section)


@given(st.binary(max_size=200))
def test_no_bytes_break_it(data: bytes) -> None:
    attributes(data)
    attributes(b"A\xff\xff\xff\xffaeabi\0\x01\xff\xff\xff\xff" + data)
