"""Slimming and rewriting never raise, never make more than there was, and never touch what is loaded."""

from __future__ import annotations

import io
import struct
import tracemalloc
from dataclasses import dataclass, replace

import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import given, settings
from hypothesis import strategies as st
from payload_kit import component
from repack_kit import archive, noise, with_sections

from sealboot.artifacts.elf import parse
from sealboot.artifacts.reader import Memory
from sealboot.artifacts.repack_elf import MAX_SECTIONS, Slim, slim, table_fields
from sealboot.artifacts.repack_proof import same_contents, same_end, same_memory
from sealboot.artifacts.repack_zip import rewrite
from sealboot.artifacts.zipend import find_archive
from sealboot.lab import tinyelf
from sealboot.model.arch import Arch

SMALL = archive(1, 100)


def sample(arch: Arch) -> bytes:
    rows = [
        (".debug_info", 1, 1, noise(6400)), (".symtab", 2, 8, noise(640)), (".strtab", 3, 1, b"\0main\0"),
        (".comment", 1, 1, b"GCC\0"), (".rela.debug_info", 4, 8, noise(640)), (".group", 17, 4, noise(64)),
    ]  # fmt: skip
    return with_sections(tinyelf.make(arch, "hello\n"), arch, rows)


def made_of(data: bytes) -> tuple[Slim | str, bytes]:
    source = Memory(data)
    elf = parse(source).elf
    if elf is None or elf.end > len(data):
        return "unreadable", b""
    made = slim(source, elf)
    return made, b"" if isinstance(made, str) else b"".join(made.pieces(source))


@pytest.mark.parametrize("arch", tinyelf.supported())
def test_another_reader_finds_the_sections_that_stay(arch: Arch) -> None:
    made, data = made_of(sample(arch))
    assert isinstance(made, Slim)
    assert len(data) == made.size
    sections = {s.name: s.data() for s in ELFFile(io.BytesIO(data)).iter_sections() if s.name}
    assert set(sections) == {".text", ".comment", ".shstrtab"}
    assert sections[".comment"] == b"GCC\0"
    again, same = made_of(data)
    assert isinstance(again, Slim)
    assert (again.dropped, same) == ((), data)


def test_what_is_loaded_keeps_its_number() -> None:
    """Dynamic symbols count sections: an entry in front of a loaded one becomes an empty one."""
    data = bytearray(sample(Arch.AMD64))
    table = int.from_bytes(data[40:48], "little")
    rows = [bytes(data[table + 64 * i : table + 64 * (i + 1)]) for i in range(8)]
    rows[1], rows[2] = rows[2], rows[1]  # the debug section now stands in front of .text
    data[table : table + 512] = b"".join(rows)
    _, made = made_of(bytes(data))
    sections = list(ELFFile(io.BytesIO(made)).iter_sections())
    assert [s.name for s in sections] == ["", "", ".text", ".comment", ".shstrtab"]
    assert sections[1]["sh_type"] == "SHT_NULL"


@settings(max_examples=200, deadline=None)
@given(
    arch=st.sampled_from([Arch.AMD64, Arch.ARM, Arch.S390X]),
    edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255), st.booleans()), max_size=12),
)
def test_mutated_programs(arch: Arch, edits: list[tuple[float, int, bool]]) -> None:
    data = bytearray(sample(arch))
    table = int.from_bytes(data[32:36] if arch is Arch.ARM else data[40:48], arch.info.endian)
    for where, value, in_table in edits:
        low = table if in_table else 0
        data[low + int(where * (len(data) - low - 1))] = value
    made, new = made_of(bytes(data))
    if isinstance(made, str):
        return
    assert len(new) == made.size <= len(data)
    fields = {i for at, size in table_fields(arch.info.bits) for i in range(at, at + size)}
    assert all(new[i] == data[i] for i in range(min(made.keep, len(new))) if i not in fields)


@settings(max_examples=200, deadline=None)
@given(edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=8), tail=st.booleans())
def test_mutated_archives(edits: list[tuple[float, int]], tail: bool) -> None:
    data = bytearray(b"program" * 9 + SMALL)
    for where, value in edits:
        low = len(data) - 260 if tail else 0
        data[low + int(where * (len(data) - low - 1))] = value
    source = Memory(bytes(data))
    found = find_archive(source, 0)
    if found is None or found.broken:
        return
    out = io.BytesIO(b"prefix")
    out.seek(6)
    done = rewrite(source, found, out)
    if done.why_not:
        return
    made = Memory(out.getvalue())
    assert len(out.getvalue()) == 6 + done.length
    proof = same_contents(source, found, made, find_archive(made, 0))
    assert proof.proven or "changed" in proof.differs


def test_an_archive_is_rewritten_field_by_field() -> None:
    source = Memory(archive(1))
    old = find_archive(source, 0)
    assert old
    out = io.BytesIO()
    done = rewrite(source, old, out)
    assert (done.smaller, done.why_not) == (3, "")
    made = out.getvalue()
    for data in (source.data, made):
        at = data.rindex(b"PK\x01\x02")
        assert (
            data[at + 12 : at + 16] == source.data[source.data.rindex(b"PK\x01\x02") + 12 :][:4]
        )  # the time
    at = made.rindex(b"PK\x01\x02")
    assert struct.unpack_from("<H", made, at + 8)[0] & 8 == 0
    assert struct.unpack_from("<H", made, 6)[0] & 8 == 0


@pytest.mark.parametrize(("offset", "value"), [(8, 1), (10, 12)], ids=["encrypted", "bzip2"])
def test_what_go_could_not_read_is_not_rewritten(offset: int, value: int) -> None:
    data = bytearray(archive(1))
    at = data.rindex(b"PK\x01\x02")
    data[at + offset] |= value
    source = Memory(bytes(data))
    found = find_archive(source, 0)
    assert found
    assert "in a way that is not rewritten" in rewrite(source, found, io.BytesIO()).why_not


def test_proofs_see_a_single_byte() -> None:
    data = tinyelf.make(Arch.AMD64, "hello\n") + component(Arch.AMD64, "x", 100)
    elf = parse(Memory(data)).elf
    assert elf
    assert same_memory(Memory(data), Memory(data), elf).proven
    assert same_end(Memory(data), Memory(b"more" + data), 50).proven
    fields = {i for at, size in table_fields(64) for i in range(at, at + size)}
    for place in range(elf.end):
        other = bytearray(data)
        other[place] ^= 0x80
        assert bool(same_memory(Memory(data), Memory(bytes(other)), elf).differs) == (place not in fields)
    for place in (-1, -50):
        other = bytearray(data)
        other[place] ^= 1
        assert same_end(Memory(data), Memory(bytes(other)), 50).differs
    assert same_end(Memory(data), Memory(data[-40:]), 50).differs


def overlapping(data: bytes, names: bytes) -> bytes:
    """The program with a table of as many sections as may be, whose names are the ends of each other."""
    header = 64
    table_at = len(data) + len(names)
    rows = [bytes(header), struct.pack("<IIQQQQIIQQ", 0, 3, 0, 0, len(data), len(names), 0, 0, 1, 0)]
    rows += [struct.pack("<IIQQQQIIQQ", at, 2, 0, 0, 0, 0, 0, 0, 1, 0) for at in range(2, MAX_SECTIONS)]
    head = bytearray(data)
    struct.pack_into("<Q", head, 40, table_at)
    struct.pack_into("<HHH", head, 58, header, MAX_SECTIONS, 1)
    return bytes(head) + names + b"".join(rows)


def test_names_that_overlap_cost_no_gigabytes() -> None:
    data = overlapping(tinyelf.make(Arch.AMD64, "hello\n"), b"A" * ((1 << 20) - 1) + b"\0")
    tracemalloc.start()
    try:
        made, _ = made_of(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert made == "the names of its sections are not ordinary ones"
    assert peak < 16 << 20


def test_program_headers_behind_the_last_segment_stay() -> None:
    """No segment needs to hold them: the kernel reads them where the ELF header says."""
    data = with_sections(
        tinyelf.make(Arch.AMD64, "hello\n"), Arch.AMD64, [(".debug_info", 1, 1, noise(6400))]
    )
    at, count = struct.unpack_from("<Q", data, 32)[0], struct.unpack_from("<H", data, 56)[0]
    moved = bytearray(data + data[at : at + 56 * count])
    struct.pack_into("<Q", moved, 32, len(data))
    data = bytes(moved)
    made, written = made_of(data)
    assert isinstance(made, Slim)
    before, after = parse(Memory(data)).elf, parse(Memory(written)).elf
    assert before is not None
    assert after is not None
    assert before.segments == after.segments


@dataclass
class Counting:
    """Zeros without end, and how many of them were read."""

    size: int
    read: int = 0

    def at(self, offset: int, length: int) -> bytes:
        del offset
        self.read += length
        return bytes(length)


def test_segments_in_each_other_are_read_once() -> None:
    size = 32 << 20
    elf = parse(Memory(tinyelf.make(Arch.AMD64, "hello\n"))).elf
    assert elf is not None
    part = replace(elf.segments[0], type=4, offset=0, filesz=size)
    source = Counting(size)
    nested = [replace(part, offset=at, filesz=size - at) for at in range(1000)]
    assert not same_memory(source, source, replace(elf, segments=tuple(nested))).differs
    assert source.read == 2 * size


def test_no_32_bit_header_is_written_with_a_place_that_it_cannot_tell() -> None:
    data = sample(Arch.ARM)
    elf = parse(Memory(data)).elf
    assert elf is not None
    assert slim(Memory(data), replace(elf, end=5 << 30)) == "it is larger than any 32-bit program"
