"""Reading the operator's own small files (ssh_config, known_hosts), which may turn out to be anything."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def read_small(path: Path, limit: int) -> bytes | str:
    """The content of a regular file of at most `limit` bytes, or why it was not read; `/dev/null` is empty.

    Never waits: a FIFO without a writer would hold everything up. Raises
    `OSError`, `FileNotFoundError` among them; a name that no file can have is
    not found.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except ValueError as error:  # a NUL in the name
        raise FileNotFoundError(str(error)) from None
    try:
        return _content(handle, limit)
    finally:
        os.close(handle)


def _content(handle: int, limit: int) -> bytes | str:
    about = os.fstat(handle)
    if stat.S_ISCHR(about.st_mode) and about.st_rdev == os.makedev(1, 3):
        return b""
    if stat.S_ISDIR(about.st_mode):
        return "it is a directory"
    if not stat.S_ISREG(about.st_mode):
        return "it is no regular file"
    if about.st_size > limit:
        return f"it is larger than {limit >> 20} MiB"
    parts: list[bytes] = []
    left = limit  # it may grow while it is read
    while left > 0 and (part := os.read(handle, min(left, 1 << 20))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
