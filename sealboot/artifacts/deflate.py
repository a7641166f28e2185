"""Deflated data inside a file, inflated piece by piece: what is in it, where it ends, whether it is whole."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from sealboot.artifacts.reader import Source
from sealboot.model.arch import Arch, arch_from_elf

#: `wbits` of zlib: with a gzip header and trailer (both are checked), and bare.
GZIP, RAW = 31, -15
#: What one piece is read from, and inflates to at most.
_READ, _STEP = 1 << 18, 1 << 20
#: The first bytes of a component that are kept: an ELF header.
HEAD = 64
#: A payload that inflates to more than the first, or than the second and this many times its size, is none:
#: programs deflate to a third of their size or so.
_MOST, _GRACE, _RATIO = 4 << 30, 256 << 20, 50

_PEEK = 1 << 12
_ENDIANS = {1: "little", 2: "big"}
_CLASSES = {1: 32, 2: 64}


@dataclass(frozen=True, slots=True)
class Inflated:
    """One stream: its first bytes, the offset behind its last one, its inflated size.

    `broken` says in a few words what is wrong with it; empty when it is whole.
    `crc` is the CRC-32 of the content, only for `RAW` (gzip's own is compared).
    """

    head: bytes
    end: int
    size: int
    crc: int = 0
    broken: str = ""


def peek(source: Source, at: int, end: int, wbits: int) -> bytes:
    """The first bytes of the stream at `at`, or as many as inflate; nothing for what is no stream."""
    data = source.at(at, min(_PEEK, end - at))
    try:
        return zlib.decompressobj(wbits).decompress(data, HEAD)
    except zlib.error:
        return b""


def allowance(length: int) -> int:
    """How many bytes a whole payload of `length` bytes may inflate to, in all its parts together."""
    return min(_MOST, max(_GRACE, length * _RATIO))


def inflate(source: Source, at: int, end: int, wbits: int, most: int) -> Inflated:
    """Inflate the one stream that begins at `at` and ends before `end`; keeps next to nothing of it.

    Gives up once there are more than `most` bytes.
    """
    engine = zlib.decompressobj(wbits)
    head, size, crc, position = b"", 0, 0, at
    filled = False
    broken = ""
    while not engine.eof:
        data = engine.unconsumed_tail
        if not data and not filled:
            data = source.at(position, min(_READ, end - position))
            position += len(data)
            if not data:
                broken = "ends too early"
                break
        try:
            made = engine.decompress(data, _STEP)
        except zlib.error as error:
            broken = "does not inflate" if "check" not in str(error) else "has a wrong checksum"
            break
        filled = len(made) == _STEP
        head = head or made[:HEAD]
        size += len(made)
        crc = zlib.crc32(made, crc) if wbits == RAW else 0
        if size > most:
            broken = "inflates to more than any payload does"
            break
    return Inflated(head, position - len(engine.unused_data), size, crc, broken)


def program_arch(head: bytes) -> Arch | None:
    """The architecture of the ELF program that begins with `head`; `None` for everything else."""
    if not head.startswith(b"\x7fELF") or len(head) < 20:
        return None
    bits, endian = _CLASSES.get(head[4]), _ENDIANS.get(head[5])
    if bits is None or endian is None:
        return None
    machine = int.from_bytes(head[18:20], "little" if endian == "little" else "big")
    return arch_from_elf(machine, bits, endian)
