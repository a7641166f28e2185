"""A ZIP archive behind a program: the payload of k0s from 1.36.

Go's `archive/zip` looks for the end record from the end of the file and works
out where the archive begins, so neither bytes in front nor a few behind
matter. Format: PKWARE's APPNOTE, sections 4.3.7, 4.3.12 and 4.3.16.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from sealboot.artifacts.deflate import HEAD, RAW, allowance, inflate, peek, program_arch
from sealboot.artifacts.reader import MAX_READ, Source, Window, chunks
from sealboot.model.payload import Component

#: Where a ZIP archive's first file begins.
MARK = b"PK\x03\x04"
MAX_ENTRIES = 4096
MAX_DIRECTORY = 1 << 20
#: Lengths of an end record, a directory record and a local header without their texts.
END_SIZE, ENTRY_SIZE, LOCAL_SIZE = 22, 46, 30
#: The methods that Go's `archive/zip` reads.
STORED, DEFLATED = 0, 8

_END, _ENTRY = b"PK\x05\x06", b"PK\x01\x02"
_MAX_COMMENT = 1 << 16
_NAME_MAX = 256


@dataclass(frozen=True, slots=True)
class Entry:
    """One file as the directory tells it; `at` is where its local header is in the whole file."""

    name: str
    method: int
    crc: int
    packed: int
    size: int
    at: int


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive by its directory; its end record is at `record`. `broken`: why no file in it can be found."""

    start: int
    end: int
    record: int
    entries: tuple[Entry, ...] = ()
    broken: str = ""


def find_archive(source: Source, start: int) -> Archive | None:
    """The archive whose end record lies behind `start`; `None` when there is no such record."""
    low = max(start, source.size - END_SIZE - _MAX_COMMENT)
    tail = source.at(low, source.size - low)
    at = tail.rfind(_END)
    while at >= 0:
        record = tail[at : at + END_SIZE]
        if len(record) == END_SIZE:
            comment = int.from_bytes(record[20:22], "little")
            if at + END_SIZE + comment <= len(tail):
                return _directory(source, record, low + at, low + at + END_SIZE + comment)
        at = tail.rfind(_END, 0, at)
    return None


def _directory(source: Source, record: bytes, at: int, end: int) -> Archive:
    count, size, offset = struct.unpack_from("<HII", record, 10)
    base = at - size - offset
    if base < 0 or size > MAX_DIRECTORY or count > MAX_ENTRIES:
        return Archive(max(base, 0), end, at, broken="its directory lies outside the file")
    data = source.at(at - size, min(size, MAX_READ))
    entries: list[Entry] = []
    place = 0
    for _ in range(count):
        head = data[place : place + ENTRY_SIZE]
        if len(head) < ENTRY_SIZE or not head.startswith(_ENTRY):
            return Archive(
                base, end, at, tuple(entries), f"its directory breaks off after {len(entries)} files"
            )
        method, crc, packed, full = struct.unpack_from("<H4xIII", head, 10)
        name, extra, comment = struct.unpack_from("<HHH", head, 28)
        local = int.from_bytes(head[42:46], "little")
        text = data[place + ENTRY_SIZE : place + ENTRY_SIZE + min(name, _NAME_MAX)]
        entries.append(
            Entry(text.decode("utf-8", "backslashreplace"), method, crc, packed, full, base + local)
        )
        place += ENTRY_SIZE + name + extra + comment
    return Archive(base, end, at, tuple(entries))


def check(source: Source, archive: Archive, *, deep: bool) -> tuple[tuple[Component, ...], str]:
    """What each file is, and the first damage in words.

    Quick: local headers and first bytes. Deep: every byte, sizes and CRC-32, up to the first damage.
    """
    components: list[Component] = []
    broken = archive.broken
    left = allowance(archive.end - archive.start)
    for entry in archive.entries:
        head, wrong, used = _deep(source, entry, left) if deep and not broken else (*_quick(source, entry), 0)
        left -= used
        broken = broken or (f"{entry.name} {wrong}" if wrong else "")
        components.append(Component(entry.name, entry.at, program_arch(head)))
    return tuple(components), broken


def data_at(source: Source, entry: Entry) -> int | None:
    """Where a file's compressed bytes begin: its local header has a name and extras of its own lengths."""
    local = source.at(entry.at, LOCAL_SIZE)
    if len(local) < LOCAL_SIZE or not local.startswith(MARK):
        return None
    name, extra = struct.unpack_from("<HH", local, 26)
    at = entry.at + LOCAL_SIZE + int(name) + int(extra)
    return at if at + entry.packed <= source.size else None


def _quick(source: Source, entry: Entry) -> tuple[bytes, str]:
    at = data_at(source, entry)
    if at is None:
        return b"", "is not where the directory says"
    if entry.method == STORED:
        return source.at(at, min(HEAD, entry.packed)), ""
    return peek(source, at, at + entry.packed, RAW) if entry.method == DEFLATED else b"", ""


def _deep(source: Source, entry: Entry, most: int) -> tuple[bytes, str, int]:
    """The first bytes, what is wrong, and how many bytes were made: entries of a bomb share their data."""
    at = data_at(source, entry)
    if at is None or entry.method not in {STORED, DEFLATED}:
        return (*_quick(source, entry), 0)
    if entry.method == STORED:
        crc = 0
        for part in chunks(Window(source, at, min(entry.packed, max(most, 0)))):
            crc = zlib.crc32(part, crc)
        head = source.at(at, min(HEAD, entry.packed))
        return head, "" if crc == entry.crc else "has a wrong checksum", entry.packed
    found = inflate(source, at, at + entry.packed, RAW, most)
    same = (found.size, found.crc) == (entry.size, entry.crc)
    return found.head, found.broken or ("" if same else "has a wrong checksum"), found.size


def content(source: Source, entry: Entry) -> Iterator[bytes]:
    """What one file inflates to, in pieces; ends early where it is damaged (size and checksum tell)."""
    at = data_at(source, entry)
    if at is None or entry.method not in {STORED, DEFLATED}:
        return
    window = chunks(Window(source, at, entry.packed))
    if entry.method == STORED:
        yield from window
        return
    engine = zlib.decompressobj(RAW)
    try:
        for piece in window:
            data = piece
            while data and not engine.eof:
                yield engine.decompress(data, MAX_READ)
                data = engine.unconsumed_tail
        yield engine.flush()
    except zlib.error:
        return
