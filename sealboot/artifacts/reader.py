"""Opening a file that may be anything: bounded reads, and the digest from the same descriptor.

A FIFO would block an ordinary `open`, a device has no end, a directory and a
missing file are not readable: each becomes a `Refusal`, never an exception.
Once open, everything is read by position from one descriptor, so the bytes
that were judged are the bytes that were hashed.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from sealboot.model.artifact import Kind

#: Larger files are refused (SB409): hashing a sparse file of 1 TiB would take half an hour.
MAX_BYTES = 16 << 30

#: No single read asks for more than this many bytes.
MAX_READ = 1 << 20

_CHUNK = 1 << 20
#: Small reads come from pieces of this size, of which this many are kept.
_PAGE = 1 << 14
_PAGES = 32
_OPEN_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


class Source(Protocol):
    """Bytes that can be read by position; every parser of this room reads through it."""

    @property
    def size(self) -> int:
        """How many bytes there are."""
        ...

    def at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes at `offset` (fewer at the end, none beyond it).

        `length` is cut to `MAX_READ`. May raise `OSError` when the medium fails.
        """
        ...


@dataclass(frozen=True, slots=True)
class Memory:
    """A `Source` over bytes that are already here (an inner layer, a test)."""

    data: bytes

    @property
    def size(self) -> int:
        """How many bytes there are."""
        return len(self.data)

    def at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes at `offset`."""
        if offset < 0 or length <= 0:
            return b""
        return self.data[offset : offset + min(length, MAX_READ)]


@dataclass(frozen=True, slots=True)
class Window:
    """A part of another `Source`, as a `Source`: an inner file that is not compressed."""

    inner: Source
    start: int
    length: int

    @property
    def size(self) -> int:
        """How many bytes of the window lie inside the file."""
        return max(0, min(self.length, self.inner.size - self.start))

    def at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes at `offset`, never one behind the window."""
        if offset < 0 or length <= 0 or offset >= self.size:
            return b""
        return self.inner.at(self.start + offset, min(length, self.size - offset))


def chunks(source: Source) -> Iterator[bytes]:
    """All bytes from the first to the last, at most `MAX_READ` at a time."""
    offset = 0
    while part := source.at(offset, MAX_READ):
        yield part
        offset += len(part)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a path was not read: what it is instead, in words, and the code that says so.

    `code` is empty for a directory and for a FIFO, device or socket: they are
    answers to "what is this file?", not failures to read it.
    """

    kind: Kind
    code: str
    reason: str
    size: int = 0


class Reader:
    """One regular file, open. A `Source`; also a context manager that closes it."""

    __slots__ = ("_fd", "_pages", "info", "size")

    def __init__(self, fd: int, info: os.stat_result) -> None:
        self._fd = fd
        self._pages: dict[int, bytes] = {}
        #: What the file system said when it was opened.
        self.info = info
        self.size = info.st_size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)

    def at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes at `offset`; short only at the end of the file."""
        if offset < 0 or length <= 0 or offset >= self.size:
            return b""
        wanted = min(length, MAX_READ, self.size - offset)
        page, start = divmod(offset, _PAGE)
        return (
            self._page(page)[start : start + wanted]
            if start + wanted <= _PAGE
            else self._read(offset, wanted)
        )

    def _page(self, number: int) -> bytes:
        """A piece of the file that was read before, or is now: headers ask for a few bytes here and there."""
        piece = self._pages.get(number)
        if piece is None:
            piece = self._read(number * _PAGE, min(_PAGE, self.size - number * _PAGE))
            if len(self._pages) >= _PAGES:
                self._pages.clear()  # whoever hashes beside us may ask as well: nothing is read back from here
            self._pages[number] = piece
        return piece

    def _read(self, offset: int, wanted: int) -> bytes:
        parts: list[bytes] = []
        while wanted > 0:
            part = os.pread(self._fd, wanted, offset)
            if not part:
                break
            parts.append(part)
            wanted -= len(part)
            offset += len(part)
        return b"".join(parts)

    def sha256(self) -> str:
        """The SHA-256 of the whole file in hexadecimal, streamed."""
        digest = hashlib.sha256()
        offset = 0
        while part := self.at(offset, _CHUNK):
            digest.update(part)
            offset += len(part)
        return digest.hexdigest()

    def fileno(self) -> int:
        """The descriptor, for whoever asks the kernel about the file."""
        return self._fd

    @property
    def changed(self) -> bool:
        """Whether the file was written to since it was opened."""
        return _stamp(os.fstat(self._fd)) != _stamp(self.info)


def open_file(path: Path, limit: int = MAX_BYTES) -> Reader | Refusal:
    """Open `path` if it is a regular file of at most `limit` bytes; never blocks, never raises."""
    try:
        fd = os.open(path, _OPEN_FLAGS)
    except (OSError, ValueError) as error:
        return _not_opened(path, error)
    refusal: Refusal | None
    try:
        info = os.fstat(fd)
        refusal = _unsuitable(info, limit)
    except OSError as error:
        refusal = Refusal(Kind.UNKNOWN, "SB408", _words(error))
    if refusal is None:
        return Reader(fd, info)
    os.close(fd)
    return refusal


def _unsuitable(info: os.stat_result, limit: int) -> Refusal | None:
    if stat.S_ISDIR(info.st_mode):
        return Refusal(Kind.DIRECTORY, "", "a directory")
    if not stat.S_ISREG(info.st_mode):
        return Refusal(Kind.SPECIAL, "", _special(info.st_mode))
    if info.st_size > limit:
        return Refusal(
            Kind.UNKNOWN, "SB409", f"{info.st_size} bytes; at most {limit} are read", size=info.st_size
        )
    return None


def _not_opened(path: Path, error: OSError | ValueError) -> Refusal:
    """What `open` refused: a socket (ENXIO) and a device without driver are special, not unreadable."""
    if isinstance(error, ValueError):  # a NUL in the name
        return Refusal(Kind.MISSING, "SB408", "not a possible file name")
    if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG}:
        return Refusal(Kind.MISSING, "SB408", _words(error))
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return Refusal(Kind.UNKNOWN, "SB408", _words(error))
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        return Refusal(Kind.SPECIAL, "", _special(mode))
    kind = Kind.DIRECTORY if stat.S_ISDIR(mode) else Kind.UNKNOWN
    return Refusal(kind, "SB408", _words(error))


def _special(mode: int) -> str:
    names = (
        (stat.S_ISFIFO, "a FIFO"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a character device"),
        (stat.S_ISBLK, "a block device"),
    )
    return next((name for test, name in names if test(mode)), "not a regular file")


def _words(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()


def _stamp(info: os.stat_result) -> tuple[int, int, int]:
    return (info.st_size, info.st_mtime_ns, info.st_ctime_ns)
