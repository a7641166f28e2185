"""Files that are small on disk and gigabytes inside, and a child process that looks at them under limits."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path

GIB = 1 << 30
#: Address space of the child, and processor seconds for one file: the machine may be busy.
MEMORY = 512 << 20
SECONDS = 8.0

_BLOCK = 128 << 10


def tar_header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """512 bytes that promise a member of `size` bytes."""
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def zstd_bomb(head: bytes, size: int) -> bytes:
    """`head` and then `size` zeros, 4 bytes for each 128 KiB (RFC 8878: a raw block, then RLE blocks)."""

    def block(kind: int, length: int, last: int = 0) -> bytes:
        return struct.pack("<I", last | kind << 1 | length << 3)[:3]

    zeros = (block(1, _BLOCK) + b"\0") * (size // _BLOCK - 1)
    return b"\x28\xb5\x2f\xfd\0\x38" + block(0, len(head)) + head + zeros + block(1, _BLOCK, 1) + b"\0"


def gzip_bomb(head: bytes, size: int) -> bytes:
    """`head` and then `size` zeros; one flushed part of a mebibyte, again and again."""
    engine = zlib.compressobj(9, wbits=31)
    first = engine.compress(head) + engine.flush(zlib.Z_FULL_FLUSH)
    part = engine.compress(bytes(1 << 20)) + engine.flush(zlib.Z_FULL_FLUSH)
    return first + part * (size >> 20)


@dataclass(frozen=True)
class Seen:
    """What `inspect` said of one file, and what it cost."""

    codes: list[str]
    kind: str
    platforms: list[str]
    offsets: list[str]
    seconds: float


@dataclass(frozen=True)
class Looked:
    """A whole child: every file by its name, its memory in bytes, and what it did beside reading."""

    files: dict[str, Seen]
    peak: int
    broken: list[str]


def look(folder: Path, *names: str, memory: int = MEMORY, deep: bool = False) -> Looked:
    """`inspect` every name of `folder` in one child of little memory, where any write ends it."""
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("watched.py"), str(memory), str(int(deep)), *names],
        check=False,
        capture_output=True,
        timeout=100,
        cwd=folder,
        # It may write nothing, not even what it compiles.
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 0, done.stderr.decode()
    told = json.loads(done.stdout.splitlines()[-1])  # the view prints before it
    return Looked({name: Seen(**seen) for name, seen in told["files"].items()}, told["peak"], told["broken"])
