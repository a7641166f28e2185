"""Initial RAM file systems: which parts, how compressed. The name is never asked: `.xz` often is zstd.

Format: Linux Documentation/driver-api/early-userspace/buffer-format.rst. Any
number of cpio archives follow each other, compressed or not; processor
microcode comes first and uncompressed.
"""

from __future__ import annotations

from sealboot.artifacts.reader import Source, chunks
from sealboot.artifacts.streams import compression, peek
from sealboot.model.artifact import Initrd

#: Entries of one archive and archives of one file that are walked; what follows stays unnamed.
MAX_ENTRIES = 4096
MAX_PARTS = 16

_CPIO = (b"070701", b"070702")  # newc, and newc with checksums
_HEADER = 110
_TRAILER = b"TRAILER!!!\0"
_MICROCODE = b"kernel/x86/microcode/"
_MAX_PADDING = 1 << 20
_NAME = 256


def identify_initrd(source: Source, *, expected: bool = False) -> Initrd | None:
    """The parts of an initrd; `None` when it is none. Never raises; reads some hundred KiB at most.

    Compressed data counts only when a cpio archive comes out of it, unless
    `expected` says that this place holds an initrd (a UKI's section).
    """
    parts: list[str] = []
    microcode = False
    at = 0
    while len(parts) < MAX_PARTS:
        head = source.at(at, 16)
        if head.startswith(_CPIO):
            parts.append("cpio")
            end, early = _walk(source, at)
            microcode = microcode or early
            following = _after_padding(source, end) if end is not None else None
            if following is None:
                break
            at = following
            continue
        method = compression(head)
        if method and (parts or expected or _holds_cpio(source, method)):
            parts.append(method)
        break  # where compressed data ends shows only when all of it is inflated
    return Initrd(tuple(parts), microcode) if parts else None


def _holds_cpio(source: Source, method: str) -> bool:
    return peek(method, chunks(source), 6) in _CPIO


def _walk(source: Source, at: int) -> tuple[int | None, bool]:
    """Where the archive at `at` ends (`None`: not found), and whether it holds microcode."""
    early = False
    for _ in range(MAX_ENTRIES):
        head = source.at(at, _HEADER + _NAME)
        try:
            size, name_length = int(head[54:62], 16), int(head[94:102], 16)
        except ValueError:
            return None, early
        if not head.startswith(_CPIO) or len(head) < _HEADER:
            return None, early
        name = head[_HEADER : _HEADER + name_length]
        early = early or name.startswith(_MICROCODE)
        at = _aligned(_aligned(at + _HEADER + name_length) + size)
        if name == _TRAILER:
            return at, early
    return None, early


def _after_padding(source: Source, at: int) -> int | None:
    """The next byte that is not zero; `None` at the end of the file."""
    limit = at + _MAX_PADDING
    while at < limit:
        data = source.at(at, 4096)
        if not data:
            return None
        rest = data.lstrip(b"\0")
        if rest:
            return at + len(data) - len(rest)
        at += len(data)
    return None


def _aligned(offset: int) -> int:
    return (offset + 3) & ~3
