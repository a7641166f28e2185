"""Boot images made to hang, bloat or crash whoever looks at them: each answers at once, within bounds."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import resource
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from boot_kit import (
    METHODS,
    add_sections,
    arm64_image,
    bzimage,
    cpio,
    pe,
    riscv_image,
    s390_image,
    sign,
    uki,
    zboot,
    zimage,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from source_kit import Counting

from sealboot.artifacts import inspect
from sealboot.artifacts.boot import Booted, read_bootable
from sealboot.artifacts.compress import PIECE, StreamError
from sealboot.artifacts.findings import Finding
from sealboot.artifacts.reader import Memory, Reader, open_file
from sealboot.artifacts.sniff import HEAD, sniff
from sealboot.artifacts.streams import inflate, peek
from sealboot.artifacts.uki import extract
from sealboot.artifacts.zboot import MAX_KERNEL, read_zboot, unwrap
from sealboot.artifacts.zstd import zstd
from sealboot.model.artifact import Kind

SECONDS = 2.0
#: What one file may cost in reading: the search for a version, and headers.
MOST_READ = 36 << 20

SOUND = [
    uki(),
    uki(0x8664, bzimage()),
    uki(kernel=zboot(arm64_image(), method="zstd22"), more=[(".profile", b"ID=a\n"), (".cmdline", b"x")]),
    sign(pe(0x14C, [(".text", b"x" * 600)], plus=False)),
    *(zboot(arm64_image(), method=method) for method in METHODS),
    bzimage(),
    arm64_image(),
    riscv_image(),
    zimage(),
    s390_image(),
    cpio([("kernel/x86/microcode/GenuineIntel.bin", b"u" * 100)]) + gzip.compress(cpio([("init", b"x")])),
]


def looked_at(data: bytes) -> Booted | None:
    source = Counting(Memory(data))
    started = time.process_time()
    found = read_bootable(source, sniff(data[:HEAD]))
    assert time.process_time() - started < SECONDS
    assert source.read < min(MOST_READ, 4 * len(data) + (1 << 20))
    return found


def fully(data: bytes) -> None:
    """Everything that reads: facts, extraction, unwrapping."""
    looked_at(data)
    for name in (".linux", ".initrd", ".cmdline"):
        for profile in (0, 1):
            content = extract(Memory(data), name, profile=profile, unwrapped=True)
            if not isinstance(content, Finding):
                assert sum(map(len, content)) <= MAX_KERNEL
    header = read_zboot(Memory(data))
    if header is not None:
        content = unwrap(header)
        assert isinstance(content, Finding) or sum(map(len, content)) <= MAX_KERNEL


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(st.sampled_from(SOUND)))
    for _ in range(draw(st.integers(1, 8))):
        if not data:
            break
        reach = draw(st.sampled_from((64, 700, 9000, 1 << 20)))
        at = draw(st.integers(0, min(len(data) - 1, reach)))
        match draw(st.integers(0, 5)):
            case 0:
                data[at] = draw(st.integers(0, 255))
            case 1:
                data[at : at + 4] = draw(
                    st.sampled_from((b"\xff" * 4, bytes(4), b"\xff\xff\xff\x7f", b"\0\2\0\0"))
                )
            case 2:
                data[at : at + 8] = draw(st.binary(min_size=8, max_size=8))
            case 3:
                del data[at:]
            case 4:
                del data[at : at + draw(st.integers(1, 600))]
            case _:
                data += draw(st.binary(max_size=64))
    return bytes(data)


@settings(max_examples=500, deadline=None)
@given(mutated())
def test_mutations_never_raise(data: bytes) -> None:
    fully(data)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from((b"MZ", b"MZ\0\0zimg", b"070701", b"\x1f\x8b\x08", b"\x5d\0\0", b"")),
    st.binary(max_size=400),
)
def test_anything_after_a_magic(magic: bytes, tail: bytes) -> None:
    fully(magic + tail)


def test_every_image_cut_everywhere() -> None:
    for data in SOUND:
        for end in (*range(1024), *range(1024, len(data), 512)):
            fully(data[:end])


def test_a_sparse_uki_of_200_mb_takes_milliseconds(tmp_path: Path) -> None:
    """The kernel first, an initrd of 200 MB of holes behind it."""
    data = bytearray(uki(initrd=b"\x28\xb5\x2f\xfd" + bytes(508)))
    path = tmp_path / "sparse.efi"
    size = 200 << 20
    table = 0x80 + 24 + struct.unpack_from("<H", data, 0x94)[0]
    row = next(table + 40 * n for n in range(9) if bytes(data[table + 40 * n :][:7]) == b".initrd")
    struct.pack_into("<I", data, row + 8, size)
    struct.pack_into("<I", data, row + 16, size)
    path.write_bytes(data)
    os.truncate(path, len(data) + size)
    reader = open_file(path)
    assert isinstance(reader, Reader)
    with reader:
        source = Counting(reader)
        found = read_bootable(source, Kind.PE)
        assert found is not None
        assert (found.kind, found.findings) == (Kind.UKI, ())
        assert source.read < 4 << 20
        content = extract(reader, ".initrd")
        assert not isinstance(content, Finding)
        assert sum(map(len, content)) == size
    assert inspect(path).kind is Kind.UKI


def test_a_bomb_in_a_zboot_image_is_not_unwrapped() -> None:
    """Half a gigabyte of kernel from some kilobytes."""
    body = zstd.ZstdCompressor()
    parts = [body.compress(arm64_image(size=4096))]
    parts += [body.compress(bytes(1 << 20)) for _ in range(512)]
    payload = b"".join([*parts, body.flush()])
    shell = bytearray(pe(0xAA64, [(".text", payload)]))
    struct.pack_into("<2s2s4sII8x32s", shell, 0, b"MZ", b"\0\0", b"zimg", 4096, len(payload), b"zstd22")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert len(shell) < 1 << 17
    assert looked_at(bytes(shell)) is not None
    header = read_zboot(Memory(bytes(shell)))
    assert header is not None
    refused = unwrap(header)
    assert isinstance(refused, Finding)
    assert "more than 200 times its size" in refused.what
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10  # KiB


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zstd": zstd.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "bzip2": bz2.compress,
}


@pytest.mark.parametrize("method", COMPRESS)
def test_what_inflates_comes_in_small_parts(method: str) -> None:
    content = bytes(32 << 20)
    packed = COMPRESS[method](content)
    parts = list(inflate(method, [packed], 1 << 30))
    assert sum(map(len, parts)) == len(content)
    assert max(map(len, parts)) <= PIECE
    for limit, data in (
        (len(content) - 1, packed),
        (1 << 30, packed[:-9]),
        (1 << 30, packed[:20] + b"\xff" * 99),
    ):
        with pytest.raises(StreamError):
            list(inflate(method, [data], limit))
    assert peek(method, [packed], 10) == bytes(10)


def test_an_xz_header_that_wants_gigabytes() -> None:
    """FORMAT_ALONE has its dictionary size in bytes 1 to 4: 4 GiB are asked for and not given."""
    bomb = b"\x5d" + struct.pack("<I", 0xFFFFFFFF) + b"\xff" * 8 + bytes(64)
    with pytest.raises(StreamError):
        list(inflate("lzma", [bomb], 1 << 20))
    with pytest.raises(StreamError, match="no way"):
        list(inflate("lzo", [b""], 1))


def test_a_cpio_without_end_is_left_early() -> None:
    entry = cpio([("a", b"")])[:112]
    assert looked_at(entry * 20000 + bytes(100)) is not None
    backwards = entry.replace(b"00000002", b"-0000001")
    assert looked_at(backwards * 100) is not None


def test_a_table_of_sections_that_all_overlap() -> None:
    image = pe(0xAA64, [(".linux", arm64_image())])
    data = add_sections(image, [(f".p{n}", b"") for n in range(80)])
    assert looked_at(data) is not None
