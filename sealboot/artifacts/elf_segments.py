"""Program headers, as a kernel reads them: the table, PT_INTERP, and what makes a kernel refuse.

The rules are those of Linux `fs/binfmt_elf.c` (`load_elf_phdrs`,
`load_elf_binary`), in its order: the first one that fails is the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sealboot.artifacts.elf_header import Header
from sealboot.artifacts.elf_ident import PHDR_SIZE, MalformedError
from sealboot.artifacts.reader import Source
from sealboot.model.artifact import Segment

PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_NOTE = 1, 2, 3, 4
PT_GNU_PROPERTY = 0x6474E553
PF_X, PF_W, PF_R = 1, 2, 4
WIDE = 64

#: What a program may address at most. 64-bit kernels without large address extensions end at 2^47 or
#: above, the smaller ones (Sv39) lower still; no real program comes near.
ADDRESS_SPACE = {32: 1 << 32, 64: 1 << 47}
_ENTRY_AT = 24
_PAGE = 4096

#: A kernel refuses a larger table; so 1170 (64-bit) or 2048 (32-bit) headers are the most there can be.
MAX_TABLE = 65536
#: A kernel refuses a longer interpreter path (PATH_MAX), its NUL included.
MAX_INTERP = 4096


def read_segments(source: Source, header: Header) -> tuple[Segment, ...]:
    """The whole program header table; raises `MalformedError` where a kernel would refuse it."""
    size = PHDR_SIZE[header.layout.bits]
    if header.phentsize != size:
        raise MalformedError(f"a program header of {header.phentsize} bytes instead of {size}", header.phoff)
    if header.phnum == 0:
        raise MalformedError("no program headers", header.phoff)
    total = header.phnum * size
    if total > MAX_TABLE:
        raise MalformedError(f"{header.phnum} program headers, more than a kernel reads", header.phoff)
    table = source.at(header.phoff, total)
    if len(table) < total:
        raise MalformedError(
            f"the file ends at {source.size}, inside its program headers ({header.phoff}+{total})",
            source.size,
        )
    rows = header.layout.row("IIIIIIII", "IIQQQQQQ").iter_unpack(table)
    # The flags stand second in 64-bit files, and last but one in 32-bit ones; the physical address is nobody's.
    if header.layout.bits == WIDE:
        return tuple(Segment(t, f, o, v, filesz, m, a) for t, f, o, v, _, filesz, m, a in rows)
    return tuple(Segment(t, f, o, v, filesz, m, a) for t, o, v, _, filesz, m, f, a in rows)


def read_interpreter(source: Source, segments: Iterable[Segment]) -> str | None:
    """The path in the first PT_INTERP; `None` without one. Raises `MalformedError` as a kernel refuses."""
    segment = next((s for s in segments if s.type == PT_INTERP), None)
    if segment is None:
        return None
    if not 2 <= segment.filesz <= MAX_INTERP:
        raise MalformedError(f"an interpreter path of {segment.filesz} bytes", segment.offset)
    raw = source.at(segment.offset, segment.filesz)
    if len(raw) < segment.filesz:
        raise MalformedError(f"the file ends at {source.size}, inside its interpreter path", source.size)
    if not raw.endswith(b"\0"):
        raise MalformedError("an interpreter path without its final NUL", segment.offset)
    path = raw.split(b"\0", 1)[0]
    if not path:
        raise MalformedError("an empty interpreter path", segment.offset)
    return path.decode("utf-8", "backslashreplace")


def check_loadable(segments: Sequence[Segment], header: Header, size: int) -> None:
    """Raise `MalformedError` for a file that is started and dies at once, or that ends too early.

    A kernel starts a file whose segments end beyond the file and lets it die
    of SIGBUS, or run on zeros: that is "truncated", whatever exec returned.
    """
    loads = [s for s in segments if s.type == PT_LOAD]
    if not loads:
        raise MalformedError("no segment to load", header.phoff)
    for load in loads:
        _check_load(load, ADDRESS_SPACE[header.layout.bits], size)
    if header.entry:
        _check_entry(loads, header)
    if any(s.type == PT_INTERP for s in segments):
        _check_dynamic(segments)


def _check_load(load: Segment, top: int, size: int) -> None:
    if load.filesz > load.memsz:
        raise MalformedError(
            f"a segment of {load.filesz} bytes for {load.memsz} bytes of memory", load.offset
        )
    if load.vaddr + load.memsz > top:
        raise MalformedError(f"a segment at {load.vaddr:#x} beyond the address space", load.offset)
    if load.offset + load.filesz > size:
        raise MalformedError(
            f"truncated: the file ends at {size}, a segment needs {load.offset + load.filesz}", size
        )


def _check_entry(loads: Sequence[Segment], header: Header) -> None:
    """The entry point must be code: executable for 64-bit kernels, at least readable for 32-bit ones.

    The latter take readable for executable in files without PT_GNU_STACK.
    """
    home = next((s for s in loads if s.vaddr <= header.entry < _backed_end(s)), None)
    if home is None:
        raise MalformedError(f"the entry point {header.entry:#x} lies in no segment", _ENTRY_AT)
    needed = PF_X if header.layout.bits == WIDE else PF_X | PF_R
    if not home.flags & needed:
        raise MalformedError(f"the entry point {header.entry:#x} is not executable", _ENTRY_AT)


def _backed_end(segment: Segment) -> int:
    """Where a segment's bytes end in memory.

    Whole pages are mapped; the rest of the last one is cleared where the segment is writable.
    """
    end = segment.vaddr + segment.filesz
    return end if segment.flags & PF_W or not segment.filesz else (end + _PAGE - 1) // _PAGE * _PAGE


def _check_dynamic(segments: Sequence[Segment]) -> None:
    """The loader finds these two in memory, at the addresses their headers give, or crashes."""
    for kind, name in ((PT_INTERP, "PT_INTERP"), (PT_DYNAMIC, "PT_DYNAMIC")):
        found = next((s for s in segments if s.type == kind), None)
        if found is None:
            raise MalformedError(f"a loader, but no {name}")
        if file_offset(segments, found.vaddr) is None:
            raise MalformedError(f"{name} lies at {found.vaddr:#x}, where nothing is loaded", found.offset)


def file_offset(segments: Iterable[Segment], address: int) -> int | None:
    """Where in the file the byte at a virtual address comes from; `None` when it comes from nowhere."""
    for segment in segments:
        if segment.type == PT_LOAD and segment.vaddr <= address < segment.vaddr + segment.filesz:
            return segment.offset + address - segment.vaddr
    return None
