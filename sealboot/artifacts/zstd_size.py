"""How long one zstd frame is, by its block headers and without inflating it (RFC 8878, section 3.1.1)."""

from __future__ import annotations

from sealboot.artifacts.reader import Source

_DICTIONARY = (0, 1, 2, 4)
_CONTENT = (0, 2, 4, 8)
_RLE, _RESERVED = 1, 3
_BLOCK_MAX = 1 << 17
#: A frame of 4 GiB in blocks of 128 KiB; smaller blocks are for small frames.
_MAX_BLOCKS = 1 << 16


def frame_length(source: Source) -> tuple[int, str]:
    """Bytes of the frame at the start of `source`, and what is wrong with it in words (else empty).

    For a frame without an end, as many bytes as there are.
    """
    descriptor = source.at(4, 1)[:1] or b"\0"
    flags = descriptor[0]
    single = bool(flags & 0x20)
    content = _CONTENT[flags >> 6] or (1 if single else 0)
    at = 5 + (0 if single else 1) + _DICTIONARY[flags & 3] + content
    for _ in range(_MAX_BLOCKS):
        raw = source.at(at, 3)
        if len(raw) < 3:
            return source.size, "it ends in the middle of its zstd data"
        header = int.from_bytes(raw, "little")
        last, kind, size = header & 1, header >> 1 & 3, header >> 3
        if kind == _RESERVED or (size > _BLOCK_MAX and kind != _RLE):
            return at, f"its zstd data are damaged {at} bytes from their start"
        at += 3 + (1 if kind == _RLE else size)
        if last:
            at += 4 if flags & 4 else 0
            whole = at <= source.size
            return min(at, source.size), "" if whole else "it ends in the middle of its zstd data"
    return at, "its zstd data have no end"
