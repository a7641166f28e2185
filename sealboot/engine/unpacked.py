"""What is in compressed files on the controller, digested once for all hosts that are sent it."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

from sealboot.artifacts.diskimage import ImageError, pieces


class Unpacked:
    """Digest and size of what is in a file, known by the file's path, size, time and inode."""

    __slots__ = ("_known", "_locks")

    def __init__(self) -> None:
        self._known: dict[tuple[str, int, int, int], tuple[str, int]] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def digest(self, path: Path) -> tuple[str, int] | str:
        """The SHA-256 and the number of the bytes in the file; or why it cannot be read."""
        async with self._locks.setdefault(str(path), asyncio.Lock()):
            try:
                return await asyncio.to_thread(self._digest, path)
            except OSError as error:
                return error.strerror or str(error)
            except ImageError as error:
                return str(error)

    def _digest(self, path: Path) -> tuple[str, int]:
        seen = path.stat()
        state = (str(path), seen.st_size, seen.st_mtime_ns, seen.st_ino)
        if state not in self._known:
            digest, size = hashlib.sha256(), 0
            for piece in pieces(path):
                digest.update(piece)
                size += len(piece)
            self._known[state] = (digest.hexdigest(), size)
        return self._known[state]
