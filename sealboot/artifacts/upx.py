"""Whether an ELF file was packed with UPX. Its machine field survives packing, its details do not."""

from __future__ import annotations

from sealboot.artifacts.elf_header import EHDR_SIZE, PHDR_SIZE
from sealboot.artifacts.reader import Source
from sealboot.model.artifact import Elf

_MAGIC = b"UPX!"
#: UPX writes its loader information right behind the program headers, the checksum first.
_CHECKSUM = 4


def is_packed(source: Source, elf: Elf) -> bool:
    """Look where UPX's loader writes its mark: behind the last program header."""
    arch = elf.laid_out_as
    bits = arch.info.bits if arch else elf.bits
    at = EHDR_SIZE[bits] + len(elf.segments) * PHDR_SIZE[bits] + _CHECKSUM
    return source.at(at, len(_MAGIC)) == _MAGIC
