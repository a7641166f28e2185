"""Whether two files are the same program with the same payload: compared byte by byte, whatever made the second."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass

from sealboot.artifacts.deflate import allowance
from sealboot.artifacts.elf_segments import PT_LOAD
from sealboot.artifacts.reader import MAX_READ, Source, Window, chunks
from sealboot.artifacts.repack_elf import table_fields
from sealboot.artifacts.zipend import Archive, Entry, content
from sealboot.model.artifact import Artifact, Elf
from sealboot.model.diagnostic import Severity
from sealboot.model.payload import Payload


@dataclass(frozen=True, slots=True)
class Proof:
    """What was found equal, in words; `differs` says what was not."""

    proven: tuple[str, ...] = ()
    differs: str = ""


_MACHINE = ("machine", "bits", "endian", "type", "arch")
_HEADERS = (
    *_MACHINE, "osabi", "flags", "entry", "interpreter", "segments", "needed", "symbol_versions", "min_kernel",
    "hard_float", "x86_level", "arm_level", "cpu_features",
)  # fmt: skip


def same_machine(before: Artifact, after: Artifact) -> Proof:
    """For the same processor, and nothing is wrong with the second file: what packing leaves alone."""
    return _compare(before, after, _MACHINE, "the same processor, class and byte order")


def packed_well(after: Artifact) -> Proof:
    """Unpacking to the same bytes is not running: some releases of UPX start some programs wrongly (SB402)."""
    warned = [d for d in after.diagnostics if d.code == "SB402" and d.severity is Severity.WARNING]
    return Proof(differs=f"SB402: {' '.join((warned[0].summary, *warned[0].notes))}") if warned else Proof()


def same_headers(before: Artifact, after: Artifact) -> Proof:
    """Entry, loader, libraries, segments and platforms too; nothing is wrong with the second file."""
    segments = len(before.elf.segments) if before.elf else 0
    return _compare(before, after, _HEADERS, f"{segments} program headers and the entry point are the same")


def _compare(before: Artifact, after: Artifact, fields: tuple[str, ...], proven: str) -> Proof:
    old, new = before.elf, after.elf
    if old is None or new is None:
        return Proof(differs="it is no program any more")
    wrong = next((d for d in after.diagnostics if d.severity is Severity.ERROR), None)
    if wrong is not None:
        return Proof(differs=f"{wrong.code}: {wrong.summary}")
    other = [name for name in fields if getattr(old, name) != getattr(new, name)]
    if other:
        return Proof(differs=f"{', '.join(other)} changed")
    if fields is _HEADERS and before.platforms != after.platforms:  # a packed one hides its level
        return Proof(differs="its platform changed")
    return Proof((proven,))


def same_memory(before: Source, after: Source, elf: Elf) -> Proof:
    """Every byte of every segment, but for the fields of the ELF header that tell of the section table."""
    done = 0  # segments lie in each other: each byte is read once, however many describe it
    for start, end in sorted((s.offset, s.offset + s.filesz) for s in elf.segments if s.type and s.filesz):
        begin = max(start, done)
        if not _same_range(before, after, begin, end - begin, elf.bits):
            return Proof(differs=f"bytes of the segment at {start} changed")
        done = max(done, end)
    total = sum(s.filesz for s in elf.segments if s.type == PT_LOAD)
    return Proof((f"all {total} loaded bytes are the same",))


def _same_range(before: Source, after: Source, start: int, length: int, bits: int) -> bool:
    at = start
    while at < start + length:
        want = min(MAX_READ, start + length - at)
        one, two = bytearray(before.at(at, want)), bytearray(after.at(at, want))
        for place, size in table_fields(bits):
            for index in range(max(place - at, 0), max(min(place + size - at, want), 0)):
                one[index : index + 1] = two[index : index + 1] = b"\0"
        if len(one) != want or one != two:
            return False
        at += want
    return True


def same_end(before: Source, after: Source, length: int) -> Proof:
    """The last `length` bytes: a payload that is found by counting from the end."""
    one = chunks(Window(before, before.size - length, length))
    two = chunks(Window(after, after.size - length, length))
    if after.size < length or any(a != b for a, b in zip(one, two, strict=True)):
        return Proof(differs="the payload is not where it was, counted from the end")
    return Proof((f"the last {length} bytes, the payload, are the same",))


def same_payload(before: Source, old: Payload | None, after: Source, new: Payload | None) -> Proof:
    """What a packed file carried behind its program, byte for byte; packing may have hidden it altogether."""
    if new is None:
        return Proof(differs="its payload is gone") if old is not None else Proof()
    counted = Proof(
        (f"its payload is where it looks for it: {len(new.components)} files, every byte checked",)
    )
    if old is None or old.format == "tar.zst":
        return counted
    length = after.size - new.offset
    one = chunks(Window(before, old.offset, length))
    two = chunks(Window(after, new.offset, length))
    if before.size - old.offset < length or any(a != b for a, b in zip(one, two, strict=True)):
        return Proof(differs="its payload is not the one that it had when it was packed")
    return counted


def same_contents(before: Source, old: Archive, after: Source, new: Archive | None) -> Proof:
    """Two archives hold the same files: names in order, sizes, checksums, SHA-256 of each content."""
    if new is None or new.broken or [e.name for e in old.entries] != [e.name for e in new.entries]:
        return Proof(differs="its archive does not have the same files")
    left = allowance(old.end - old.start)
    for one, two in zip(old.entries, new.entries, strict=True):
        digests = [_digest(source, entry, left) for source, entry in ((before, one), (after, two))]
        if (one.size, one.crc) != (two.size, two.crc) or digests[0] != digests[1] or not digests[0]:
            return Proof(differs=f"{one.name} in its archive changed")
        left -= one.size
    return Proof((f"{len(old.entries)} files in its archive have the same contents (SHA-256)",))


def _digest(source: Source, entry: Entry, most: int) -> str:
    """The SHA-256 of one file's content; empty where it is damaged or inflates beyond `most`."""
    digest, size, crc = hashlib.sha256(), 0, 0
    for piece in content(source, entry):
        size += len(piece)
        if size > most:
            return ""
        crc = zlib.crc32(piece, crc)
        digest.update(piece)
    return digest.hexdigest() if (size, crc) == (entry.size, entry.crc) else ""
