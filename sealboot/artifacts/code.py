"""Where the code of a program ends, by its section table: of a segment with code and constants, which is which."""

from __future__ import annotations

from sealboot.artifacts.elf_ident import EHDR_SIZE
from sealboot.artifacts.reader import Source
from sealboot.model.arch import Arch
from sealboot.model.artifact import Elf

#: Section headers looked at; programs have some dozens.
MAX_SECTIONS = 4096
#: The largest page of any kernel: segments aligned to it never share one.
LARGEST_PAGE = 65536

_SHDR_SIZE = {32: 40, 64: 64}
_PT_LOAD = 1
_SHF_EXECINSTR = 4
#: Kernels of these are built for several page sizes.
_PAGED = frozenset({Arch.ARM, Arch.ARM64, Arch.PPC64LE, Arch.PPC64})


def code_end(source: Source, elf: Elf) -> int | None:
    """The address behind the last section with code; `None` where it does not matter or nothing tells.

    No kernel reads sections. It matters where segments may share a page, which
    costs the lower one its right to be executed.
    """
    loads = [s for s in elf.segments if s.type == _PT_LOAD]
    if elf.arch not in _PAGED or elf.defect or all(s.align >= LARGEST_PAGE for s in loads):
        return None
    endian, word, size = elf.endian, elf.bits // 8, _SHDR_SIZE[elf.bits]

    def number(data: bytes, at: int, length: int) -> int:
        return int.from_bytes(data[at : at + length], endian)

    head = source.at(0, EHDR_SIZE[elf.bits])
    start, entry, count = (
        number(head, 24 + 2 * word, word),
        *(number(head, len(head) - i, 2) for i in (6, 4)),
    )
    if not start or entry != size:
        return None
    table = source.at(start, min(count, MAX_SECTIONS) * size)
    ends = []
    for at in range(0, len(table) - size + 1, size):
        flags, address = number(table, at + 8, word), number(table, at + 8 + word, word)
        if flags & _SHF_EXECINSTR:
            ends.append(address + number(table, at + 8 + 3 * word, word))
    return max(ends, default=None)
