"""Sentences of a program that give away what its code asks of a host, beyond its headers.

Sources: glibc's `sysdeps/unix/sysv/linux/dl-sysdep.h` (`FATAL: kernel too
old`, said by the start code of static programs until it was removed);
jemalloc's `src/pages.c` (`pages_boot`).
"""

from __future__ import annotations

from dataclasses import replace

from sealboot.artifacts.reader import Source
from sealboot.artifacts.scan import find_all
from sealboot.model.arch import Arch
from sealboot.model.artifact import Elf

_OLD_KERNEL = b"FATAL: kernel too old"
_JEMALLOC = b"<jemalloc>: Unsupported system page size"
#: Kernels of these are built for several page sizes.
_PAGED = frozenset({Arch.ARM, Arch.ARM64, Arch.PPC64LE, Arch.PPC64, Arch.LOONG64, Arch.MIPS64, Arch.MIPS64LE})


def with_texts(source: Source, elf: Elf) -> Elf:
    """The program with what its sentences tell; each is looked for only where it would count."""
    end = min(source.size, elf.end or source.size)
    if elf.static and elf.min_kernel is not None and _holds(source, _OLD_KERNEL, end):
        elf = replace(elf, checks_kernel=True)
    if elf.arch in _PAGED and _holds(source, _JEMALLOC, end):
        elf = replace(elf, allocator="jemalloc")
    return elf


def _holds(source: Source, text: bytes, end: int) -> bool:
    return next(find_all(source, text, 0, end), None) is not None
