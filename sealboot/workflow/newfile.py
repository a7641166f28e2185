"""A file that appears under its name whole or not at all, and never in place of another one unasked."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Self

_PREFIX = ".sealboot-"


def refused(source: Path, target: Path, *, force: bool) -> str:
    """Why `target` must not be written, in words; empty when it may.

    `source` itself never, under whatever name: the only copy of what was there
    would be the one that was just made from it.
    """
    if "\0" in str(target):
        return "not a possible file name"
    try:
        if target.exists() and target.samefile(source):
            return "it is the file itself"
        if target.is_dir() or (target.exists() and not target.is_file()):
            return "it is not a regular file"
        if os.path.lexists(target) and not force:
            return "it exists"
        if not target.parent.is_dir():
            return "its folder does not exist"
    except OSError as error:
        return (error.strerror or "cannot be looked at").lower()
    return ""


class NewFile:
    """A context manager: a file beside `target`, gone at the end unless it was published.

    Mode 0600 until then. Raises `OSError` where the folder cannot be written to.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        handle, name = tempfile.mkstemp(prefix=_PREFIX, dir=target.parent)
        self.path = Path(name)
        self.file: IO[bytes] = os.fdopen(handle, "w+b")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with contextlib.suppress(FileNotFoundError):
                self.path.unlink()
        finally:  # closing writes what is left, and fails on a full disk
            self.file.close()

    def write(self, pieces: Iterator[bytes]) -> int:
        """Append all of them; the bytes written."""
        return sum(self.file.write(piece) for piece in pieces)

    def cut(self, size: int) -> None:
        """Drop what was written behind the first `size` bytes."""
        self.file.seek(size)
        self.file.truncate()

    def settle(self, mode: int) -> None:
        """Give it its mode (permissions only, no set-user-ID) and have it on the disk."""
        self.file.flush()
        os.fchmod(self.file.fileno(), mode & 0o777)
        os.fsync(self.file.fileno())

    def publish(self, *, force: bool) -> None:
        """Give it its name. Raises `FileExistsError` when there is one now, unless `force`."""
        if force:
            self.path.replace(self._target)
        else:
            self._link()
        folder = os.open(self._target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _link(self) -> None:
        """Unlike a rename, this fails where something is; FAT has no links, so there the name is taken first."""
        try:
            os.link(self.path, self._target)
        except FileExistsError:
            raise
        except OSError:
            os.close(os.open(self._target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            try:
                self.path.replace(self._target)
            except OSError:
                self._target.unlink(missing_ok=True)
                raise
