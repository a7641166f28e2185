"""Program headers, as a kernel reads them: the table, PT_INTERP, and what makes a kernel refuse.

The rules are those of Linux `fs/binfmt_elf.c` (`load_elf_phdrs`,
`load_elf_binary`), in its order: the first one that fails is the reason.
"""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO

from elftools.common.utils import struct_parse

from sealboot.artifacts.elf_header import PHDR_SIZE, Header, MalformedError
from sealboot.artifacts.reader import Source
from sealboot.model.artifact import Segment

PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_NOTE = 1, 2, 3, 4
PT_GNU_PROPERTY = 0x6474E553

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
    return tuple(_segment(table[at : at + size], header) for at in range(0, total, size))


def _segment(entry: bytes, header: Header) -> Segment:
    raw = struct_parse(header.layout.structs.Elf_Phdr, BytesIO(entry), 0)
    return Segment(
        type=header.layout.word(entry, 0),  # the number: pyelftools names the known ones
        flags=raw["p_flags"],
        offset=raw["p_offset"],
        vaddr=raw["p_vaddr"],
        filesz=raw["p_filesz"],
        memsz=raw["p_memsz"],
        align=raw["p_align"],
    )


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


def check_loadable(segments: Iterable[Segment], header: Header, size: int) -> None:
    """Raise `MalformedError` for segments that cannot be loaded, or an entry point outside of them.

    A kernel starts a file whose segments end beyond the file and lets it die
    of SIGBUS, or run on zeros: that is "truncated", whatever exec returned.
    """
    loads = [s for s in segments if s.type == PT_LOAD]
    if not loads:
        raise MalformedError("no segment to load", header.phoff)
    top = 1 << header.layout.bits
    for load in loads:
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
    if header.entry and not any(s.vaddr <= header.entry < s.vaddr + s.memsz for s in loads):
        raise MalformedError(f"the entry point {header.entry:#x} lies in no segment", 24)


def file_offset(segments: Iterable[Segment], address: int) -> int | None:
    """Where in the file the byte at a virtual address comes from; `None` when it comes from nowhere."""
    for segment in segments:
        if segment.type == PT_LOAD and segment.vaddr <= address < segment.vaddr + segment.filesz:
            return segment.offset + address - segment.vaddr
    return None
