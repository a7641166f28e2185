"""Files made to hang, bloat or crash whoever looks at them: each answers at once, within bounds."""

from __future__ import annotations

import resource
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from elf_corpus import GLIBC_LOADERS, Sample, dynamic, kernel_samples, put, samples, static
from fit_kit import artifact_of
from hypothesis import given, settings
from hypothesis import strategies as st
from source_kit import Counting

from sealboot.artifacts import inspect
from sealboot.artifacts.elf import Parsed, parse
from sealboot.artifacts.reader import Memory
from sealboot.lab import tinyelf
from sealboot.model.arch import Arch
from sealboot.model.artifact import Kind
from sealboot.model.diagnostic import Severity

#: Reading takes milliseconds; the machine may be busy.
SECONDS = 2.0
SOUND = [
    static(Arch.AMD64, "x"),
    static(Arch.S390X, "x"),
    static(Arch.ARM, "x"),
    dynamic(
        Arch.AMD64,
        "x",
        interpreter=GLIBC_LOADERS[Arch.AMD64],
        needed=("libc.so.6",),
        versions=("GLIBC_2.34",),
    ),
    dynamic(Arch.S390X, "x", interpreter=GLIBC_LOADERS[Arch.S390X], needed=("a",), versions=("B_1", "C_2")),
]


def quickly(data: bytes) -> Parsed:
    source = Counting(Memory(data))
    started = time.process_time()
    parsed = parse(source)
    assert time.process_time() - started < SECONDS
    assert source.read < 8 << 20
    return parsed


def test_a_sparse_terabyte_with_lying_section_counts(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    data = put(static(Arch.AMD64, "x"), 40, struct.pack("<Q", 1 << 39))
    path.write_bytes(put(data, 58, struct.pack("<HH", 64, 0)))
    with path.open("r+b") as file:
        file.truncate(1 << 40)
        file.seek((1 << 39) + 32)
        file.write(struct.pack("<Q", 1 << 33))  # sh_size of section 0: "8 589 934 592 sections"
    started = time.process_time()
    found = inspect(path, "sparse")
    assert time.process_time() - started < SECONDS
    assert [d.code for d in found.diagnostics] == ["SB409"]
    assert found.size == 1 << 40


@pytest.mark.parametrize(
    "change",
    [
        lambda d: put(put(d, 40, struct.pack("<Q", 1 << 63)), 58, struct.pack("<HH", 64, 65535)),
        lambda d: put(put(d, 40, struct.pack("<Q", 64)), 58, struct.pack("<HH", 64, 65535)),
        lambda d: put(put(d, 40, struct.pack("<Q", 64)), 58, struct.pack("<HH", 0, 65535)),
        lambda d: put(put(d, 40, struct.pack("<Q", 2**64 - 1)), 58, struct.pack("<HH", 1, 1)),
        lambda d: put(d, 32, struct.pack("<Q", 2**64 - 1)),
        lambda d: put(d, 64 + 8, struct.pack("<Q", 2**64 - 1)),
    ],
)
def test_lying_tables(change: Callable[[bytes], bytes]) -> None:
    parsed = quickly(change(static(Arch.AMD64, "x")))
    assert parsed.elf is not None
    assert parsed.elf.arch is Arch.AMD64
    assert parsed.findings


def test_an_interpreter_of_32_mib_is_not_read() -> None:
    data = put(dynamic(Arch.AMD64, "x", interpreter="/lib64/ld"), 64 + 32, struct.pack("<Q", 32 << 20))
    source = Counting(Memory(data + b"x" * (33 << 20)))
    parsed = parse(source)
    assert parsed.elf is not None
    assert "interpreter path of 33554432 bytes" in parsed.elf.defect
    assert source.read < 1 << 16


def test_version_chains_cannot_run_away() -> None:
    """Every Vernaux points 16 bytes on, for 65535 entries in each of 65535 records."""
    data = bytearray(dynamic(Arch.AMD64, "x", interpreter="/l", needed=("libc.so.6",), versions=("A_1",)))
    verneed = data.index(struct.pack("<HH", 1, 1) + data[data.index(b"\x01\x00\x01\x00") + 4 :][:4])
    chain = struct.pack("<IHHII", 0, 0, 0, 1, 16) * 20000
    place = len(data)
    data += chain
    data[verneed : verneed + 16] = struct.pack("<HHIII", 1, 65535, 1, place - verneed, 1)
    data[64 + 56 + 32 : 64 + 56 + 48] = struct.pack("<QQ", len(data), len(data))
    parsed = quickly(bytes(data))
    assert parsed.elf is not None
    assert len(parsed.elf.symbol_versions) <= 2048
    assert any("symbol versions" in finding.what for finding in parsed.findings)


def test_a_huge_dynamic_section_is_cut() -> None:
    data = dynamic(Arch.AMD64, "x", interpreter="/lib64/ld", needed=("libc.so.6",))
    size = 4 << 20
    grown = bytearray(data + struct.pack("<QQ", 1, 1) * (size // 16))
    entry = 64 + 2 * 56
    grown[entry + 16 : entry + 24] = struct.pack("<Q", tinyelf.BASE + len(data))
    grown[64 + 56 + 32 : 64 + 56 + 48] = struct.pack("<QQ", len(grown), len(grown))
    grown[entry + 32 : entry + 40] = struct.pack("<Q", size)
    assert quickly(bytes(grown)).elf is not None


def test_notes_of_zero_and_huge_sizes_end() -> None:
    for note in (bytes(65536), b"\xff" * 65536, struct.pack("<III", 4, 0xFFFFFFF0, 5) + b"GNU\0"):
        assert quickly(dynamic(Arch.AMD64, "x", interpreter="/l", note=note)).elf is not None


@pytest.mark.parametrize("sample", [*samples(), *kernel_samples()], ids=lambda s: s.name)
def test_every_sample_is_a_value(sample: Sample, tmp_path: Path) -> None:
    found = artifact_of(tmp_path, sample.name, sample.bytes)
    assert found.kind is Kind.ELF
    assert found.sha256
    assert found.elf is not None or any(d.code == "SB401" for d in found.diagnostics)
    for finding in found.diagnostics:
        if finding.code == "SB401":
            assert int(dict(finding.evidence)["offset"]) >= 0
    fatal = any(d.severity is Severity.ERROR for d in found.diagnostics)
    assert fatal or found.elf is not None


def test_names_in_samples_are_unique_and_stable() -> None:
    first, second = samples(), samples()
    assert first == second
    assert len({sample.name for sample in first}) == len(first)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(st.sampled_from(SOUND)))
    for _ in range(draw(st.integers(1, 6))):
        if not data:
            break
        at = draw(st.integers(0, min(len(data) - 1, 700)))
        match draw(st.integers(0, 4)):
            case 0:
                data[at] = draw(st.integers(0, 255))
            case 1:
                data[at : at + 8] = draw(st.sampled_from((b"\xff" * 8, bytes(8), b"\x80" + bytes(7))))
            case 2:
                data[at : at + 4] = draw(st.binary(min_size=4, max_size=4))
            case 3:
                del data[at:]
            case _:
                data += draw(st.binary(max_size=64))
    return bytes(data)


@settings(max_examples=600, deadline=None)
@given(mutated())
def test_mutations_never_raise(data: bytes) -> None:
    parsed = quickly(data)
    assert parsed.elf is not None or parsed.findings


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_anything_after_the_magic(tail: bytes) -> None:
    parsed = quickly(b"\x7fELF" + tail)
    assert parsed.elf is not None or parsed.findings


def test_memory_stays_small() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for data in SOUND:
        for at in range(0, 120, 4):
            quickly(put(data, at, b"\xff\xff\xff\x7f"))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10  # KiB
