"""Digests beside the work: one thread hashes what another inflates.

Hashing costs about as much as inflating, and both let other threads run
meanwhile. What is small is hashed at once; the thread begins with the first
large piece, keeps at most `_TICKETS` of them waiting, and ends with the block.
"""

from __future__ import annotations

import hashlib
import threading
from queue import SimpleQueue
from types import TracebackType
from typing import Protocol, Self

_LARGE = 32 << 10
_TICKETS = 32


#: Below this a file is hashed quicker than a thread begins.
_BESIDE = 16 << 20
_CHUNK = 1 << 20


class Hashed(Protocol):
    """What `Whole` hashes: an open file whose pieces can be read from several threads."""

    @property
    def size(self) -> int:
        """Its length in bytes."""
        ...

    def at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes at `offset`."""
        ...


class Whole:
    """The SHA-256 of a whole file, made while others look into it; a context manager that ends with its thread.

    It must end before the file is closed: another file could get the descriptor.
    """

    def __init__(self, source: Hashed) -> None:
        self._source = source
        self._digest = hashlib.sha256()
        self._error: OSError | None = None
        self._stop = False
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        if self._source.size >= _BESIDE:
            self._thread = threading.Thread(target=self._work, name="sealboot-hasher", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop = True
        if self._thread is not None:
            self._thread.join()

    def hexdigest(self) -> str:
        """The digest of all of it; raises `OSError` when the medium failed."""
        if self._thread is None:
            self._work()
        else:
            self._thread.join()
        if self._error is not None:
            raise self._error
        return self._digest.hexdigest()

    def _work(self) -> None:
        offset = 0
        try:
            while not self._stop and (part := self._source.at(offset, _CHUNK)):
                self._digest.update(part)
                offset += len(part)
        except OSError as error:
            self._error = error


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


class Digest:
    """One digest in the making; `hexdigest` waits for what is still under way."""

    def __init__(self, hasher: Hasher, algorithm: str) -> None:
        self.name = algorithm
        self._hasher = hasher
        self._hash: _Hash = hashlib.sha512() if algorithm == "sha512" else hashlib.sha256()
        self._sent = False

    def update(self, data: bytes) -> None:
        """The next bytes; they must not change afterwards."""
        if self._sent or len(data) >= _LARGE:
            self._sent = True
            self._hasher.send(self._hash, data)
        else:
            self._hash.update(data)

    def hexdigest(self) -> str:
        """The digest of everything so far."""
        if self._sent:
            self._hasher.wait()
            self._sent = False
        return self._hash.hexdigest()


class Hasher:
    """A context manager that owns the thread."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[tuple[_Hash, bytes] | None] = SimpleQueue()
        self._tickets: SimpleQueue[None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        for _ in range(_TICKETS):
            self._tickets.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()

    def digest(self, algorithm: str = "sha256") -> Digest:
        """A new digest: sha256, or sha512."""
        return Digest(self, algorithm)

    def send(self, target: _Hash, data: bytes) -> None:
        """Have `data` hashed into `target`, in the order of sending; waits while too much is under way."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="sealboot-hasher", daemon=True)
            self._thread.start()
        self._tickets.get()
        self._jobs.put((target, data))

    def wait(self) -> None:
        """Until everything sent is hashed: then all tickets are back."""
        for _ in range(_TICKETS):
            self._tickets.get()
        for _ in range(_TICKETS):
            self._tickets.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            target, data = job
            target.update(data)
            self._tickets.put(None)
