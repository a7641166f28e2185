"""What a raw disk image would boot: its partition table, its boot sector, the loaders in its EFI system partition.

Formats: UEFI 2.10, chapter 5 (GPT); Microsoft, "FAT: General Overview of On-Disk Format" (1.03).
Pure and bounded: some hundred KiB are read, whatever the tables say.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from sealboot.artifacts.pe import parse_pe
from sealboot.artifacts.reader import Memory, Source, Window
from sealboot.model.arch import Arch

_ESP = UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b").bytes_le
_MBR_ESP = 0xEF
_PROTECTIVE = 0xEE
_SECTORS = (512, 4096)
_MAX_ENTRIES = 128
_HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
#: The code of a boot sector ends where its disk signature begins.
_CODE = 440

#: Names at the removable-media path that fit into eight and three letters (UEFI 2.10, 3.5.1.1).
_LOADERS = (b"BOOTX64 EFI", b"BOOTAA64EFI", b"BOOTIA32EFI")
_DIRECTORY, _VOLUME = 0x10, 0x08
#: What is read of one directory, and of one loader: its headers.
_READ = 1 << 16


@dataclass(frozen=True, slots=True)
class Looked:
    """See `sealboot.model.bootfiles.DiskImage` for the meaning of each."""

    table: str = ""
    bios: bool = False
    esp: int | None = None
    loaders: tuple[Arch, ...] = ()
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Partition:
    number: int
    start: int  # bytes
    length: int
    esp: bool
    label: str = ""


def look(image: Source) -> Looked | None:
    """Look at the beginning of a disk; `None` when it has no partition table. Never raises for what is in it."""
    sector = image.at(0, 512)
    if sector[510:512] != b"\x55\xaa":
        return None
    gpt = _gpt(image)
    partitions = gpt if gpt is not None else tuple(_mbr(sector))
    if gpt is None and not partitions:
        return None
    esp = next((p for p in partitions if p.esp), None)
    return Looked(
        "gpt" if gpt is not None else "mbr",
        any(sector[:_CODE]),
        esp.number if esp is not None else None,
        _loaders(Window(image, esp.start, esp.length)) if esp is not None else (),
        tuple(p.label for p in partitions if p.label),
    )


def _mbr(sector: bytes) -> Iterator[_Partition]:
    for number in range(4):
        row = sector[446 + 16 * number : 462 + 16 * number]
        start, count = struct.unpack_from("<II", row, 8)
        if row[0] in {0, 0x80} and row[4] not in {0, _PROTECTIVE} and count:
            yield _Partition(number + 1, start * 512, count * 512, row[4] == _MBR_ESP)


def _gpt(image: Source) -> tuple[_Partition, ...] | None:
    for size in _SECTORS:
        head = image.at(size, _HEADER.size)
        if len(head) < _HEADER.size or not head.startswith(b"EFI PART"):
            continue
        fields = _HEADER.unpack(head)
        at, count, length = fields[10], fields[11], fields[12]
        if not 128 <= length <= 4096:
            return ()
        table = image.at(at * size, min(count, _MAX_ENTRIES) * length)
        return tuple(_entries(table, length, size))
    return None


def _entries(table: bytes, length: int, sector: int) -> Iterator[_Partition]:
    for number in range(len(table) // length):
        row = table[number * length : (number + 1) * length]
        if not any(row[:16]):
            continue
        first, last = struct.unpack_from("<QQ", row, 32)
        label = row[56:128].decode("utf-16-le", "replace").split("\0", 1)[0]
        yield _Partition(
            number + 1, first * sector, max(0, last - first + 1) * sector, row[:16] == _ESP, label
        )


def _loaders(esp: Source) -> tuple[Arch, ...]:
    fat = _Fat.of(esp)
    if fat is None:
        return ()
    folder = fat.find(fat.root(), b"EFI        ")
    folder = fat.find(fat.read(folder), b"BOOT       ") if folder is not None else None
    if folder is None:
        return ()
    listing = fat.read(folder)
    found: dict[Arch, None] = {}
    for name in _LOADERS:
        at = fat.find(listing, name, folder=False)
        pe = parse_pe(Memory(fat.read(at))).pe if at is not None else None
        if pe is not None and pe.arch is not None:
            found[pe.arch] = None
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Fat:
    """A FAT file system, as far as following short names takes."""

    source: Source
    bits: int
    cluster: int  # bytes
    table: int  # offset of the first table
    data: int  # offset of cluster 2
    count: int
    fixed: tuple[int, int]  # root directory of FAT12 and FAT16: offset, length
    first: int  # its cluster on FAT32

    @classmethod
    def of(cls, source: Source) -> _Fat | None:
        boot = source.at(0, 512)
        if len(boot) < 512:
            return None
        sector, per, reserved, tables, roots, small, _, size = struct.unpack_from("<HBHBHHBH", boot, 11)
        total = small or struct.unpack_from("<I", boot, 32)[0]
        size = size or struct.unpack_from("<I", boot, 36)[0]
        if sector not in {512, 1024, 2048, 4096} or not per or not reserved or not tables or not size:
            return None
        root_at = reserved + tables * size
        data = root_at + (roots * 32 + sector - 1) // sector
        if total <= data:
            return None
        count = (total - data) // per
        bits = 12 if count < 4085 else 16 if count < 65525 else 32
        first = int.from_bytes(boot[44:48], "little")
        fixed = (root_at * sector, roots * 32)
        return cls(source, bits, per * sector, reserved * sector, data * sector, count, fixed, first)

    def root(self) -> bytes:
        """The entries of the root directory."""
        if self.bits == 32:
            return self.read(self.first)
        return self.source.at(self.fixed[0], min(self.fixed[1], _READ))

    def read(self, cluster: int) -> bytes:
        """The beginning of what starts at a cluster. No cluster is read twice: a chain may bite its tail."""
        made = bytearray()
        seen: set[int] = set()
        while 2 <= cluster < self.count + 2 and cluster not in seen and len(made) < _READ:
            seen.add(cluster)
            made += self.source.at(self.data + (cluster - 2) * self.cluster, min(self.cluster, _READ))
            cluster = self._next(cluster)
        return bytes(made[:_READ])

    def _next(self, cluster: int) -> int:
        if self.bits == 12:
            word = int.from_bytes(self.source.at(self.table + cluster * 3 // 2, 2), "little")
            return word >> 4 if cluster & 1 else word & 0xFFF
        width = self.bits // 8
        word = int.from_bytes(self.source.at(self.table + cluster * width, width), "little")
        return word & 0x0FFFFFFF

    def find(self, listing: bytes, name: bytes, *, folder: bool = True) -> int | None:
        """The first cluster of an entry by its short name."""
        for at in range(0, len(listing) - 31, 32):
            row = listing[at : at + 32]
            if row[0] == 0:
                return None
            if row[:11] == name and not row[11] & _VOLUME and bool(row[11] & _DIRECTORY) == folder:
                return int.from_bytes(row[20:22], "little") << 16 | int.from_bytes(row[26:28], "little")
        return None
