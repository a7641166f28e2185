"""Streams inside files: gzip, zstd, bzip2 and xz, inflated piece by piece within bounds.

Nothing here knows how much a file will inflate to until it has: a few
megabytes can hold terabytes of zeros. What comes out is therefore counted
against an absolute limit, against what went in, and against the clock, and no
single step makes more than one piece. A stream that breaks a bound or is
damaged ends in `StreamError`, which stays inside this room.
"""

from __future__ import annotations

import bz2
import lzma
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from sealboot.artifacts.zstd import decompressor, header, zstd
from sealboot.model.artifact import Kind

#: Bytes that one step reads or makes: small enough to stay in a processor's second-level cache.
PIECE = 1 << 18
#: A decompressor is given this much at once: where a stream ends in it, what is left is copied.
_BITE = 1 << 17
#: The largest zstd window that is inflated; also what `zstd` itself accepts unasked (RFC 8878, 3.1.1.1.2).
_WINDOW_LOG = 27
MAX_WINDOW = 1 << _WINDOW_LOG
#: What an xz stream may take as its dictionary; `xz -9` takes 64 MiB.
MAX_XZ_MEMORY = 1 << 27

#: Streams one after the other, as `cat a.gz b.gz` and parallel compressors make them. Each costs
#: microseconds even when nothing is in it, so from this many on they must be worth it.
MANY_STREAMS = 10_000
_WORTH = 64

COMPRESSED = frozenset({Kind.GZIP, Kind.ZSTD, Kind.BZIP2, Kind.XZ})


class StreamError(Exception):
    """Internal to this room: why a stream was given up; `excess` when it broke a bound."""

    def __init__(self, what: str, *, excess: bool = False) -> None:
        super().__init__(what)
        self.excess = excess


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a stream may become.

    `ratio` is bytes out for each byte in, asked only once `grace` bytes are
    out: a tar of an empty disk is legitimate, a thousandfold gigabyte is not.
    `seconds` is wall time for the whole file.
    """

    output: int = 64 << 30
    ratio: int = 200
    grace: int = 64 << 20
    seconds: float = 900.0


class Meter:
    """Counts what goes in and comes out of a stream; streams inside it count towards it as well."""

    def __init__(
        self, limits: Limits, clock: Callable[[], float] = time.monotonic, outer: Meter | None = None
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._outer = outer
        self._deadline = clock() + limits.seconds
        self._inside = 0
        self._streams = 0
        self.taken = 0
        self.made = 0

    def inner(self) -> Meter:
        """The meter of a stream inside this one: its own ratio, what it makes counted in both."""
        return Meter(self._limits, self._clock, self)

    def take(self, count: int) -> None:
        """Compressed bytes went in; raises `StreamError` when it is too late."""
        self.taken += count
        self._bound()

    def began(self, streams: int) -> None:
        """Streams began in what went in; raises `StreamError` when there is next to nothing in very many."""
        self._streams += streams
        if self._streams > MANY_STREAMS and self.made < _WORTH * self._streams:
            raise StreamError(f"more than {MANY_STREAMS} streams with next to nothing in them", excess=True)

    def make(self, count: int) -> None:
        """Inflated bytes came out; raises `StreamError` when they are too many or too late."""
        self.made += count
        limits = self._limits
        if self.made > max(limits.grace, self.taken * limits.ratio):
            raise StreamError(f"inflates to more than {limits.ratio} times its size", excess=True)
        self._bound()
        if self._outer is not None:
            self._outer.inside(count)

    def inside(self, count: int) -> None:
        """A stream inside this one made bytes: they count, but are no matter of this one's ratio."""
        self._inside += count
        self._bound()

    def _bound(self) -> None:
        limits = self._limits
        if self.made + self._inside > limits.output:
            raise StreamError(f"inflates to more than {limits.output} bytes", excess=True)
        if self._clock() > self._deadline:
            raise StreamError(f"takes more than {limits.seconds:g} seconds to inflate", excess=True)


class Windows:
    """The largest window of the zstd frames begun, in bytes; 0 when there were none."""

    def __init__(self) -> None:
        self.largest = 0

    def add(self, window: int) -> None:
        """The window of another frame; raises `StreamError` when it is too large."""
        self.largest = max(self.largest, window)
        if window > MAX_WINDOW:
            raise StreamError(
                f"a zstd window of {window} bytes; at most {MAX_WINDOW} are inflated", excess=True
            )


def inflate(
    pieces: Iterator[bytes], kind: Kind, meter: Meter, windows: Windows | None = None
) -> Iterator[bytes]:
    """The bytes inside a compressed stream, in pieces of at most `PIECE` bytes; never all at once.

    A `kind` that is no compression is passed through. `windows` is filled with
    what the headers of zstd frames say. Raises `StreamError` for damage, an
    end that comes too early, and broken bounds.
    """
    if kind in COMPRESSED:
        return _inflate_members(pieces, kind, meter, windows or Windows())
    return _plain(pieces, meter)


def _plain(pieces: Iterator[bytes], meter: Meter) -> Iterator[bytes]:
    for piece in pieces:
        meter.take(len(piece))
        meter.make(len(piece))
        yield piece


def _bites(pieces: Iterator[bytes], meter: Meter) -> Iterator[bytes]:
    for piece in pieces:
        meter.take(len(piece))
        for at in range(0, len(piece), _BITE):
            yield piece[at : at + _BITE]


class _Engine(Protocol):
    """What the standard library's decompressors have in common, made alike."""

    def step(self, data: bytes) -> bytes:
        """Inflate up to `PIECE` bytes of `data` and of what was kept before."""
        ...

    @property
    def eof(self) -> bool: ...
    @property
    def hungry(self) -> bool:
        """Whether it makes nothing more without further input."""
        ...

    @property
    def left(self) -> bytes:
        """What followed the end of the stream."""
        ...


class _Gzip:
    def __init__(self) -> None:
        self._engine = zlib.decompressobj(wbits=31)
        self._filled = False

    def step(self, data: bytes) -> bytes:
        made = self._engine.decompress(self._engine.unconsumed_tail + data, PIECE)
        self._filled = len(made) == PIECE
        return made

    @property
    def eof(self) -> bool:
        return self._engine.eof

    @property
    def hungry(self) -> bool:
        return not self._engine.unconsumed_tail and not self._filled

    @property
    def left(self) -> bytes:
        return self._engine.unused_data


class _Blocks:
    """bzip2, xz and zstd, whose modules agree."""

    def __init__(self, engine: bz2.BZ2Decompressor | lzma.LZMADecompressor | zstd.ZstdDecompressor) -> None:
        self._engine = engine

    def step(self, data: bytes) -> bytes:
        return self._engine.decompress(data, PIECE)

    @property
    def eof(self) -> bool:
        return self._engine.eof

    @property
    def hungry(self) -> bool:
        return self._engine.needs_input

    @property
    def left(self) -> bytes:
        return self._engine.unused_data


class _Zstd(_Blocks):
    """One frame of zstd, whose header is read before the library takes memory for the window."""

    def __init__(self, windows: Windows) -> None:
        super().__init__(decompressor(_WINDOW_LOG))
        self._windows = windows
        self._head = b""
        self._begun = False

    def step(self, data: bytes) -> bytes:
        if not self._begun:
            data = self._head + data
            read = header(data)
            if read is None:
                self._head = data
                return b""
            self._windows.add(read.window)
            self._head, self._begun = b"", True
        return super().step(data)


def _engine(kind: Kind, windows: Windows) -> _Engine:
    match kind:
        case Kind.GZIP:
            return _Gzip()
        case Kind.BZIP2:
            return _Blocks(bz2.BZ2Decompressor())
        case Kind.XZ:
            return _Blocks(lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_XZ_MEMORY))
        case _:
            return _Zstd(windows)


_DAMAGE = (zlib.error, OSError, EOFError, ValueError, lzma.LZMAError, zstd.ZstdError)
#: zeros may fill up the end, as a tape's blocks leave it; `zstd` takes them for damage
_PADDED = COMPRESSED - {Kind.ZSTD}


def _inflate_members(pieces: Iterator[bytes], kind: Kind, meter: Meter, windows: Windows) -> Iterator[bytes]:
    """Streams one after the other, as `cat a.gz b.gz` and parallel compressors make them."""
    bites = _bites(pieces, meter)
    engine: _Engine | None = None
    left = b""
    while True:
        if not left and (engine is None or engine.hungry):
            left = next(bites, b"")
            if not left:
                break
        if engine is None:
            if kind in _PADDED and not left.strip(b"\0"):
                left = b""
                continue
            engine = _engine(kind, windows)
            meter.began(1)
        try:
            made = engine.step(left)
        except _DAMAGE as error:
            raise StreamError(f"damaged {kind} data: {error}") from None
        left = b""
        if made:
            meter.make(len(made))
            yield made
        if engine.eof:
            left, engine = engine.left, None
    if engine is not None:
        raise StreamError(f"the {kind} data end too early")
