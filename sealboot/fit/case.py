"""One question, `(file, host)`, and the words in which its two sides are shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sealboot.model.arch import ARCHITECTURES, Arch
from sealboot.model.archive import ImageArchive
from sealboot.model.artifact import Artifact, Elf, Kind, Other, Pe
from sealboot.model.diagnostic import Severity
from sealboot.model.facts import Facts
from sealboot.model.formats import Format

ET_REL, ET_EXEC, ET_DYN, ET_CORE = 1, 2, 3, 4

#: Formats whose first line tells more than their name, and how much of it is quoted.
_QUOTABLE, _QUOTED = frozenset({Format.TEXT, Format.JSON, Format.XML}), 60
#: PE subsystems of programs that Windows starts (Microsoft, "PE Format": native, GUI, console).
WINDOWS = frozenset({1, 2, 3})
_TYPES = {0: "no type", ET_REL: "object file", ET_CORE: "core dump"}
#: 32-bit flavours of 64-bit machines: (machine, bits) -> the field's name.
_ODD = {(0x3E, 32): "x86-64 in the x32 ABI", (0xB7, 32): "aarch64 ILP32", (0x16, 32): "s390 (31-bit)"}


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a file does not run here, or a doubt about it (`severity` warning).

    `file` and `host` are the evidence of both sides.
    """

    code: str
    summary: str
    file: str
    host: str
    hints: tuple[str, ...] = ()
    severity: Severity = Severity.ERROR


@dataclass(frozen=True, slots=True)
class Case:
    """An ELF file, the architecture a kernel will take it for, and the host's facts."""

    artifact: Artifact
    elf: Elf
    arch: Arch
    facts: Facts

    @property
    def native(self) -> bool:
        """Whether the host's kernel runs this architecture without help."""
        return self.arch in native_of(self.facts)

    @property
    def own_userland(self) -> bool:
        """Whether the host's own C library is of the file's architecture."""
        return self.facts.userland_arch is self.arch


def native_of(facts: Facts) -> frozenset[Arch]:
    """What the kernel runs natively; at least its own architecture, where that is known."""
    own = frozenset({facts.kernel_arch}) if facts.kernel_arch is not None else frozenset[Arch]()
    return facts.native or own


def describe_file(artifact: Artifact) -> str:
    """`ELF64 x86-64`, with what is odd about it; for others what they are."""
    elf = artifact.elf
    if elf is None or artifact.kind is Kind.KERNEL:
        return describe_kind(artifact)
    order = " big-endian" if elf.endian == "big" and elf.arch is None else ""
    words = f"ELF{elf.bits}{order} {machine_name(elf)}"
    if elf.system:
        words += f" for {elf.system}"
    if elf.type in _TYPES:
        words += f" {_TYPES[elf.type]}"
    if artifact.named_arch is not None and artifact.named_arch is not elf.arch:
        words += ", despite its name"
    return words


def machine_name(elf: Elf) -> str:
    """The field's name of the file's machine, or its number."""
    if elf.arch is not None:
        return elf.arch.field_name
    if elf.laid_out_as is not None:
        return f"laid out as {elf.laid_out_as.field_name}"
    odd = _ODD.get((elf.machine, elf.bits))
    if odd is not None:
        return odd
    known = next((row.field for row in ARCHITECTURES if row.machine == elf.machine), None)
    return f"{known} in an unknown variant" if known else f"machine {elf.machine}"


def describe_kind(artifact: Artifact) -> str:
    """What a file is that is no ELF file, in a few words."""
    first = artifact.layers[0] if artifact.layers else None
    if artifact.kind is Kind.SCRIPT and isinstance(first, Other):
        return f"a script for {first.facts.get('interpreter') or 'no interpreter'}"
    if artifact.kind is Kind.SPECIAL and isinstance(first, Other):
        return first.name
    if isinstance(first, Pe) and first.subsystem in WINDOWS:
        return f"a Windows program{_for(first.arch.both_names if first.arch else '')}"
    named = named_format(artifact)
    if named is not None:
        said = named[1].get("text", "")
        quoted = f", {said[:_QUOTED]!r}" if said and named[0] in _QUOTABLE else ""
        return f"{named[0].value}{_for(named[1].get('arch', ''))}{quoted}"
    if isinstance(first, ImageArchive):
        return f"an archive of container images for {', '.join(first.platforms) or 'no whole platform'}"
    kernel = artifact.kernel
    if kernel is not None and kernel.arch is not None:
        return f"{_KINDS[artifact.kind]} for {kernel.arch.field_name}"
    return _KINDS[artifact.kind]


def named_format(artifact: Artifact) -> tuple[Format, Mapping[str, str]] | None:
    """What a file is that only has a name, and what it says of itself."""
    first = artifact.layers[0] if artifact.layers else None
    if artifact.kind is not Kind.UNKNOWN or not isinstance(first, Other):
        return None
    return (Format(first.name), first.facts) if first.name in set(Format) else None


def _for(arches: str) -> str:
    return f" for {arches.replace(' ', ', ')}" if arches else ""


def describe_host(facts: Facts) -> str:
    """`aarch64 kernel, arm64 userland`."""
    kernel = facts.kernel_arch.field_name if facts.kernel_arch else f"unknown ({facts.kernel_machine})"
    userland = facts.userland_arch.value if facts.userland_arch else "unknown"
    return f"{kernel} kernel, {userland} userland"


_KINDS: dict[Kind, str] = {
    Kind.ELF: "a damaged ELF file",
    Kind.SCRIPT: "a script",
    Kind.EMPTY: "an empty file",
    Kind.DIRECTORY: "a directory",
    Kind.SPECIAL: "a special file",
    Kind.MISSING: "no such file",
    Kind.GZIP: "gzip data",
    Kind.ZSTD: "zstd data",
    Kind.BZIP2: "bzip2 data",
    Kind.XZ: "xz data",
    Kind.LZ4: "lz4 data",
    Kind.ZIP: "a zip archive",
    Kind.TAR: "a tar archive",
    Kind.PE: "a PE image",
    Kind.UKI: "a unified kernel image",
    Kind.KERNEL: "a Linux kernel",
    Kind.INITRD: "an initial RAM file system",
    Kind.UNKNOWN: "no known format",
}
