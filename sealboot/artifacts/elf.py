"""ELF bytes become an `Elf` value. Whatever a file does to a parser ends in this module as a finding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from sealboot.artifacts.elf_dynamic import Dynamic, read_dynamic
from sealboot.artifacts.elf_header import Header, read_header
from sealboot.artifacts.elf_ident import MalformedError
from sealboot.artifacts.elf_notes import Notes, read_notes
from sealboot.artifacts.elf_segments import PT_LOAD, check_loadable, read_interpreter, read_segments
from sealboot.artifacts.elf_system import system_of
from sealboot.artifacts.findings import Finding
from sealboot.artifacts.reader import Source
from sealboot.model.arch import Arch
from sealboot.model.artifact import Elf, Segment

#: More program headers than this are worth a word: compilers write about a dozen.
MANY_SEGMENTS = 256
#: Section headers looked at, only for where the file should end.
MAX_SECTIONS = 4096

_PROGRAMS = {2, 3}  # ET_EXEC, ET_DYN
_SHDR_SIZE = {32: 40, 64: 64}
_SHT_NULL, _SHT_NOBITS = 0, 8
_EF_ARM_EABI_MASK, _EF_ARM_EABI_VER5 = 0xFF000000, 0x05000000
_EF_ARM_SOFT, _EF_ARM_HARD = 0x200, 0x400

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Parsed:
    """The outcome of `parse`; without `elf` not even the header could be read."""

    elf: Elf | None
    findings: tuple[Finding, ...] = ()


def parse(source: Source) -> Parsed:
    """Read an ELF file through `source`; never raises, and reads under 2 MiB whatever the headers say."""
    found: list[Finding] = []
    header = _guarded(lambda: read_header(source), found, fatal=True)
    if header is None:
        return Parsed(None, tuple(found))
    program = header.type in _PROGRAMS  # an object file has no program headers, and needs none
    segments = _guarded(lambda: read_segments(source, header), found, fatal=program) or ()
    interpreter = _guarded(lambda: read_interpreter(source, segments), found, fatal=program)
    if not found:
        _guarded(lambda: check_loadable(segments, header, source.size), found, fatal=program)
    defect = next((f.what for f in found if f.fatal), "")
    dynamic = _guarded(lambda: read_dynamic(source, header.layout, segments), found) or Dynamic()
    notes = _guarded(lambda: read_notes(source, header.layout, segments), found) or Notes()
    end = _guarded(lambda: _end(source, header, segments), found) or source.size
    if end > source.size and not defect:
        found.append(
            Finding(
                f"truncated: the file ends at {source.size}, its sections at {end}", source.size, fatal=True
            )
        )
    _remarks(header, segments, found)
    elf = Elf(
        bits=header.bits,
        endian=header.endian,
        machine=header.machine,
        type=header.type,
        osabi=header.osabi,
        flags=header.flags,
        arch=header.arch,
        entry=header.entry,
        interpreter=interpreter,
        segments=segments,
        needed=dynamic.needed,
        symbol_versions=dynamic.versions,
        min_kernel=notes.min_kernel,
        hard_float=_hard_float(header),
        end=end,
        x86_level=notes.x86_level,
        defect=defect,
        laid_out_as=header.laid_out_as,
        system=system_of(header.osabi, notes.owners, notes.abi_tag, interpreter),
    )
    return Parsed(elf, tuple(found))


def _guarded(read: Callable[[], T], found: list[Finding], *, fatal: bool = False) -> T | None:
    """The one place where a parser's failure becomes a value.

    pyelftools was seen to raise ELFError, OverflowError, UnicodeDecodeError
    and AttributeError on mutated files, so nothing less than `Exception` will do.
    """
    try:
        return read()
    except MalformedError as error:
        found.append(Finding(str(error), error.offset, fatal))
    except Exception as error:  # noqa: BLE001 (see above)
        found.append(Finding(f"unreadable ({type(error).__name__})", 0, fatal))
    return None


def _end(source: Source, header: Header, segments: tuple[Segment, ...]) -> int:
    """The first byte after everything that segments, sections and both tables describe.

    Go puts a section after the last segment and others a section table after
    all: appended data begins behind the last of them.
    """
    ends = [header.phoff + header.phnum * header.phentsize]
    ends += [s.offset + s.filesz for s in segments if s.type == PT_LOAD]
    if header.shoff and header.shnum:
        ends.append(header.shoff + header.shnum * header.shentsize)
        ends += _section_ends(source, header)
    return max(ends)


def _section_ends(source: Source, header: Header) -> list[int]:
    size = _SHDR_SIZE[header.layout.bits]
    if header.shentsize != size:
        raise MalformedError(f"a section header of {header.shentsize} bytes", header.shoff)
    table = source.at(header.shoff, min(header.shnum, MAX_SECTIONS) * size)
    rows = header.layout.row("IIIIIIIIII", "IIQQQQIIQQ").iter_unpack(table[: len(table) // size * size])
    return [
        offset + length for _, kind, _, _, offset, length, *_ in rows if kind not in {_SHT_NULL, _SHT_NOBITS}
    ]


def _remarks(header: Header, segments: tuple[Segment, ...], found: list[Finding]) -> None:
    if len(segments) > MANY_SEGMENTS:
        found.append(Finding(f"{len(segments)} program headers", header.phoff, fatal=False))
    if header.laid_out_as is not None:
        claim = f"{header.bits}-bit {header.endian}-endian"
        found.append(
            Finding(f"identified as {claim}, but laid out as {header.laid_out_as.field_name}", 4, fatal=False)
        )


def _hard_float(header: Header) -> bool | None:
    """The float ABI in the flags of an EABI 5 file; `None` when they do not say."""
    eabi5 = header.flags & _EF_ARM_EABI_MASK == _EF_ARM_EABI_VER5
    if header.arch is not Arch.ARM or not eabi5:
        return None
    if header.flags & _EF_ARM_HARD:
        return True
    return False if header.flags & _EF_ARM_SOFT else None
