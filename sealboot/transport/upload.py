"""Sending a file through `cat` on an exec channel, and having the host hash what it stored.

Not SFTP: half the CPU, no subsystem that may be switched off, no packet that a
noisy rc file can break, and it works under sudo. The file is created
exclusively (`set -C`, which is O_EXCL in dash, bash and busybox) with mode
0600 and gets its final mode once it is whole and its size is right.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from pathlib import Path
from typing import Protocol

from sealboot.transport.base import Progress, PutResult, Result
from sealboot.transport.channel import Conversation, Pipe

#: Bytes of one write: large enough that Python's part per packet vanishes, small enough to show progress.
CHUNK = 256 * 1024

#: Slowest host that is believed to be still hashing, in bytes per second.
SLOWEST_HASH = 2 * 1024 * 1024

#: Exit statuses of the script below.
EXISTS, NO_CREATE, NO_WRITE, SHORT, NO_HASH = 73, 74, 75, 76, 77

# $1 the new file, $2 its mode, $3 its size. The chain of hash tools ends in reading the file back.
SCRIPT = r"""
dest=$1
folder=$(dirname -- "$dest")
free() { df -Pk -- "$folder" 2>/dev/null || df -Pk "$folder"; } >&2
umask 077
if [ -e "$dest" ] || [ -L "$dest" ]; then
  echo "the file exists already: $dest" >&2
  exit 73
fi
set -C
{
  cat || {
    echo "writing failed: $3 bytes are needed" >&2
    free
    exit 75
  }
} >"$dest" || exit 74
set +C
size=$(wc -c <"$dest") || exit 75
if [ "$size" -ne "$3" ]; then
  echo "$size of $3 bytes arrived" >&2
  free
  exit 76
fi
chmod "$2" "$dest" || exit 75
if command -v sha256sum >/dev/null 2>&1; then sha256sum <"$dest"
elif command -v shasum >/dev/null 2>&1; then shasum -a 256 <"$dest"
elif command -v openssl >/dev/null 2>&1; then openssl dgst -sha256 <"$dest"
elif command -v busybox >/dev/null 2>&1 && busybox sha256sum </dev/null >/dev/null 2>&1; then
  busybox sha256sum <"$dest"
else exit 77
fi
"""

#: Bytes of one piece when a file has to be read back.
PART = 4 * 1024 * 1024

# $1 the file, $2 the number of the piece. `dd` from a regular file never reads short.
READ_PART = f'dd if="$1" bs={PART} skip="$2" count=1 2>/dev/null'

_DIGEST = re.compile(rb"\b[0-9a-f]{64}\b")


class Source:
    """The bytes to send, read piece by piece at offsets, so that many hosts may share a file.

    Not mapped: a mapped file that somebody truncates meanwhile ends the whole
    process with SIGBUS, and reading costs one copy from the page cache.
    Raises `OSError` where the file cannot be opened.
    """

    def __init__(self, source: Path | bytes) -> None:
        self._data = source if isinstance(source, bytes) else b""
        self._file = -1 if isinstance(source, bytes) else os.open(source, os.O_RDONLY | os.O_CLOEXEC)
        self.size = len(source) if isinstance(source, bytes) else os.fstat(self._file).st_size

    def read(self, offset: int) -> bytes | memoryview:
        """The next piece; empty at the end, or where the file became shorter."""
        length = min(CHUNK, self.size - offset)
        if self._file < 0:
            return memoryview(self._data)[offset : offset + length]
        return os.pread(self._file, length, offset)

    def read_into(self, offset: int, gaps: list[memoryview]) -> int:
        """Fill the gaps with what follows `offset`: how many bytes that were."""
        if self._file >= 0:
            return os.preadv(self._file, gaps, offset)
        start = offset
        for gap in gaps:
            part = self._data[start : start + len(gap)]
            gap[: len(part)] = part
            start += len(part)
        return start - offset

    def close(self) -> None:
        """Let the file go."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class Sendable(Protocol):
    """What `send` reads from: a file at offsets, or pieces whose offsets only ever grow."""

    @property
    def size(self) -> int:
        """How many bytes there are to send."""
        ...

    def read(self, offset: int) -> bytes | memoryview:
        """The piece at `offset`; empty at the end."""
        ...

    def read_into(self, offset: int, gaps: list[memoryview]) -> int:
        """Fill the gaps from `offset`: how many bytes that were."""
        ...


class ReadBack:
    """Hashes a file that comes back from the host piece by piece."""

    def __init__(self, size: int) -> None:
        self._hash = hashlib.sha256()
        self._size = size
        self.offset = 0

    @property
    def block(self) -> int:
        """The number of the next piece."""
        return self.offset // PART

    def take(self, part: Result) -> bool:
        """Add a piece; `False` when it is not what must come next."""
        if not part.ok or len(part.stdout) != min(PART, self._size - self.offset):
            return False
        self._hash.update(part.stdout)
        self.offset += len(part.stdout)
        return True

    def digest(self) -> str:
        """The SHA-256 of everything taken."""
        return self._hash.hexdigest()


def digest(result: Result) -> str:
    """The SHA-256 that the host printed, or nothing."""
    found = _DIGEST.search(result.stdout) if result.ok else None
    return found[0].decode() if found else ""


async def send(
    talk: Conversation, pipe: Pipe, source: Sendable, *, stall: float, progress: Progress | None
) -> tuple[int, bool]:
    """Feed the bytes and wait for the host's verdict: bytes that left, and whether it stalled.

    `stall` is the longest time in seconds in which no byte may leave; after
    the last one the host gets that plus time to hash. The conversation tells
    the rest.
    """
    feeder = _Feeder(talk, pipe, source, progress)
    feeding = asyncio.ensure_future(feeder.run())
    try:
        while not feeding.done():
            before = feeder.sent
            await asyncio.wait({feeding}, timeout=stall)
            if not feeding.done() and feeder.moved() == before:
                return feeder.sent, True
        await feeding
    finally:
        feeding.cancel()
    try:
        async with asyncio.timeout(stall + source.size / SLOWEST_HASH):
            await talk.finish()
    except TimeoutError:
        return feeder.moved(), True
    return feeder.moved(), False


class _Feeder:
    """Writes bytes into a pipe as fast as the other side takes it."""

    def __init__(self, talk: Conversation, pipe: Pipe, source: Sendable, progress: Progress | None) -> None:
        self._talk = talk
        self._pipe = pipe
        self._source = source
        self._progress = progress
        self._written = 0
        self.sent = 0

    def moved(self) -> int:
        """Bytes that have left this machine so far; tells the progress callback when that grew."""
        sent = max(self.sent, self._written - self._pipe.backlog())
        if sent > self.sent and self._progress is not None:
            self._progress(sent)
        self.sent = sent
        return sent

    async def run(self) -> None:
        """Send everything, unless the conversation ends first."""
        talk, pipe = self._talk, self._pipe
        while not talk.over:
            taken = pipe.feed(self._source, self._written)
            if taken is None:
                part = self._source.read(self._written)
                if not part:
                    break
                pipe.write(part)
                taken = len(part)
            self._written += taken
            self.moved()
            await talk.until(lambda: talk.writable or talk.over)
            # Nothing above waits while the host keeps up: let others in.
            await asyncio.sleep(0)
        if not talk.over:
            pipe.write_eof()
            await talk.until(lambda: pipe.backlog() == 0 or talk.over or talk.framed)
            self.moved()


def outcome(result: Result, sha256: str, sent: int) -> PutResult:
    """A `PutResult` whose digest is trusted only where the script ended well."""
    return PutResult(result, sha256 if result.ok else "", sent)
