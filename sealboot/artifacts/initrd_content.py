"""What an initrd unpacks to: how much, whether it unpacks at all, and for which processor its programs are.

Format: Linux Documentation/driver-api/early-userspace/buffer-format.rst. All of
it is inflated once and nothing is kept: an initrd that breaks off shows only
after the machine has left its old system.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sealboot.artifacts.compress import StreamError
from sealboot.artifacts.elf_ident import MalformedError, identify
from sealboot.artifacts.findings import Finding
from sealboot.artifacts.reader import Source, chunks
from sealboot.artifacts.streams import can_inflate, compression, inflate
from sealboot.model.arch import Arch

#: No initrd becomes more; those of distributions stay below 300 MiB.
MAX_UNPACKED = 4 << 30

_CPIO = (b"070701", b"070702")
_HEADER = 110
_NAME = 4096
#: As much of a file as an ELF header has.
_HEAD = 64
_FILE = 0o100000


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes it unpacks to; the architecture of the first program in it, `None` when there is none."""

    size: int
    programs: Arch | None = None


def unpack(source: Source) -> Content | Finding | None:
    """Inflate an initrd to its end; a finding when it does not inflate, `None` when nobody here could.

    Of several archives that follow each other uncompressed, what comes after the first is counted as it is.
    """
    head = source.at(0, 16)
    if head.startswith(_CPIO):
        return Content(source.size, _first_program(chunks(source)))
    method = compression(head)
    if not can_inflate(method):
        return None
    walk = _Walk()
    size = 0
    try:
        for part in inflate(method, chunks(source), MAX_UNPACKED):
            size += len(part)
            walk.feed(part)
    except StreamError as error:
        return Finding(f"the initrd cannot be unpacked: {error}", 0)
    return Content(size, walk.found)


def _first_program(pieces: Iterator[bytes]) -> Arch | None:
    walk = _Walk()
    for piece in pieces:
        walk.feed(piece)
        if walk.over:
            break
    return walk.found


class _Walk:
    """Goes over a newc archive that comes in pieces, until the first ELF file."""

    __slots__ = ("_held", "_skip", "found", "over")

    def __init__(self) -> None:
        self._held = bytearray()
        self._skip = 0
        self.found: Arch | None = None
        self.over = False

    def feed(self, data: bytes) -> None:
        """Take the next piece."""
        if self.over:
            return
        skipped = min(self._skip, len(data))
        self._skip -= skipped
        self._held += data[skipped:]
        while not self._skip and self._entry():
            pass

    def _entry(self) -> bool:
        """Pass over one entry; whether there may be another one."""
        held = self._held
        if len(held) < _HEADER:
            return False
        try:
            mode, size, name = (int(held[at : at + 8], 16) for at in (14, 54, 94))
        except ValueError:
            self.over = True
            return False
        if not held.startswith(_CPIO) or not 0 < name <= _NAME:
            self.over = True
            return False
        start = _aligned(_HEADER + name)
        if len(held) < start + min(size, _HEAD):
            return False
        if held[_HEADER : _HEADER + name] == b"TRAILER!!!\0":
            self.over = True
            return False
        if mode & 0o170000 == _FILE and held[start : start + 4] == b"\x7fELF":
            self.found = _arch(bytes(held[start : start + min(size, _HEAD)]))
            self.over = self.found is not None
        end = _aligned(start + size)
        self._skip = max(0, end - len(held))
        del held[:end]
        return not self.over


def _arch(head: bytes) -> Arch | None:
    try:
        return identify(head).arch
    except MalformedError:
        return None


def _aligned(offset: int) -> int:
    return (offset + 3) & ~3
