"""Payloads made to hang, bloat or crash whoever looks at them, and what looking costs."""

from __future__ import annotations

import os
import resource
import struct
import time
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from payload_kit import (
    NAMES,
    gzip_member,
    k0s_chain,
    k0s_program,
    k0s_zip,
    k3s_archive,
    k3s_program,
    upx_like,
)
from source_kit import Counting

from sealboot.artifacts import deflate
from sealboot.artifacts.deflate import GZIP, inflate
from sealboot.artifacts.elf import parse
from sealboot.artifacts.inside import Inside, look_inside
from sealboot.artifacts.reader import MAX_READ, Memory, Reader, open_file
from sealboot.artifacts.scan import find_all, read
from sealboot.artifacts.zstd import zstd
from sealboot.model.arch import Arch
from sealboot.model.payload import Payload

#: Looking takes milliseconds; the machine may be busy.
SECONDS = 5.0


def looked(data: bytes, *, deep: bool) -> Inside | None:
    source = Memory(data)
    elf = parse(source).elf
    return None if elf is None else look_inside(source, elf, "tool", deep=deep)


def small(arch: Arch, kind: str) -> bytes:
    match kind:
        case "chain":
            return b"".join(k0s_chain(arch, [arch], ("kubelet",)))
        case "zip":
            return b"".join(k0s_zip(arch, [arch, arch], ("kubelet", "runc")))
        case "k3s":
            return k3s_program(arch, k3s_archive(arch))
        case _:
            return upx_like(arch, gzip_member(b"\x7fELF" + bytes(99)))


SOUND = [small(arch, kind) for arch in (Arch.AMD64, Arch.ARM) for kind in ("chain", "zip", "k3s", "upx")]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Changes near either end, where headers and directories are, and anywhere."""
    data = bytearray(draw(st.sampled_from(SOUND)))
    for _ in range(draw(st.integers(1, 5))):
        size = len(data)
        at = draw(st.one_of(st.integers(0, 700), st.integers(-300, -1), st.integers(0, size)))
        at = max(0, min(at if at >= 0 else size + at, size))
        new = draw(st.one_of(st.binary(max_size=9), st.sampled_from((b"\xff" * 8, bytes(8), b"PK\x05\x06"))))
        match draw(st.integers(0, 3)):
            case 0:
                data[at : at + len(new)] = new
            case 1:
                data[at:at] = new
            case 2:
                del data[at : at + draw(st.integers(0, 2000))]
            case _:
                data += new
    return bytes(data)


@settings(max_examples=300, deadline=None)
@given(mutated(), st.booleans())
def test_mutations_never_raise(data: bytes, deep: bool) -> None:
    started = time.process_time()
    found = looked(data, deep=deep)
    assert time.process_time() - started < SECONDS
    for diagnostic in found.diagnostics if found else ():
        assert diagnostic.code in {"SB402", "SB403", "SB410"}
        assert diagnostic.summary.startswith("tool")


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([b"\x1f\x8b\x08\0\0\0\0\0\x02\xff", b"PK\x03\x04", b"PK\x05\x06", b""]),
    st.binary(max_size=400),
)
def test_anything_behind_a_program(mark: bytes, tail: bytes) -> None:
    looked(k0s_program(Arch.AMD64, "v1.35.1+k0s.0", NAMES, len(tail)) + mark + tail, deep=True)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=600))
def test_anything_behind_the_magic_of_zstd(tail: bytes) -> None:
    looked(k3s_program(Arch.AMD64, b"\x28\xb5\x2f\xfd" + tail), deep=True)


def bounded(data: bytes, folder: Path) -> Inside:
    """Look deep within a few seconds and a few megabytes."""
    path = folder / "bomb"
    path.write_bytes(data)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    opened = open_file(path)
    assert isinstance(opened, Reader)
    with opened:
        elf = parse(opened).elf
        assert elf is not None
        found = look_inside(opened, elf, "bomb", deep=True)
    assert time.process_time() - started < 4 * SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150 << 10  # KiB
    return found


def test_a_bomb_in_a_chain(tmp_path: Path) -> None:
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    zeros = bytes(1 << 20)
    body = b"".join(engine.compress(zeros) for _ in range(600)) + engine.flush()
    member = bytes.fromhex("1f8b08000000000002ff") + body + struct.pack("<II", 0, 600 << 20)
    program = k0s_program(Arch.AMD64, "v1.35.1+k0s.0", ("kubelet",), len(member))
    (damage,) = bounded(program + member, tmp_path).diagnostics
    assert damage.code == "SB403"
    assert "inflates to more than any payload does" in damage.summary


def test_files_that_share_their_data(tmp_path: Path) -> None:
    """An archive of a hundred kilobytes whose thousands of files are all the same 64 MiB of zeros."""
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    zeros = bytes(1 << 20)
    crc, body = 0, b""
    for _ in range(64):
        crc, body = zlib.crc32(zeros, crc), body + engine.compress(zeros)
    body += engine.flush()
    sizes = struct.pack("<IIIHH", crc, len(body), 64 << 20, 1, 0)
    local = b"PK\x03\x04" + struct.pack("<HHHHH", 20, 0, 8, 0, 0) + sizes + b"x" + body
    entry = b"PK\x01\x02" + struct.pack("<HHHHHH", 20, 20, 0, 8, 0, 0) + sizes + bytes(14) + b"x"
    directory = entry * 4000
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 4000, 4000, len(directory), len(local), 0)
    program = k0s_program(Arch.AMD64, "v1.36.1+k0s.0")
    (damage,) = bounded(program + local + directory + end, tmp_path).diagnostics
    assert damage.summary == "bomb: its payload is damaged: x inflates to more than any payload does"


def test_segments_that_overlap() -> None:
    """A thousand program headers for the same bytes: they are searched once, not a thousand times."""
    data = k3s_program(Arch.AMD64, b"\x28\xb5\x2f\xfd" * (1 << 20))
    elf = parse(Memory(data)).elf
    assert elf is not None
    once, often = Counting(Memory(data)), Counting(Memory(data))
    look_inside(once, elf, "tool", deep=True)
    look_inside(often, replace(elf, segments=elf.segments * 1000), "tool", deep=True)
    assert often.read < 2 * once.read


def test_a_bomb_in_an_archive_of_k3s(tmp_path: Path) -> None:
    header = bytearray(512)
    header[:5], header[124:136], header[257:263] = b"bin/x", b"77777777777\0", b"ustar\0"
    engine = zstd.ZstdCompressor(level=1)
    data = engine.compress(bytes(header))
    data += b"".join(engine.compress(bytes(1 << 20)) for _ in range(300)) + engine.flush()
    (damage,) = bounded(k3s_program(Arch.AMD64, data), tmp_path).diagnostics
    assert damage.code == "SB403"


def test_a_directory_that_lies(tmp_path: Path) -> None:
    """Counts, sizes and offsets of an archive's end record beyond all measure."""
    program, archive = k0s_zip(Arch.AMD64)
    for offset, layout, value in (
        (10, "<H", 0xFFFF),
        (12, "<I", 0xFFFFFFFF),
        (16, "<I", 0xFFFFFFFF),
        (16, "<I", 0),
    ):
        data = bytearray(program + archive)
        struct.pack_into(layout, data, len(data) - 22 + offset, value)
        found = bounded(bytes(data), tmp_path)
        assert [d.code for d in found.diagnostics] in (["SB403"], [])


def test_ten_thousand_marks(tmp_path: Path) -> None:
    """More headers than any release has members: only so many are looked at."""
    data = k0s_program(Arch.AMD64, "v1.35.1+k0s.0", NAMES, 5) + gzip_member(b"x") * 10_000
    found = bounded(data, tmp_path)
    (layer,) = [x for x in found.layers if isinstance(x, Payload)]
    assert len(layer.components) <= 256


def test_a_search_finds_what_lies_across_two_reads() -> None:
    needle = b"needle"
    for at in range(MAX_READ - 7, MAX_READ + 2):
        data = bytearray(2 * MAX_READ + 10)
        data[at : at + len(needle)] = needle
        assert list(find_all(Memory(bytes(data)), needle, 0, len(data))) == [at]
    assert list(find_all(Memory(b"aaaa"), b"aa", 0, 4)) == [0, 1, 2]
    assert list(find_all(Memory(b"needle"), needle, 0, 5)) == []
    assert list(find_all(Memory(b"needle"), b"", 0, 5)) == []
    assert read(Memory(bytes(3 * MAX_READ)), 5, 2 * MAX_READ) == bytes(2 * MAX_READ)


def test_a_stream_is_inflated_to_its_very_end() -> None:
    """Outputs around the size of one step, and of several."""
    for size in (0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20):
        member = gzip_member(bytes(size))
        found = inflate(Memory(member + b"tail"), 0, len(member) + 4, GZIP, 4 << 20)
        assert (found.size, found.end, found.broken) == (size, len(member), "")
        assert inflate(Memory(member[:-1]), 0, len(member) - 1, GZIP, 4 << 20).broken == "ends too early"


#: A component, inflated.
SIZE = 22 << 20


def big(folder: Path, count: int, fill: int) -> Path:
    """A look-alike of k0s with `fill` bytes of program and `count` components of 13 MB, 22 MB inflated.

    Half of each bit is noise, so that inflating is work, as it is for programs.
    """
    noise = os.urandom(1 << 20)
    head = k0s_program(Arch.AMD64, "v1")[:64]
    content = head + b"".join(os.urandom(1 << 19).hex().encode() for _ in range(SIZE >> 20))
    member = gzip_member(content, level=1)
    names = tuple(f"part-{chr(97 + n)}" for n in range(count))
    path = folder / "big"
    with path.open("wb") as file:
        program = k0s_program(Arch.AMD64, "v1.35.1+k0s.0", names, count * len(member), noise * (fill >> 20))
        file.write(program)
        for _ in names:
            file.write(member)
    return path


class Zlib:
    """zlib for the module that inflates payloads; counts what comes out."""

    error = zlib.error
    crc32 = staticmethod(zlib.crc32)

    def __init__(self) -> None:
        self.made = 0

    def decompressobj(self, wbits: int) -> Engine:
        return Engine(self, wbits)


class Engine:
    def __init__(self, zlib_of: Zlib, wbits: int) -> None:
        self._zlib, self._engine = zlib_of, zlib.decompressobj(wbits)

    def decompress(self, data: bytes, length: int) -> bytes:
        made = self._engine.decompress(data, length)
        self._zlib.made += len(made)
        return made

    def __getattr__(self, name: str) -> object:
        return getattr(self._engine, name)


def cost(path: Path, monkeypatch: pytest.MonkeyPatch, *, deep: bool) -> tuple[float, int, Payload]:
    """Bytes read for each byte of the file, bytes inflated, and the layer found."""
    counted = Zlib()
    monkeypatch.setattr(deflate, "zlib", counted)
    opened = open_file(path)
    assert isinstance(opened, Reader)
    with opened:
        source = Counting(opened)
        elf = parse(source).elf
        assert elf is not None
        found = look_inside(source, elf, "big", deep=deep)
        assert found.diagnostics == ()
    (layer,) = [x for x in found.layers if isinstance(x, Payload)]
    return source.read / path.stat().st_size, counted.made, layer


def test_a_quick_look_reads_once_and_inflates_next_to_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`bench/payloads.py` measures the time."""
    reads, made, layer = cost(big(tmp_path, 13, 20 << 20), monkeypatch, deep=False)
    assert len(layer.components) == 13
    assert reads < 1.5
    assert made < 1 << 16


def test_a_deep_look_inflates_every_component_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = big(tmp_path, 3, 4 << 20)
    reads, made, layer = cost(path, monkeypatch, deep=True)
    assert len(layer.components) == 3
    assert reads < 2.2  # to find the components, and to inflate them
    assert made - 3 * SIZE < 1 << 16
