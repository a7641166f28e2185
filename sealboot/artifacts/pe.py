"""PE/COFF headers become a `Pe` value: a UKI, an EFI stub, most kernels.

Field layout: Microsoft, "PE Format". Own and bounded, because the common parser
takes 12 s and 420 MiB for a UKI of 200 MB: here only headers are read.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from sealboot.artifacts.findings import Finding
from sealboot.artifacts.reader import Source
from sealboot.model.arch import Arch
from sealboot.model.artifact import Pe, Section

#: What Windows loads at most; a UKI with twenty profiles stays below.
MAX_SECTIONS = 96

_LFANEW_AT = 0x3C
_COFF = struct.Struct("<HHIIIHH")
_SECTION = struct.Struct("<8sIIIIIIHHI")
_PE32, _PE32_PLUS = 0x10B, 0x20B
#: Offset of the data directories in the optional header; the count stands in the 4 bytes before.
_DIRECTORIES = {_PE32: 96, _PE32_PLUS: 112}
_SUBSYSTEM_AT = 68
_CERTIFICATES = 4
#: WIN_CERTIFICATE: length, revision, type. Revision 2.0, PKCS#7 signed data.
_CERTIFICATE = struct.Struct("<IHH")
_REVISION, _PKCS7 = 0x0200, 0x0002

#: IMAGE_FILE_MACHINE_* -> architecture.
_MACHINES: dict[int, Arch] = {
    0x014C: Arch.I386,
    0x8664: Arch.AMD64,
    0xAA64: Arch.ARM64,
    0x01C0: Arch.ARM,
    0x01C2: Arch.ARM,  # Thumb: what Linux writes for its 32-bit ARM kernels
    0x01C4: Arch.ARM,
    0x5064: Arch.RISCV64,
    0x6264: Arch.LOONG64,
}


@dataclass(frozen=True, slots=True)
class ParsedPe:
    """The outcome of `parse_pe`; without `pe` there is no PE header."""

    pe: Pe | None
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class _Coff:
    at: int  # of the optional header
    machine: int
    sections: int
    optional: bytes

    @property
    def magic(self) -> int:
        return int.from_bytes(self.optional[:2], "little")

    def word(self, offset: int, size: int = 4) -> int:
        """A number of the optional header; 0 beyond its end."""
        return int.from_bytes(self.optional[offset : offset + size], "little")


def parse_pe(source: Source) -> ParsedPe:
    """Read the headers; never raises, and reads under 80 KiB whatever they say."""
    coff = _coff(source)
    if coff is None:
        at = int.from_bytes(source.at(_LFANEW_AT, 4), "little")
        return ParsedPe(None, (Finding(f"begins like a PE image, but has no PE header at {at}", at),))
    found: list[Finding] = []
    if coff.magic not in _DIRECTORIES:
        found.append(Finding(f"unknown optional header {coff.magic:#x} in the PE image", coff.at))
    sections = _sections(source, coff, found)
    pe = Pe(
        machine=coff.machine,
        arch=_MACHINES.get(coff.machine),
        bits=64 if coff.magic == _PE32_PLUS else 32,
        subsystem=coff.word(_SUBSYSTEM_AT, 2),
        sections=sections,
        signed=_signed(source, coff, found),
    )
    return ParsedPe(pe, tuple(found))


def _coff(source: Source) -> _Coff | None:
    at = int.from_bytes(source.at(_LFANEW_AT, 4), "little")
    head = source.at(at, 4 + _COFF.size)
    if source.at(0, 2) != b"MZ" or len(head) < 4 + _COFF.size or head[:4] != b"PE\0\0":
        return None
    machine, sections, _, _, _, length, _ = _COFF.unpack_from(head, 4)
    start = at + 4 + _COFF.size
    return _Coff(start, machine, sections, source.at(start, length))


def _sections(source: Source, coff: _Coff, found: list[Finding]) -> tuple[Section, ...]:
    count = min(coff.sections, MAX_SECTIONS)
    if coff.sections > MAX_SECTIONS:
        found.append(Finding(f"{coff.sections} sections: at most {MAX_SECTIONS} are loaded", coff.at))
    start = coff.at + len(coff.optional)
    table = source.at(start, count * _SECTION.size)
    if len(table) < count * _SECTION.size:
        found.append(Finding("truncated: ends inside the section table", source.size))
    whole = len(table) // _SECTION.size
    sections = tuple(_section(table, n * _SECTION.size) for n in range(whole))
    for section in sections:
        end = section.offset + section.raw_size
        if section.raw_size and end > source.size:
            name = section.name or "a section"
            found.append(Finding(f"truncated: the file ends at {source.size}, {name} at {end}", source.size))
            break
    return sections


def _section(table: bytes, at: int) -> Section:
    name, virtual, address, raw, offset, _, _, _, _, flags = _SECTION.unpack_from(table, at)
    text = name.split(b"\0", 1)[0].decode("ascii", "backslashreplace")
    return Section(text, address, virtual, offset, raw, flags)


def _signed(source: Source, coff: _Coff, found: list[Finding]) -> bool:
    """Whether a certificate table of the usual form is there. Its directory entry holds a *file* offset."""
    first = _DIRECTORIES.get(coff.magic)
    if first is None or coff.word(first - 4) <= _CERTIFICATES:
        return False
    at, size = (coff.word(first + _CERTIFICATES * 8 + part) for part in (0, 4))
    if not at or not size:
        return False
    if at + size > source.size:
        found.append(
            Finding(f"truncated: the file ends at {source.size}, its signature at {at + size}", source.size)
        )
        return False
    head = source.at(at, _CERTIFICATE.size)
    if len(head) < _CERTIFICATE.size:
        return False
    length, revision, kind = _CERTIFICATE.unpack(head)
    sound: bool = revision == _REVISION and kind == _PKCS7 and _CERTIFICATE.size < length <= size
    if not sound:
        found.append(Finding("the certificate table holds no signature", at, fatal=False))
    return sound
