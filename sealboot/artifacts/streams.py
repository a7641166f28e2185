"""Compressed streams inside boot images: named by their magic, inflated within bounds.

The marks are those that Linux looks for (lib/decompress.c), with the name each
goes by there.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Iterable, Iterator
from typing import Protocol

import zstandard

MARKS: tuple[tuple[bytes, str], ...] = (
    (b"\x1f\x8b", "gzip"),
    (b"\x1f\x9e", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x5d\x00\x00", "lzma"),
    (b"BZh", "bzip2"),
    (b"\x02\x21\x4c\x18", "lz4"),
    (b"\x04\x22\x4d\x18", "lz4 frame"),
    (b"\x89LZO", "lzo"),
)
#: A dictionary larger than this is nothing that Linux's own decompressors would accept.
_MAX_WINDOW = 128 << 20
_STEP = 1 << 16
_BITE = 1 << 14
#: zstd gives all that its input inflates to, at most 128 KiB for every 4 bytes: so it gets little at once.
_ZSTD_BITE = 1 << 9


class DamagedError(Exception):
    """Internal to this room: the stream does not inflate. Becomes a finding."""


class _Inflater(Protocol):
    """What bz2's and lzma's decompressors are."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


class _Zlib:
    """zlib's decompressor with the interface of the other ones."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._inner.eof

    def decompress(self, data: bytes, limit: int = _STEP) -> bytes:
        part = self._inner.decompress(self._inner.unconsumed_tail + data, limit)
        self.needs_input = not self._inner.unconsumed_tail and len(part) < limit
        return part


class _Zstd:
    """zstandard's decompressor with the interface of the other ones, but for `limit`."""

    needs_input = True

    def __init__(self) -> None:
        self._inner = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW).decompressobj()

    @property
    def eof(self) -> bool:
        return self._inner.eof

    def decompress(self, data: bytes, _limit: int = _STEP) -> bytes:
        return self._inner.decompress(data) if data else b""


def compression(head: bytes) -> str:
    """The name of the compression that a stream begins with; empty when it is none of them."""
    return next((name for mark, name in MARKS if head.startswith(mark)), "")


def can_inflate(name: str) -> bool:
    """Whether `inflate` knows the compression."""
    return name in {"gzip", "zstd", "xz", "lzma", "bzip2"}


def inflate(name: str, source: Iterable[bytes], limit: int) -> Iterator[bytes]:
    """The content of one stream, in order; at most `limit` bytes and never more than 16 MiB at once.

    Bytes behind the stream's end are not looked at. Raises `DamagedError` for
    what does not inflate, what ends early and what exceeds `limit`.
    """
    inflater = _inflater(name)
    total = 0
    try:
        for part in _steps(inflater, source):
            total += len(part)
            if total > limit:
                raise DamagedError(f"inflates to more than {limit} bytes")
            yield part
    except (zlib.error, lzma.LZMAError, zstandard.ZstdError, OSError, EOFError, ValueError) as error:
        raise DamagedError(f"damaged {name} data") from error
    except MemoryError as error:  # a header that asks for a dictionary of gigabytes
        raise DamagedError(f"{name} data needs too much memory") from error
    if not inflater.eof:
        raise DamagedError(f"the {name} data ends early")


def peek(name: str, source: Iterable[bytes], length: int) -> bytes:
    """The first `length` bytes of the content, or as many as there are; empty where none inflate."""
    if not can_inflate(name):
        return b""
    got = bytearray()
    try:
        for part in inflate(name, source, 1 << 30):
            got += part
            if len(got) >= length:
                break
    except DamagedError:
        pass  # what came before the damage may still tell what it is
    return bytes(got[:length])


def _steps(inflater: _Inflater, source: Iterable[bytes]) -> Iterator[bytes]:
    bite = _ZSTD_BITE if isinstance(inflater, _Zstd) else _BITE
    for chunk in source:
        for at in range(0, len(chunk), bite):
            data = chunk[at : at + bite]
            while True:
                part = inflater.decompress(data, _STEP)
                if part:
                    yield part
                if inflater.eof:
                    return
                data = b""
                if inflater.needs_input:
                    break


def _inflater(name: str) -> _Inflater:
    match name:
        case "gzip":
            return _Zlib()
        case "zstd":
            return _Zstd()
        case "bzip2":
            return bz2.BZ2Decompressor()
        case "xz":
            return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MAX_WINDOW)
        case "lzma":
            return lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=_MAX_WINDOW)
        case _:
            raise DamagedError(f"no way to inflate {name}")
