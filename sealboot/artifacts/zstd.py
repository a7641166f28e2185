"""zstd as Python 3.14 has it (PEP 784), and what a frame's header says before anything is inflated (RFC 8878, 3.1.1).

The library tells neither the window of a frame nor where the frame ends: both stand in headers, which say how
long each block is, so that no byte between them needs looking at.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

from sealboot.artifacts.reader import Source

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["LONGEST_HEADER", "MAGIC", "Header", "decompressor", "frame_length", "header", "zstd"]

MAGIC = b"\x28\xb5\x2f\xfd"
_SKIPPABLE = b"\x2a\x4d\x18"  # after a first byte of 0x50 to 0x5f
_CONTENT_SIZES = (0, 2, 4, 8)
_DICTIONARY_SIZES = (0, 1, 2, 4)
_BLOCK_MAX = 1 << 17
_RLE, _RESERVED = 1, 3
LONGEST_HEADER = 18
#: A frame of 4 GiB in blocks of 128 KiB; smaller blocks are for small frames.
_MAX_BLOCKS = 1 << 16


class Header(NamedTuple):
    """A frame's header: its own length and the window, in bytes; whether a checksum follows the last block."""

    length: int
    window: int = 0
    checksum: bool = False


def decompressor(window_log: int) -> zstd.ZstdDecompressor:
    """The library's decompressor of one frame; raises `ZstdError` for a window above `2**window_log` bytes."""
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: window_log})


def header(head: bytes) -> Header | None:
    """What the first bytes of a frame say; `None` when they are too few.

    A skippable frame, and what is no frame at all, has no window.
    """
    if len(head) < 5:
        return None if MAGIC.startswith(head[:4]) or _skippable(head) else Header(0)
    if head[:4] != MAGIC:
        return Header(8 if _skippable(head) else 0)
    descriptor = head[4]
    single = bool(descriptor & 0x20)
    content = _CONTENT_SIZES[descriptor >> 6] or (1 if single else 0)
    length = 5 + (0 if single else 1) + _DICTIONARY_SIZES[descriptor & 3] + content
    if len(head) < length:
        return None
    if single:
        window = int.from_bytes(head[length - content : length], "little") + (256 if content == 2 else 0)
    else:
        base = 1 << (10 + (head[5] >> 3))
        window = base + (base >> 3) * (head[5] & 7)
    return Header(length, window, bool(descriptor & 0x04))


def _skippable(head: bytes) -> bool:
    return head[:1] != b"" and head[0] & 0xF0 == 0x50 and _SKIPPABLE.startswith(head[1:4])


def frame_length(source: Source) -> tuple[int, str]:
    """Bytes of the frame at the start of `source`, and what is wrong with it in words (else empty).

    For a frame without an end, as many bytes as there are.
    """
    head = header(source.at(0, LONGEST_HEADER))
    if head is None:
        return source.size, "it ends in the middle of its zstd data"
    at = head.length
    for _ in range(_MAX_BLOCKS):
        raw = source.at(at, 3)
        if len(raw) < 3:
            return source.size, "it ends in the middle of its zstd data"
        block = int.from_bytes(raw, "little")
        last, kind, size = block & 1, block >> 1 & 3, block >> 3
        if kind == _RESERVED or (size > _BLOCK_MAX and kind != _RLE):
            return at, f"its zstd data are damaged {at} bytes from their start"
        at += 3 + (1 if kind == _RLE else size)
        if last:
            at += 4 if head.checksum else 0
            whole = at <= source.size
            return min(at, source.size), "" if whole else "it ends in the middle of its zstd data"
    return at, "its zstd data have no end"
