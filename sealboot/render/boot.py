"""What boots, in words: the layers of EFI images, kernels and initial RAM file systems."""

from __future__ import annotations

from collections.abc import Iterator

from sealboot.model.artifact import Initrd, Kernel, Pe, Section, Uki
from sealboot.render.text import human_bytes, safe

#: A command line of a whole screen helps nobody; JSON has all of it.
_CMDLINE = 300
_SUBSYSTEMS = {1: "native", 2: "Windows", 3: "Windows console", 10: "EFI application", 11: "EFI driver"}


def pe_lines(pe: Pe) -> Iterator[str]:
    """The PE headers: the machine first."""
    name = pe.arch.both_names if pe.arch else f"machine {pe.machine:#x}, no known architecture"
    subsystem = _SUBSYSTEMS.get(pe.subsystem, f"subsystem {pe.subsystem}")
    yield f"PE32{'+' if pe.bits == 64 else ''} {subsystem}, {name}"
    yield f"signature {'signed (by whom is for the firmware to judge)' if pe.signed else 'none'}"
    if pe.sections:
        yield f"sections  {safe(', '.join(_section(s) for s in pe.sections))}"


def _section(section: Section) -> str:
    return f"{section.name or '?'} {human_bytes(section.length)}"


def uki_lines(uki: Uki) -> Iterator[str]:
    """What a UKI says about itself."""
    yield "addon to a unified kernel image" if uki.addon else "unified kernel image"
    if uki.stub:
        yield f"stub      {safe(uki.stub)}"
    if uki.os_release:
        about = uki.os_release
        name = about.get("PRETTY_NAME") or " ".join(
            about[key] for key in ("ID", "VERSION_ID") if key in about
        )
        yield f"os        {safe(name or '?')}"
    if uki.uname:
        yield f"uname     {safe(uki.uname)}"
    if uki.cmdline:
        yield f"cmdline   {safe(uki.cmdline, limit=_CMDLINE)}"
    for number, profile in enumerate(uki.profiles):
        extra = f" ({', '.join(profile.sections)})" if profile.sections else ""
        yield f"profile   {number} {safe(profile.id or profile.title or '?')}{safe(extra)}"
    if uki.measured:
        yield "measured  signed PCR policies (.pcrsig)"


def kernel_lines(kernel: Kernel) -> Iterator[str]:
    """A kernel as its loader sees it."""
    name = kernel.arch.both_names if kernel.arch else "no known architecture"
    order = ", big-endian" if kernel.endian == "big" else ""
    yield f"Linux kernel ({safe(kernel.format)}), {name}{order}"
    if kernel.version:
        yield f"version   {safe(kernel.version)}"
    if kernel.page_size:
        yield f"pages     {kernel.page_size // 1024} KiB"
    if kernel.compression:
        yield f"payload   {safe(kernel.compression)}"
    if kernel.protocol:
        yield f"protocol  {safe(kernel.protocol)}{', relocatable' if kernel.relocatable else ''}"
    if kernel.memory:
        yield f"memory    {human_bytes(kernel.memory)} before it allocates any"


def initrd_lines(initrd: Initrd) -> Iterator[str]:
    """An initial RAM file system, part by part."""
    early = ", the first with processor microcode" if initrd.microcode else ""
    yield f"initial RAM file system: {safe(' + '.join(initrd.parts))}{early}"
