"""Whether an ELF file was packed with UPX. Its machine field survives packing, its details do not.

Source: UPX's own headers as written by version 4 (`l_info` behind the program
headers, a pack header of 32 bytes and a 4-byte offset at the end of the file).
"""

from __future__ import annotations

import re

from sealboot.artifacts.elf_ident import EHDR_SIZE, PHDR_SIZE
from sealboot.artifacts.reader import Source
from sealboot.artifacts.scan import find_all
from sealboot.model.artifact import Elf

_MAGIC = b"UPX!"
#: UPX writes its loader information right behind the program headers, the checksum first.
_CHECKSUM = 4
#: From the mark of the pack header to the end of the file, and where in it the unpacked size is.
_TRAILER = 36
_ORIGINAL_SIZE = 24


#: `$Id: UPX 4.22 Copyright ...` stands in the code that unpacks, at the end of what is loaded.
_IDENT = b"$Id: UPX "
_IDENT_WITHIN = 1 << 16
_VERSION = re.compile(rb"\d{1,2}\.\d{1,4}")


def is_packed(source: Source, elf: Elf) -> bool:
    """Look where UPX's loader writes its mark: behind the last program header."""
    arch = elf.laid_out_as
    bits = arch.info.bits if arch else elf.bits
    at = EHDR_SIZE[bits] + len(elf.segments) * PHDR_SIZE[bits] + _CHECKSUM
    return source.at(at, len(_MAGIC)) == _MAGIC


def ends_packed(source: Source) -> bool:
    """Whether UPX's pack header is the last thing in the file: nothing was appended after packing.

    A payload in such a file was there before, and no longer ends where the file does.
    """
    return source.at(source.size - _TRAILER, len(_MAGIC)) == _MAGIC


def packer_version(source: Source, elf: Elf) -> str:
    """Which UPX packed it, as it writes its version (`4.22` is 4.2.2); empty where that is not told."""
    for at in find_all(source, _IDENT, elf.end - _IDENT_WITHIN, elf.end):
        match = _VERSION.match(source.at(at + len(_IDENT), 8))
        if match:
            return match[0].decode()
    return ""


def original_size(source: Source) -> int | None:
    """The file's size before packing, modulo 4 GiB; `None` where its pack header is not at the end."""
    if not ends_packed(source):
        return None
    at = source.size - _TRAILER + _ORIGINAL_SIZE
    return int.from_bytes(source.at(at, 4), "little")
