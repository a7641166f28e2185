"""Disk images made from bytes: GPT and MBR, FAT of each width, written by the formats' own documents."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from uuid import UUID

SECTOR = 512
ESP = UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
DATA = UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")
_END = {12: 0xFFF, 16: 0xFFFF, 32: 0x0FFFFFFF}
#: Clusters of one sector that make a file system of that width, and no more than needed.
_COUNT = {12: 200, 16: 4200, 32: 65600}


def fat(bits: int, files: Mapping[str, bytes], *, count: int = 0, roots: int = 64) -> bytes:
    """A FAT file system with files by their short names (`EFI/BOOT/BOOTX64.EFI`), of `count` clusters."""
    count = count or _COUNT[bits]
    width = {12: count * 3 // 2 + 4, 16: count * 2 + 4, 32: count * 4 + 8}[bits]
    table_sectors = -(-width // SECTOR)
    roots = 0 if bits == 32 else roots
    data_at = 1 + table_sectors + roots * 32 // SECTOR
    total = data_at + count
    clusters: list[bytes] = []
    links: dict[int, int] = {}

    def store(content: bytes) -> int:
        first = len(clusters) + 2
        parts = [content[i : i + SECTOR] for i in range(0, len(content), SECTOR)] or [b""]
        for number, part in enumerate(parts):
            clusters.append(part.ljust(SECTOR, b"\0"))
            links[first + number] = _END[bits] if number == len(parts) - 1 else first + number + 1
        return first

    def folder(prefix: str) -> bytes:
        rows = b""
        below = sorted({path[len(prefix) :].split("/")[0] for path in files if path.startswith(prefix)})
        for name in below:
            full = prefix + name
            inside = full in files
            at = store(files[full] if inside else folder(f"{full}/"))
            stem, _, ending = name.partition(".")
            row = bytearray(32)
            row[:11] = stem.ljust(8).encode() + ending.ljust(3).encode()
            row[11] = 0x20 if inside else 0x10
            struct.pack_into("<H", row, 20, at >> 16)
            struct.pack_into("<HI", row, 26, at & 0xFFFF, len(files[full]) if inside else 0)
            rows += bytes(row)
        return rows

    root = folder("")
    first = store(root) if bits == 32 else 0
    boot = bytearray(SECTOR)
    struct.pack_into(
        "<HBHBHHBH", boot, 11, SECTOR, 1, 1, 1, roots, 0, 0xF8, 0 if bits == 32 else table_sectors
    )
    struct.pack_into("<I", boot, 32, total)
    if bits == 32:
        struct.pack_into("<I", boot, 36, table_sectors)
        struct.pack_into("<I", boot, 44, first)
    boot[510:] = b"\x55\xaa"
    table = bytearray(table_sectors * SECTOR)
    for cluster, link in links.items():
        if bits == 12:
            at = cluster * 3 // 2
            word = int.from_bytes(table[at : at + 2], "little")
            word |= link << 4 if cluster & 1 else link
            table[at : at + 2] = word.to_bytes(2, "little")
        else:
            struct.pack_into("<H" if bits == 16 else "<I", table, cluster * bits // 8, link)
    fixed = b"" if bits == 32 else root.ljust(roots * 32, b"\0")
    return bytes(boot) + bytes(table) + fixed + b"".join(clusters) + bytes((count - len(clusters)) * SECTOR)


def gpt(
    parts: Sequence[tuple[UUID, str, bytes]], *, code: bytes = b"", sector: int = SECTOR, start: int = 2048
) -> bytes:
    """A GPT disk whose partitions have these types, names and contents, the first of them at sector `start`."""
    mbr = bytearray(512)
    mbr[: len(code)] = code
    mbr[446:462] = struct.pack("<B3sB3sII", 0, b"\0\2\0", 0xEE, b"\xff" * 3, 1, 0xFFFFFFFF)
    mbr[510:] = b"\x55\xaa"
    rows, body = b"", b""
    first = start
    for kind, name, content in parts:
        sectors = -(-len(content) // sector)
        label = name.encode("utf-16-le").ljust(72, b"\0")
        rows += kind.bytes_le + b"\x01" * 16 + struct.pack("<QQQ", first, first + sectors - 1, 0) + label
        body += content.ljust(sectors * sector, b"\0")
        first += sectors
    header = struct.pack(
        "<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, 0, 0, 1, first, 34, first, b"\2" * 16, 2, 128, 128, 0
    )
    head = bytes(mbr).ljust(sector, b"\0") + header.ljust(sector, b"\0") + rows
    return head.ljust(start * sector, b"\0") + body


def mbr(kind: int, content: bytes, *, code: bytes = b"\xfa\x31\xc0") -> bytes:
    """A disk with one partition of this type in an old table."""
    head = bytearray(2048 * SECTOR)
    head[: len(code)] = code
    head[446:462] = struct.pack("<B3sB3sII", 0x80, b"\0\2\0", kind, b"\xff" * 3, 2048, len(content) // SECTOR)
    head[510:512] = b"\x55\xaa"
    return bytes(head) + content
