"""The ZIP archive behind a program, deflated anew: every name, time, attribute and content stays.

Only stored and deflated entries exist for Go's `archive/zip`, so these are the
only methods that are written. An entry that would not become smaller is taken
over as it is. Fields by PKWARE's APPNOTE, sections 4.3.7 and 4.3.12.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import BinaryIO

from sealboot.artifacts.deflate import allowance
from sealboot.artifacts.reader import MAX_READ, Source, Window, chunks
from sealboot.artifacts.zipend import (
    DEFLATED,
    END_SIZE,
    ENTRY_SIZE,
    LOCAL_SIZE,
    MARK,
    STORED,
    Archive,
    Entry,
    content,
)

_ENCRYPTED, _SIZES_BEHIND = 0x1, 0x8
_WIDE = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class _Record:
    """One file: its directory record and local header, raw, and where its data are."""

    central: bytes
    local: bytes
    entry: Entry
    at: int


@dataclass(frozen=True, slots=True)
class Rewritten:
    """How it went: the archive's new length and how many entries became smaller; or why it was not done."""

    length: int = 0
    smaller: int = 0
    why_not: str = ""


def rewrite(source: Source, archive: Archive, out: BinaryIO) -> Rewritten:
    """Write the archive to `out`, from where that stands, with what can be deflated better.

    `out` must be seekable; it is left behind the last byte written. What follows the archive
    in the file is not copied. Takes about as long as deflating everything at the highest level.
    May raise `OSError` for either file.
    """
    records = _records(source, archive)
    if isinstance(records, str):
        return Rewritten(why_not=records)
    base, smaller = out.tell(), 0
    directory = bytearray()
    left = allowance(archive.end - archive.start)
    for record in records:
        at = out.tell() - base
        left -= record.entry.size
        if left < 0:
            return Rewritten(why_not="it inflates to more than any payload does")
        method, packed = _entry(source, record, out)
        smaller += packed < record.entry.packed
        directory += _central(record, method, packed, at)
    start = out.tell() - base
    end = bytearray(source.at(archive.record, archive.end - archive.record))
    struct.pack_into("<II", end, 12, len(directory), start)
    out.write(directory)
    out.write(end)
    return Rewritten(out.tell() - base, smaller)


def _records(source: Source, archive: Archive) -> list[_Record] | str:
    """Every file as the directory has it, or why the archive is left alone."""
    (size,) = struct.unpack_from("<I", source.at(archive.record, END_SIZE), 12)
    data = source.at(archive.record - size, min(size, MAX_READ))
    found: list[_Record] = []
    place = 0
    for entry in archive.entries:
        fixed = data[place : place + ENTRY_SIZE]
        flags = int.from_bytes(fixed[8:10], "little")
        name, extra, comment = struct.unpack_from("<HHH", fixed, 28)
        central = data[place : place + ENTRY_SIZE + name + extra + comment]
        place += len(central)
        local = source.at(entry.at, LOCAL_SIZE)
        if len(local) < LOCAL_SIZE or not local.startswith(MARK):
            return f"{entry.name} is not where the directory says"
        local = source.at(entry.at, LOCAL_SIZE + sum(struct.unpack_from("<HH", local, 26)))
        known = entry.method in {STORED, DEFLATED} and _WIDE not in {entry.packed, entry.size}
        if flags & _ENCRYPTED or not known:
            return f"{entry.name} is stored in a way that is not rewritten"
        found.append(_Record(central, local, entry, entry.at + len(local)))
    return found


def _entry(source: Source, record: _Record, out: BinaryIO) -> tuple[int, int]:
    """Write one file: local header and data. Returns the method and the compressed size."""
    header_at = out.tell()
    out.write(bytes(len(record.local)))
    data_at = out.tell()
    method, packed = DEFLATED, _deflated(source, record, out)
    if packed is None or packed >= record.entry.packed:
        out.seek(data_at)
        out.truncate()
        out.writelines(chunks(Window(source, record.at, record.entry.packed)))
        method, packed = record.entry.method, record.entry.packed
    end = out.tell()
    local = bytearray(record.local)
    flags = int.from_bytes(local[6:8], "little") & ~_SIZES_BEHIND
    struct.pack_into("<HH", local, 6, flags, method)
    struct.pack_into("<III", local, 14, record.entry.crc, packed, record.entry.size)
    out.seek(header_at)
    out.write(local)
    out.seek(end)
    return method, packed


def _deflated(source: Source, record: _Record, out: BinaryIO) -> int | None:
    """Write the content deflated as far as zlib can; `None` once it is no smaller, or damaged."""
    engine = zlib.compressobj(9, zlib.DEFLATED, -15, 9)
    start, crc, size = out.tell(), 0, 0
    for piece in content(source, record.entry):
        crc, size = zlib.crc32(piece, crc), size + len(piece)
        out.write(engine.compress(piece))
        if out.tell() - start >= record.entry.packed or size > record.entry.size:
            return None
    out.write(engine.flush())
    return out.tell() - start if (crc, size) == (record.entry.crc, record.entry.size) else None


def _central(record: _Record, method: int, packed: int, at: int) -> bytes:
    made = bytearray(record.central)
    flags = int.from_bytes(made[8:10], "little") & ~_SIZES_BEHIND
    struct.pack_into("<HH", made, 8, flags, method)
    struct.pack_into("<II", made, 20, packed, record.entry.size)
    struct.pack_into("<I", made, 42, at)
    return bytes(made)
