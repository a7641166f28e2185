"""Bytes that come one after the other (what is in a compressed file) as the source of a transfer.

A file is read at offsets; what a decompressor makes cannot be. What does not
fit into one packet is held back until it is asked for, never read twice.
"""

from __future__ import annotations

from collections.abc import Iterator


class Pieces:
    """An iterator of pieces as what `upload.send` reads: offsets only ever grow.

    `size` is how many bytes there are to be; the host is sent no more than the
    iterator has, and never more than `size`.
    """

    def __init__(self, pieces: Iterator[bytes], size: int) -> None:
        self._pieces = pieces
        self._held = memoryview(b"")
        self.size = size

    def read(self, offset: int) -> memoryview:
        """The next piece; empty at the end."""
        self._fill(1)
        part = self._held[: max(0, self.size - offset)]
        self._held = self._held[len(part) :]
        return part

    def read_into(self, offset: int, gaps: list[memoryview]) -> int:
        """Fill the gaps with what comes next; what does not fill them all stays to be read."""
        del offset  # it is where the last reading ended
        wanted = sum(len(gap) for gap in gaps)
        self._fill(wanted)
        if len(self._held) < wanted:
            return len(self._held)
        start = 0
        for gap in gaps:
            gap[:] = self._held[start : start + len(gap)]
            start += len(gap)
        self._held = self._held[wanted:]
        return wanted

    def _fill(self, wanted: int) -> None:
        if len(self._held) >= wanted:
            return
        parts = [bytes(self._held)] if self._held else []
        length = len(self._held)
        for piece in self._pieces:
            parts.append(piece)
            length += len(piece)
            if length >= wanted:
                break
        self._held = memoryview(parts[0] if len(parts) == 1 else b"".join(parts))
