"""Looking for bytes in a part of a file: in order, in bounded memory, as fast as `bytes.find`."""

from __future__ import annotations

from collections.abc import Iterator

from sealboot.artifacts.reader import MAX_READ, Source


def find_all(source: Source, needle: bytes, start: int, end: int) -> Iterator[int]:
    """The offsets in [`start`, `end`) at which the whole `needle` lies, in order; it may overlap itself."""
    keep = len(needle) - 1
    tail, at = b"", max(start, 0)
    while needle and at < end:
        part = source.at(at, min(MAX_READ, end - at))
        if not part:
            return
        data = tail + part
        base = at - len(tail)
        hit = data.find(needle)
        while hit >= 0:
            yield base + hit
            hit = data.find(needle, hit + 1)
        at += len(part)
        tail = data[len(data) - keep :] if keep else b""


def read(source: Source, offset: int, length: int) -> bytes:
    """`length` bytes at `offset`, also where that is more than one read gives; short at the end."""
    parts: list[bytes] = []
    while length > 0 and (part := source.at(offset, length)):
        parts.append(part)
        offset += len(part)
        length -= len(part)
    return b"".join(parts)
