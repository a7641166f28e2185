from __future__ import annotations

import struct

import pytest
from elf_corpus import GLIBC_LOADERS, abi_note, dynamic, put, samples, static, x86_isa_note

from sealboot.artifacts.elf import parse
from sealboot.artifacts.elf_dynamic import MAX_STRING
from sealboot.artifacts.elf_segments import MAX_INTERP
from sealboot.artifacts.reader import Memory
from sealboot.lab import tinyelf
from sealboot.model.arch import Arch
from sealboot.model.artifact import Elf

BY_NAME = {sample.name: sample for sample in samples()}


def elf(data: bytes) -> Elf:
    parsed = parse(Memory(data))
    assert parsed.elf is not None
    return parsed.elf


def whats(data: bytes) -> list[str]:
    return [finding.what for finding in parse(Memory(data)).findings]


@pytest.mark.parametrize("arch", tinyelf.supported())
def test_the_header(arch: Arch) -> None:
    data = static(arch, "x")
    found = elf(data)
    info = arch.info
    assert (found.arch, found.bits, found.endian, found.machine) == (
        arch,
        info.bits,
        info.endian,
        info.machine,
    )
    assert (found.type, found.osabi, found.flags) == (2, 0, tinyelf.TARGETS[arch].flags)
    assert (found.entry, found.end) == (tinyelf.BASE + tinyelf.headers_size(arch, 1), len(data))
    assert [(s.type, s.flags, s.offset, s.vaddr, s.align) for s in found.segments] == [
        (1, 5, 0, tinyelf.BASE, tinyelf.ALIGN)
    ]
    assert found.segments[0].filesz == found.segments[0].memsz == len(data)


@pytest.mark.parametrize("arch", tinyelf.supported())
def test_what_a_dynamic_file_wants(arch: Arch) -> None:
    data = dynamic(
        arch,
        "x",
        interpreter=GLIBC_LOADERS[arch],
        needed=("libc.so.6", "libm.so.6"),
        versions=("GLIBC_2.2.5", "GLIBC_2.34"),
        note=abi_note(arch, 4, 19, 3),
    )
    found = elf(data)
    assert found.interpreter == GLIBC_LOADERS[arch]
    assert found.needed == ("libc.so.6", "libm.so.6")
    assert found.symbol_versions == ("GLIBC_2.2.5", "GLIBC_2.34")
    assert found.min_kernel == (4, 19, 3)
    assert not found.static
    assert not found.defect


@pytest.mark.parametrize(("bits", "level"), [(0b1, 1), (0b11, 2), (0b100, 3), (0b1111, 4), (0, None)])
def test_the_x86_level_note(bits: int, level: int | None) -> None:
    data = dynamic(Arch.AMD64, "x", interpreter="/lib64/ld", note=x86_isa_note(bits))
    assert elf(data).x86_level == level


def test_arm_float_flags() -> None:
    hard = [elf(BY_NAME[name].bytes).hard_float for name in ("static-arm", "arm-soft-float", "arm-old-abi")]
    assert hard == [True, False, None]
    assert elf(BY_NAME["static-arm64"].bytes).hard_float is None


@pytest.mark.parametrize(
    ("name", "arch", "laid_out"),
    [
        ("x32", None, None),
        ("class-flipped-amd64", None, Arch.AMD64),
        ("data-flipped-arm64", None, Arch.ARM64),
        ("class-flipped-s390x", None, Arch.S390X),
        ("machine-zero-amd64", None, None),
        ("machine-unknown-386", None, None),
        ("osabi-freebsd-amd64", Arch.AMD64, None),
    ],
)
def test_the_triple_decides(name: str, arch: Arch | None, laid_out: Arch | None) -> None:
    found = elf(BY_NAME[name].bytes)
    assert (found.arch, found.laid_out_as) == (arch, laid_out)


def test_flipped_data_shows_the_number_as_it_reads() -> None:
    assert elf(BY_NAME["data-flipped-amd64"].bytes).machine == 15872


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("phnum-zero-amd64", "no program headers"),
        ("phnum-huge-arm64", "65535 program headers, more than a kernel reads"),
        ("phentsize-odd-386", "a program header of 24 bytes instead of 32"),
        ("phoff-beyond-s390x", "inside its program headers"),
        ("entry-outside-amd64", "the entry point 0x10000000 lies in no segment"),
        ("cut-table-arm64", "the file ends at 90, inside its program headers"),
        ("cut-code-amd64", "truncated: the file ends at 132, a segment needs 174"),
        ("interp-no-nul-amd64", "an interpreter path without its final NUL"),
        ("interp-empty-amd64", "an empty interpreter path"),
        ("interp-one-amd64", "an interpreter path of 1 bytes"),
        ("interp-huge-arm64", "an interpreter path of 33554432 bytes"),
    ],
)
def test_defects_are_named(name: str, what: str) -> None:
    found = elf(BY_NAME[name].bytes)
    assert what in found.defect
    assert whats(BY_NAME[name].bytes)[0] == found.defect


@pytest.mark.parametrize(
    ("data", "what", "offset"),
    [
        (BY_NAME["empty-header-amd64"].bytes, "ends inside the ELF header: 16 bytes", 16),
        (BY_NAME["cut-header-arm64"].bytes, "ends inside the ELF header: 60 bytes", 60),
        (put(BY_NAME["static-amd64"].bytes[:18] + bytes(50), 4, b"\x07"), "neither 32 nor 64 bits", 4),
        (put(BY_NAME["static-amd64"].bytes[:18] + bytes(50), 5, b"\x09"), "neither little nor big", 5),
    ],
)
def test_without_a_header_there_is_no_elf(data: bytes, what: str, offset: int) -> None:
    parsed = parse(Memory(data))
    assert parsed.elf is None
    assert what in parsed.findings[0].what
    assert (parsed.findings[0].offset, parsed.findings[0].fatal) == (offset, True)


def test_a_nonsense_class_byte_is_read_by_the_layout() -> None:
    found = elf(put(BY_NAME["static-amd64"].bytes, 4, b"\x07"))
    assert (found.arch, found.laid_out_as, found.defect) == (None, Arch.AMD64, "")


def with_sections(data: bytes, *sections: tuple[int, int, int]) -> bytes:
    """A 64-bit little-endian file with a section table of (type, offset, size) behind it."""
    table = b"".join(struct.pack("<IIQQQQIIQQ", 0, k, 0, 0, o, s, 0, 0, 0, 0) for k, o, s in sections)
    return put(put(data, 40, struct.pack("<Q", len(data))), 58, struct.pack("<HH", 64, len(sections))) + table


def test_the_end_counts_sections_and_their_table() -> None:
    plain = static(Arch.AMD64, "x")
    data = with_sections(plain, (0, 1 << 60, 1 << 60), (8, 10, 1 << 40), (1, 16, 20))
    assert elf(data).end == len(data)
    assert elf(data + b"payload").end == len(data)


def test_a_missing_section_is_an_error_that_leaves_the_program_loadable() -> None:
    data = with_sections(static(Arch.AMD64, "x"), (0, 0, 0), (1, 16, 0x10000))
    parsed = parse(Memory(data))
    assert parsed.elf is not None
    assert parsed.elf.defect == ""
    assert [(f.fatal, f.what) for f in parsed.findings] == [
        (True, f"truncated: the file ends at {len(data)}, its sections at 65552")
    ]


def test_an_object_file_needs_no_program_headers() -> None:
    data = put(BY_NAME["type-rel-amd64"].bytes, 54, struct.pack("<HH", 0, 0))
    parsed = parse(Memory(data))
    assert parsed.elf is not None
    assert not parsed.elf.executable
    assert not any(f.fatal for f in parsed.findings)


def many_segments(count: int) -> bytes:
    start = tinyelf.headers_size(Arch.AMD64, count)
    null = tinyelf.program_header(Arch.AMD64, kind=0, flags=0, offset=0, address=0, size=0, align=0)
    code = tinyelf.program(Arch.AMD64, tinyelf.BASE + start, b"x", 0)
    load = tinyelf.program_header(
        Arch.AMD64, kind=1, flags=5, offset=0, address=tinyelf.BASE, size=start + len(code), align=0x1000
    )
    header = tinyelf.elf_header(Arch.AMD64, entry=tinyelf.BASE + start, segments=count)
    return header + null * (count - 1) + load + code


def test_many_program_headers_are_read_and_told() -> None:
    assert whats(many_segments(256)) == []
    parsed = parse(Memory(many_segments(1170)))
    assert parsed.elf is not None
    assert (len(parsed.elf.segments), parsed.elf.defect) == (1170, "")
    assert [(f.what, f.fatal) for f in parsed.findings] == [("1170 program headers", False)]
    assert "more than a kernel reads" in whats(many_segments(1171))[0]


def test_a_dynamic_section_that_points_nowhere_is_only_a_remark() -> None:
    data = dynamic(Arch.AMD64, "x", interpreter="/lib64/ld", needed=("libc.so.6",))
    strtab = data.index(struct.pack("<Q", 5), 64 + 3 * 56)
    parsed = parse(Memory(put(data, strtab + 8, struct.pack("<Q", 1 << 62))))
    assert parsed.elf is not None
    assert (parsed.elf.needed, parsed.elf.defect) == ((), "")
    assert ["DT_STRTAB points at" in f.what for f in parsed.findings] == [True]


def test_long_names_are_cut() -> None:
    data = dynamic(Arch.AMD64, "x", interpreter="/" + "l" * (MAX_INTERP - 2), needed=("n" * 5000,))
    found = elf(data)
    assert found.interpreter is not None
    assert len(found.interpreter) == MAX_INTERP - 1
    assert found.needed == ("n" * MAX_STRING,)


@pytest.mark.parametrize(
    ("arch", "flags", "defect"),
    [
        (Arch.AMD64, 5, ""),
        (Arch.AMD64, 1, ""),
        (Arch.AMD64, 6, "is not executable"),
        (Arch.I386, 4, ""),
        (Arch.I386, 0, "is not executable"),
    ],
)
def test_the_entry_point_must_be_executable(arch: Arch, flags: int, defect: str) -> None:
    at = 64 + 4 if arch is Arch.AMD64 else 52 + 24
    assert defect in elf(put(static(arch, "x"), at, bytes([flags]))).defect
    assert bool(defect) is bool(elf(put(static(arch, "x"), at, bytes([flags]))).defect)


def test_memory_beyond_any_address_space() -> None:
    data = put(static(Arch.AMD64, "x"), 64 + 40, struct.pack("<Q", 1 << 47))
    assert "beyond the address space" in elf(data).defect


@pytest.mark.parametrize(
    ("header", "offset", "value", "what"),
    [
        (0, 16, 1 << 40, "PT_INTERP lies at 0x10000000000, where nothing is loaded"),
        (2, 16, 1 << 40, "PT_DYNAMIC lies at 0x10000000000, where nothing is loaded"),
        (2, 0, 0, "a loader, but no PT_DYNAMIC"),
    ],
)
def test_what_a_loader_would_stumble_over(header: int, offset: int, value: int, what: str) -> None:
    data = dynamic(Arch.AMD64, "x", interpreter="/lib64/ld", needed=("libc.so.6",))
    assert elf(data).defect == ""
    raw = struct.pack("<Q", value) if offset else struct.pack("<I", value)
    assert elf(put(data, 64 + header * 56 + offset, raw)).defect == what


def test_the_dynamic_section_is_found_by_its_address_as_a_loader_does() -> None:
    data = dynamic(Arch.AMD64, "x", interpreter="/lib64/ld", needed=("libc.so.6",))
    assert elf(put(data, 64 + 2 * 56 + 8, struct.pack("<Q", 1 << 40))).needed == ("libc.so.6",)
