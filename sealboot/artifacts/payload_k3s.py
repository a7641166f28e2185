"""The archive inside a k3s binary: a zstd-compressed tar among the program's constants (Go's `embed`).

It is part of the program's segments, so bytes behind the file do no harm and
a cut shows in the ELF headers already. Its file name is its own SHA-256
(k3s `scripts/package-cli`), which a deep check compares.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from sealboot.artifacts.deflate import HEAD, program_arch
from sealboot.artifacts.elf_segments import PF_X, PT_LOAD
from sealboot.artifacts.gobuild import GoBuild
from sealboot.artifacts.reader import Source, Window, chunks
from sealboot.artifacts.scan import find_all
from sealboot.artifacts.zstd import MAGIC, decompressor, frame_length, zstd
from sealboot.model.artifact import Elf
from sealboot.model.payload import Component, Payload, payload

_NAME_MARK = b".tar.zst"
_NAME = re.compile(rb"([0-9a-f]{64})\.tar\.zst$")
_MAX_HITS = 256
#: k3s packs with `--long=25`, a window of 32 MiB.
_WINDOW_LOG = 26
_BLOCK = 512
_STEP = 1 << 18
#: Inflated for the quick check: programs are among the first members.
_QUICK = 8 << 20
#: Inflated for the deep check, and members looked at.
_DEEP = 4 << 30
_MAX_MEMBERS = 10_000
_FOR_EVER = 1 << 62


@dataclass(frozen=True, slots=True)
class Embedded:
    """The archive found; `broken` says what is wrong with it, in words."""

    payload: Payload
    broken: str = ""


def may_be_k3s(build: GoBuild | None) -> bool:
    """k3s is built by file name or by its package; its linker flags name it in any case."""
    if build is None:
        return False
    told = (build.path, build.module, build.settings.get("-ldflags", ""))
    return build.path == "command-line-arguments" or any("k3s" in text for text in told)


def read_embedded(source: Source, elf: Elf, *, deep: bool) -> Embedded | None:
    """The tar.zst among the constants of a program; `None` when there is none."""
    left, tries = source.size, 0  # segments may overlap: no byte is searched more than once on average
    for start, end in _constants(elf):
        stop = min(end, source.size, start + left)
        left -= max(0, stop - start)
        for at in find_all(source, MAGIC, start, stop):
            if _is_tar(source, at, end):
                return _read(source, elf, at, end, deep=deep)
            tries += 1
            if tries == _MAX_HITS:
                return None
    return None


def _constants(elf: Elf) -> list[tuple[int, int]]:
    """Loaded parts, those without code first."""
    loads = [s for s in elf.segments if s.type == PT_LOAD and s.filesz]
    ordered = sorted(loads, key=lambda s: bool(s.flags & PF_X))
    return [(s.offset, s.offset + s.filesz) for s in ordered]


def _is_tar(source: Source, at: int, end: int) -> bool:
    head = next(_inflated(Window(source, at, end - at), _BLOCK), b"")
    return head[257:262] == b"ustar"


def _read(source: Source, elf: Elf, at: int, end: int, *, deep: bool) -> Embedded:
    length, broken = frame_length(Window(source, at, end - at))
    # The linker puts other constants right behind the frame: what is read ends with the frame.
    window = Window(source, at, length)
    name = _digest_name(source, elf)
    walk = _Walk()
    limit = _DEEP if deep else _QUICK
    try:
        for part in _inflated(window, limit):
            walk.feed(part)
            if walk.components and not deep:
                break
    except zstd.ZstdError:
        broken = broken or "it does not inflate"
    if deep and not broken and not walk.ended:
        broken = "its tar archive has no end"
    if deep and not broken and name and _sha256(window) != name:
        broken = f"its SHA-256 is not the one in its name, {name}"
    found = payload("tar.zst", at, length, tuple(walk.components), deep=deep, named=name)
    return Embedded(found, broken)


def _digest_name(source: Source, elf: Elf) -> str:
    """The digest in the archive's name, where exactly one text looks like it."""
    found: set[str] = set()
    hits = find_all(source, _NAME_MARK, 0, elf.end)
    for at, _ in zip(hits, range(_MAX_HITS), strict=False):
        match = _NAME.search(source.at(at - 64, 64 + len(_NAME_MARK)) if at >= 64 else b"")
        if match:
            found.add(match[1].decode("ascii"))
    return found.pop() if len(found) == 1 else ""


def _sha256(source: Source) -> str:
    digest = hashlib.sha256()
    for part in chunks(source):
        digest.update(part)
    return digest.hexdigest()


def _inflated(source: Source, limit: int) -> Iterator[bytes]:
    """The first frame's content, in pieces, `limit` bytes at most. May raise `ZstdError` once it began.

    What is no frame at all gives nothing.
    """
    engine = decompressor(_WINDOW_LOG)
    at, first = 0, True
    while limit > 0 and not engine.eof:
        data = source.at(at, _STEP) if engine.needs_input else b""
        if engine.needs_input and not data:
            return
        at += len(data)
        try:
            part = engine.decompress(data, min(_STEP, limit))
        except zstd.ZstdError:
            if first:
                return
            raise
        if part:
            first = False
            limit -= len(part)
            yield part


class _Walk:
    """A ustar stream fed in pieces: the name and the first bytes of each file, nothing else is kept."""

    def __init__(self) -> None:
        self.components: list[Component] = []
        self.ended = False
        self._data = b""
        self._skip = 0
        self._at = 0
        self._seen = 0

    def feed(self, part: bytes) -> None:
        """The next bytes of the archive."""
        jump = min(self._skip, len(part))
        self._skip -= jump
        self._at += jump
        if self._skip or self.ended:
            return
        self._data += part[jump:]
        while len(self._data) >= 2 * _BLOCK and self._member():
            pass

    def _member(self) -> bool:
        """One header, with the block behind it: the first bytes of the file. Whether to go on."""
        head = self._data[:_BLOCK]
        size = _octal(head[124:136])
        self._seen += 1
        if head[257:262] != b"ustar" or size is None or self._seen > _MAX_MEMBERS:
            self.ended = not any(head)
            self._skip = _FOR_EVER
            return False
        arch = program_arch(self._data[_BLOCK : _BLOCK + min(size, HEAD)])
        if head[156:157] in {b"0", b"\0"} and arch is not None:
            name = head[:100].split(b"\0", 1)[0].decode("utf-8", "backslashreplace")
            self.components.append(Component(name.removeprefix("./"), self._at, arch))
        used = _BLOCK + (size + _BLOCK - 1) // _BLOCK * _BLOCK
        here = min(used, len(self._data))
        self._data, self._skip = self._data[here:], used - here
        self._at += here
        return self._skip == 0


def _octal(field: bytes) -> int | None:
    text = field.strip(b" \0")
    try:
        return max(int(text, 8), 0) if text else 0
    except ValueError:
        return None
