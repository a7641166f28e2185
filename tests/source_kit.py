"""Sources for tests of what looks at files."""

from __future__ import annotations

from sealboot.artifacts.reader import Source


class Counting:
    """A source that counts what is read of it, so that "bounded" is a number and no time."""

    def __init__(self, inner: Source) -> None:
        self._inner = inner
        self.read = 0

    @property
    def size(self) -> int:
        return self._inner.size

    def at(self, offset: int, length: int) -> bytes:
        assert offset >= 0
        data = self._inner.at(offset, length)
        self.read += len(data)
        return data
