"""Unified kernel images: an EFI stub with kernel, initrd, command line and more in its PE sections.

Format: UAPI group, "Unified Kernel Image" specification; systemd-stub(7).
Sections may come twice: what follows the first `.profile` belongs to that
profile and overrides the base, so nothing here is ever put in a map by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from sealboot.artifacts.findings import Finding
from sealboot.artifacts.initrd import identify_initrd
from sealboot.artifacts.kernel import Found, identify
from sealboot.artifacts.pe import parse_pe
from sealboot.artifacts.reader import Source, Window, chunks
from sealboot.artifacts.zboot import disagreement, identify_zboot, read_zboot, unwrap
from sealboot.model.arch import Arch
from sealboot.model.artifact import Kernel, Layer, Pe, Profile, Section, Uki

#: Text sections are read to here; the kernel takes 2 to 4 KiB of command line.
MAX_TEXT = 64 << 10
_MAX_KEYS = 64

#: Sections that make a UKI of an EFI program, or at least an addon to one.
_ADDON = frozenset({".cmdline", ".dtb", ".dtbauto", ".hwids", ".ucode", ".efifw"})
_OWN = frozenset({".linux", ".initrd", ".osrel", ".uname", ".profile", ".pcrsig", ".pcrpkey"}) | _ADDON
_EFI_APPLICATION = 10  # IMAGE_SUBSYSTEM_EFI_APPLICATION
_LOADER_INFO = "#### LoaderInfo: "


@dataclass(frozen=True, slots=True)
class ParsedUki:
    """A UKI, what is in it as further layers, and what is wrong with it."""

    uki: Uki
    inner: tuple[Layer, ...] = ()
    findings: tuple[Finding, ...] = ()


def is_uki(pe: Pe) -> bool:
    """Whether the sections are those of a UKI or an addon; a bare stub is neither.

    `.osrel` alone makes none: systemd-boot has it too, and says that it is a boot manager.
    """
    return any(section.name in _OWN - {".osrel"} for section in pe.sections)


def read_uki(source: Source, pe: Pe) -> ParsedUki:
    """Read all facts of a UKI; never raises.

    SB405 is said where `.linux` is missing or holds no kernel, where the
    kernel is for another machine than the stub, or where sections overlap in
    memory, so that the firmware overwrites one with another.
    """
    base, later = _split(pe.sections)
    names = {section.name for section in base}
    stub = _stub(source, base)
    addon = ".linux" not in names and (stub.startswith("systemd-addon") or not names & (_OWN - _ADDON))
    uki = Uki(
        stub=stub,
        os_release=_os_release(_text(source, base, ".osrel")),
        uname=_text(source, base, ".uname").strip(),
        cmdline=_text(source, base, ".cmdline").strip(),
        profiles=tuple(_profile(source, part) for part in later),
        measured=any(section.name == ".pcrsig" for section in pe.sections),
        addon=addon,
    )
    findings = [*_stub_type(pe), *_too_long(pe.sections), *_zero_filled(pe.sections), *_overlaps(pe.sections)]
    if addon:
        return ParsedUki(uki, (), tuple(findings))
    kernels, wrong = _kernel(source, pe.arch, base)
    findings += wrong
    initrd = next((s for s in base if s.name == ".initrd"), None)
    found = identify_initrd(_window(source, initrd), expected=True) if initrd else None
    if initrd is not None and found is None:
        findings.append(Finding(".initrd holds no initrd", initrd.offset, fatal=False, code="SB405"))
    release = kernels[-1].version if kernels else ""
    if uki.uname and release and uki.uname != release:
        what = f".uname says {uki.uname}, the kernel {release}"
        findings.append(Finding(what, 0, fatal=False, code="SB405"))
    inner: tuple[Layer, ...] = (*kernels, found) if found else kernels
    return ParsedUki(uki, inner, tuple(findings))


def extract(
    source: Source, name: str, *, profile: int = 0, unwrapped: bool = False
) -> Iterator[bytes] | Finding:
    """The content of section `name` byte for byte, cut at its virtual size; or why it cannot be had.

    A section of profile number `profile` overrides the base one. With
    `unwrapped` a zboot kernel comes out as the kernel inside it (old kexec
    tools want that), checked before the first byte; anything else as it is.
    While iterating, a failing medium raises `OSError`.
    """
    parsed = parse_pe(source)
    if parsed.pe is None:
        return parsed.findings[0]
    base, later = _split(parsed.pe.sections)
    if profile and profile >= len(later):
        return Finding(f"no profile {profile}: there are {len(later)}", 0, code="SB405")
    own = later[profile] if later else ()
    section = next((s for s in (*own, *base) if s.name == name), None)
    if section is None:
        return Finding(f"no section {name}", 0, code="SB405")
    window = _window(source, section)
    if window.size < section.length:
        end = section.offset + section.length
        return Finding(f"truncated: the file ends at {source.size}, {name} at {end}", source.size)
    zboot = read_zboot(window) if unwrapped else None
    return unwrap(zboot) if zboot is not None else chunks(window)


def _split(sections: Sequence[Section]) -> tuple[tuple[Section, ...], tuple[tuple[Section, ...], ...]]:
    """The base profile's sections, and those of each `.profile` with that section first."""
    starts = [number for number, section in enumerate(sections) if section.name == ".profile"]
    base = tuple(sections[: starts[0]] if starts else sections)
    return base, tuple(tuple(sections[a:b]) for a, b in pairwise([*starts, len(sections)]))


def _window(source: Source, section: Section) -> Window:
    return Window(source, section.offset, section.length)


def _text(source: Source, sections: Sequence[Section], name: str) -> str:
    """The first section called `name` as text, as far as `MAX_TEXT`."""
    section = next((s for s in sections if s.name == name), None)
    if section is None:
        return ""
    raw = _window(source, section).at(0, MAX_TEXT)
    return raw.split(b"\0", 1)[0].decode("utf-8", "backslashreplace")


def _stub_type(pe: Pe) -> Iterator[Finding]:
    """Firmware starts EFI applications alone; whoever takes the parts out does not care."""
    if pe.subsystem != _EFI_APPLICATION:
        what = f"its stub is no EFI application, but of subsystem {pe.subsystem}: no firmware starts it"
        yield Finding(what, 0, fatal=False, code="SB405")
    wide = pe.arch is not None and pe.arch.info.bits == 64
    if wide and pe.bits != 64:
        yield Finding("its stub is PE32, and its machine has 64 bits", 0, fatal=False, code="SB405")


def _too_long(sections: Sequence[Section]) -> Iterator[Finding]:
    for section in sections:
        if section.name in {".osrel", ".uname", ".cmdline", ".profile"} and section.length > MAX_TEXT:
            what = f"{section.name} has {section.length} bytes: only the first {MAX_TEXT} were looked at"
            yield Finding(what, section.offset, fatal=False, code="SB405")


def _zero_filled(sections: Sequence[Section]) -> Iterator[Finding]:
    """What is longer in memory than in the file ends in zeros: nothing that a tool meant to pack."""
    for section in sections:
        if section.name in _OWN and section.virtual_size > section.raw_size:
            what = f"{section.name} has {section.virtual_size} bytes in memory, but {section.raw_size} in the file"
            yield Finding(what, section.offset, fatal=False, code="SB405")


def _overlaps(sections: Sequence[Section]) -> Iterator[Finding]:
    """The first two sections of which the firmware would overwrite one with the other.

    Only where what was put in is concerned: `ukify` itself lets a grown
    `.sbat` reach into the stub's `.sdmagic`, both of which are read from the file.
    """
    below: Section | None = None
    for section in sorted(sections, key=lambda s: s.address):
        if below is not None and section.address < _end(below) and {below.name, section.name} & _OWN:
            what = f"{below.name} and {section.name} overlap in memory at {section.address:#x}"
            yield Finding(what, section.offset, code="SB405")
            return
        if below is None or _end(section) > _end(below):
            below = section


def _end(section: Section) -> int:
    return section.address + (section.virtual_size or section.raw_size)


def _stub(source: Source, base: Sequence[Section]) -> str:
    text = _text(source, base, ".sdmagic").strip()
    return text.removeprefix(_LOADER_INFO).removesuffix("####").strip() if _LOADER_INFO in text else ""


def _os_release(text: str) -> Mapping[str, str]:
    return _assignments(text)


def _profile(source: Source, sections: Sequence[Section]) -> Profile:
    about = _assignments(_text(source, sections, ".profile"))
    names = tuple(section.name for section in sections[1:])
    cmdline = _text(source, sections, ".cmdline").strip() if ".cmdline" in names else None
    return Profile(about.get("ID", ""), about.get("TITLE", ""), names, cmdline)


def _assignments(text: str) -> dict[str, str]:
    """`KEY=value` lines as os-release(5) has them, quotes taken off; the last one of a key counts."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, equals, value = line.strip().partition("=")
        if equals and key.isascii() and key.isidentifier() and len(found) < _MAX_KEYS:
            quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'"
            found[key] = (value[1:-1] if quoted else value)[:1024]
    return found


def _kernel(
    source: Source, outer: Arch | None, base: Sequence[Section]
) -> tuple[tuple[Kernel, ...], tuple[Finding, ...]]:
    """What `.linux` holds, and what does not fit the stub."""
    section = next((s for s in base if s.name == ".linux"), None)
    if section is None:
        return (), (Finding("no section .linux: there is no kernel to boot", 0, code="SB405"),)
    window = _window(source, section)
    pe = parse_pe(window).pe
    arch = pe.arch if pe is not None else None
    zboot = read_zboot(window)
    if zboot is not None:
        kernels, findings = identify_zboot(zboot, arch)
        if arch is not outer and arch is not None:
            findings = disagreement(outer, Found(kernels[0]), section.offset)
        return kernels, findings
    found = identify(window, arch)
    if found is None:
        return (), (Finding(".linux holds no kernel", section.offset, code="SB405"),)
    return (found.kernel,), (*found.findings, *disagreement(outer, found, section.offset))
