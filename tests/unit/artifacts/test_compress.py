from __future__ import annotations

import bz2
import gzip
import lzma
import os
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_kit import COMPRESSIONS, zst

from sealboot.artifacts.compress import (
    COMPRESSED,
    MAX_WINDOW,
    PIECE,
    Limits,
    Meter,
    StreamError,
    Windows,
    inflate,
)
from sealboot.artifacts.reader import Memory
from sealboot.artifacts.zstd import LONGEST_HEADER, Header, decompressor, frame_length, header, zstd
from sealboot.model.artifact import Kind

DATA = os.urandom(3000) + b"abc" * 300_000
#: A skippable frame: its magic, its length, and what is skipped.
SKIPPABLE = b"\x51\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"notes"
PACK = {Kind(name): pack for name, pack in COMPRESSIONS.items() if name != "tar"}


def cut(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def unpack(data: bytes, kind: Kind, *, size: int = 5000, limits: Limits | None = None) -> bytes:
    pieces = list(inflate(cut(data, size), kind, Meter(limits or Limits())))
    assert all(0 < len(piece) <= PIECE for piece in pieces)
    return b"".join(pieces)


@pytest.mark.parametrize("kind", sorted(COMPRESSED))
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_whole_streams(kind: Kind, size: int) -> None:
    assert unpack(PACK[kind](DATA), kind, size=size) == DATA


@pytest.mark.parametrize("kind", sorted(COMPRESSED))
def test_streams_one_after_the_other(kind: Kind) -> None:
    assert unpack(PACK[kind](b"one") + PACK[kind](DATA) + PACK[kind](b""), kind) == b"one" + DATA


@pytest.mark.parametrize("kind", [Kind.GZIP, Kind.BZIP2, Kind.XZ])
def test_zeros_fill_up_the_end(kind: Kind) -> None:
    assert unpack(PACK[kind](DATA) + bytes(10_000), kind) == DATA


@pytest.mark.parametrize("kind", sorted(COMPRESSED))
def test_every_cut_is_noticed(kind: Kind) -> None:
    packed = PACK[kind](DATA[:5000])
    for end in range(1, len(packed), max(1, len(packed) // 60)):
        with pytest.raises(StreamError):
            unpack(packed[:end], kind)


@pytest.mark.parametrize("kind", sorted(COMPRESSED))
def test_what_follows_must_be_a_stream(kind: Kind) -> None:
    with pytest.raises(StreamError, match=f"damaged {kind} data"):
        unpack(PACK[kind](DATA) + b"garbage, long enough to be a header", kind)


def test_skippable_frames() -> None:
    windows = Windows()
    data = SKIPPABLE + zst(DATA) + SKIPPABLE + zst(b"more")
    assert b"".join(inflate(cut(data, 3), Kind.ZSTD, Meter(Limits()), windows)) == DATA + b"more"
    assert windows.largest == header(zst(DATA)[:LONGEST_HEADER]).window  # type: ignore[union-attr]
    assert unpack(SKIPPABLE, Kind.ZSTD) == b""
    with pytest.raises(StreamError, match="the zstd data end too early"):
        unpack(SKIPPABLE[:-1], Kind.ZSTD)


#: (content size and checksum written, bytes) -> the header's length and the window, as `zstd -lv` shows it.
@pytest.mark.parametrize(
    ("size", "sized", "length", "window"),
    [
        (0, 0, 6, 1 << 17),
        (0, 1, 6, 0),
        (1, 1, 6, 1),
        (255, 1, 6, 255),
        (256, 1, 7, 256),
        (70_000, 1, 9, 70_000),
        (900_000, 0, 6, 1 << 17),
        (900_000, 1, 10, 1 << 17),
    ],
)
@pytest.mark.parametrize("checksum", [0, 1])
def test_what_a_header_says(size: int, sized: int, length: int, window: int, checksum: int) -> None:
    parameters = zstd.CompressionParameter
    options: dict[int, int] = {
        parameters.window_log: 17,
        parameters.content_size_flag: sized,
        parameters.checksum_flag: checksum,
    }
    made = zstd.ZstdCompressor(options=options)
    if sized:
        made.set_pledged_input_size(size)
    packed = made.compress(DATA[:size]) + made.flush()
    assert header(packed) == Header(length, window, bool(checksum))
    assert all(header(packed[:end]) is None for end in range(length))
    assert frame_length(Memory(packed + b"more")) == (len(packed), "")


@pytest.mark.parametrize("data", [b"\x28\xb5\x2f\xfe", b"garbage", b"\x50\x2a\x4d\x19", b"\0"])
def test_what_is_no_frame_has_no_window(data: bytes) -> None:
    assert header(data) == Header(0)


def test_the_library_refuses_a_window_by_itself() -> None:
    """Were the header read wrongly, no memory would be taken all the same."""
    packed = zst(DATA, window_log=20, content_size_flag=0)
    with pytest.raises(zstd.ZstdError):
        decompressor(19).decompress(packed)
    assert decompressor(20).decompress(packed) == DATA


def test_a_window_too_large_is_refused_before_memory_is_taken() -> None:
    head = b"\x28\xb5\x2f\xfd\x00" + bytes([21 << 3])  # 2^31
    with pytest.raises(StreamError, match="a zstd window of 2147483648 bytes") as caught:
        unpack(head + bytes(100), Kind.ZSTD)
    assert caught.value.excess
    later = zst(DATA) + zst(DATA) + head + bytes(100)
    with pytest.raises(StreamError, match=f"of 2147483648 bytes; at most {MAX_WINDOW} are inflated"):
        unpack(later, Kind.ZSTD, size=3)


@pytest.mark.parametrize("kind", sorted(COMPRESSED))
def test_bombs_end_early(kind: Kind) -> None:
    """A hundredfold and more, a megabyte at most: the bound is asked after every piece."""
    meter = Meter(Limits(ratio=50, grace=1 << 20))
    with pytest.raises(StreamError, match="more than 50 times its size") as caught:
        for _ in inflate(cut(PACK[kind](bytes(64 << 20)), 1000), kind, meter):
            pass
    assert caught.value.excess
    assert meter.made <= max(1 << 20, 50 * meter.taken) + PIECE


def test_absolute_bounds() -> None:
    with pytest.raises(StreamError, match="to more than 1000 bytes"):
        unpack(gzip.compress(DATA), Kind.GZIP, limits=Limits(output=1000))
    ticks = iter(range(100))
    meter = Meter(Limits(seconds=2.5), clock=lambda: float(next(ticks)))
    with pytest.raises(StreamError, match=r"more than 2\.5 seconds"):
        for _ in inflate(cut(bytes(10_000), 100), Kind.TAR, meter):
            pass


@pytest.mark.parametrize("kind", sorted(COMPRESSED))
def test_very_many_streams_of_nothing(kind: Kind) -> None:
    """Nothing comes out that could be counted, and each of them costs time."""
    with pytest.raises(StreamError, match="more than 10000 streams with next to nothing") as caught:
        unpack(PACK[kind](b"") * 20_000, kind)
    assert caught.value.excess
    unpack(PACK[kind](b"") * 9_000, kind)


def test_the_time_is_asked_even_where_nothing_comes_out() -> None:
    ticks = iter(range(100))
    meter = Meter(Limits(seconds=2.5), clock=lambda: float(next(ticks)))
    with pytest.raises(StreamError, match=r"more than 2\.5 seconds"):
        for _ in inflate(cut(gzip.compress(b"") * 100, 100), Kind.GZIP, meter):
            pass


def test_a_stream_in_a_stream_counts_in_both() -> None:
    outer = Meter(Limits(output=10_000))
    outer.take(100)
    outer.make(6000)
    with pytest.raises(StreamError, match="to more than 10000 bytes"):
        for _ in inflate(cut(bz2.compress(bytes(5000)), 100), Kind.BZIP2, outer.inner()):
            pass


def test_xz_that_wants_much_memory() -> None:
    greedy = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 28, "preset": 0}]
    with pytest.raises(StreamError, match="damaged xz data: Memory usage limit"):
        unpack(lzma.compress(b"x" * 1000, filters=greedy), Kind.XZ)


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(sorted(COMPRESSED)),
    flips=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=4),
    size=st.integers(1, 3000),
)
def test_damage_never_escapes(kind: Kind, flips: list[tuple[int, int]], size: int) -> None:
    data = bytearray(PACK[kind](DATA[:2500]))
    for at, value in flips:
        data[at % len(data)] = value
    with suppress(StreamError):
        assert len(unpack(bytes(data), kind, size=size)) < 1 << 20
