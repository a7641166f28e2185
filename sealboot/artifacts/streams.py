"""Compressed streams inside boot images: named by their magic, inflated within bounds.

The marks are those that Linux looks for (lib/decompress.c), with the name each
goes by there.
"""

from __future__ import annotations

import lzma
from collections.abc import Iterable, Iterator

from sealboot.artifacts.compress import Limits, Meter, StreamError
from sealboot.artifacts.compress import inflate as inflate_kind
from sealboot.model.artifact import Kind

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
_KINDS = {"gzip": Kind.GZIP, "zstd": Kind.ZSTD, "xz": Kind.XZ, "bzip2": Kind.BZIP2}
#: Wall time for one kernel, in seconds.
_SECONDS = 120.0
_LZMA_MEMORY = 1 << 27
#: The legacy lz4 format that Linux reads: a mark, the first block's size, then the block.
_LZ4_HEADER = 8
#: A decompressor gets this much at once.
_BITE = 1 << 16


def compression(head: bytes) -> str:
    """The name of the compression that a stream begins with; empty when it is none of them."""
    return next((name for mark, name in MARKS if head.startswith(mark)), "")


def can_inflate(name: str) -> bool:
    """Whether `inflate` knows the compression."""
    return name in _KINDS or name == "lzma"


def inflate(name: str, source: Iterable[bytes], limit: int) -> Iterator[bytes]:
    """The content of a stream, in order and in small parts; at most `limit` bytes of it.

    Raises `StreamError` for what does not inflate, what ends early and what exceeds a bound.
    """
    meter = Meter(Limits(output=limit, seconds=_SECONDS))
    if name == "lzma":
        return _lzma(_bites(source), meter)
    if name not in _KINDS:
        raise StreamError(f"no way to inflate {name}")
    return inflate_kind(_bites(source), _KINDS[name], meter)


def peek(name: str, source: Iterable[bytes], length: int) -> bytes:
    """The first `length` bytes of the content, or as many as there are; empty where none inflate.

    Knows lz4 as well, of which the beginning is easily had.
    """
    if name == "lz4":
        return lz4_head(next(iter(source), b"")[_LZ4_HEADER:_BITE], length)
    if not can_inflate(name):
        return b""
    got = bytearray()
    try:
        for part in inflate(name, source, 1 << 30):
            got += part
            if len(got) >= length:
                break
    except StreamError:
        pass  # what came before the damage may still tell what it is
    return bytes(got[:length])


def _bites(source: Iterable[bytes]) -> Iterator[bytes]:
    for chunk in source:
        for at in range(0, len(chunk), _BITE):
            yield chunk[at : at + _BITE]


def lz4_head(block: bytes, length: int) -> bytes:
    """The beginning of one lz4 block (lz4's "Block Format"): literals, and copies of what came before."""
    made = bytearray()
    at = 0
    while at < len(block) and len(made) < length:
        token = block[at]
        literals, at = _lz4_length(block, at + 1, token >> 4)
        made += block[at : at + literals]
        at += literals
        distance = int.from_bytes(block[at : at + 2], "little")
        if not 0 < distance <= len(made):
            break  # the end of the block, or no lz4 at all
        copied, at = _lz4_length(block, at + 2, token & 15)
        for _ in range(min(copied + 4, length)):
            made.append(made[-distance])
    return bytes(made[:length])


def _lz4_length(block: bytes, at: int, nibble: int) -> tuple[int, int]:
    """A length that 4 bits hold, or that goes on in the bytes at `at`; and where what follows begins."""
    total = nibble
    more = nibble == 15
    while more and at < len(block):
        total += block[at]
        more = block[at] == 255
        at += 1
    return total, at


def _lzma(pieces: Iterable[bytes], meter: Meter) -> Iterator[bytes]:
    """The format before xz: no checksum, and the end is where the header or a mark says."""
    engine = lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=_LZMA_MEMORY)
    try:
        for piece in pieces:
            meter.take(len(piece))
            data = piece
            while not engine.eof:
                part = engine.decompress(data, _BITE)
                meter.make(len(part))
                yield part
                data = b""
                if engine.needs_input:
                    break
    except (lzma.LZMAError, EOFError) as error:
        raise StreamError("damaged lzma data") from error
    if not engine.eof:
        raise StreamError("the lzma data end too early")
