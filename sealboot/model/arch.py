"""Processor architectures under Go's names, and what else the field calls them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypeAlias

Endian: TypeAlias = Literal["little", "big"]


class Arch(StrEnum):
    """An instruction set family as the Go toolchain and container platforms name it."""

    AMD64 = "amd64"
    I386 = "386"
    ARM64 = "arm64"
    ARM = "arm"
    RISCV64 = "riscv64"
    PPC64LE = "ppc64le"
    PPC64 = "ppc64"
    S390X = "s390x"
    LOONG64 = "loong64"
    MIPS64LE = "mips64le"
    MIPS64 = "mips64"
    MIPSLE = "mipsle"
    MIPS = "mips"

    @property
    def info(self) -> ArchInfo:
        """The row of the table below for this architecture."""
        return _BY_ARCH[self]

    @property
    def field_name(self) -> str:
        """The name that kernels and toolchains print: `x86-64`, `aarch64`."""
        return _BY_ARCH[self].field

    @property
    def both_names(self) -> str:
        """`amd64 (x86-64)`, or one name where the two agree."""
        return self.value if self.value == self.field_name else f"{self.value} ({self.field_name})"


@dataclass(frozen=True, slots=True)
class ArchInfo:
    """One architecture: its other names, and the ELF triple that identifies it.

    `machine` is ELF `e_machine` (System V gABI, chapter 4, and the registry of
    processor supplements); `uname` are the values of `uname -m` on a kernel of
    this architecture (Linux `UTS_MACHINE` and `COMPAT_UTS_MACHINE`).
    """

    arch: Arch
    field: str
    machine: int
    bits: Literal[32, 64]
    endian: Endian
    uname: tuple[str, ...]


ARCHITECTURES: tuple[ArchInfo, ...] = (
    ArchInfo(Arch.AMD64, "x86-64", 0x3E, 64, "little", ("x86_64",)),
    ArchInfo(Arch.I386, "i386", 0x03, 32, "little", ("i386", "i486", "i586", "i686")),
    ArchInfo(Arch.ARM64, "aarch64", 0xB7, 64, "little", ("aarch64",)),
    ArchInfo(
        Arch.ARM,
        "arm",
        0x28,
        32,
        "little",
        ("arm", "armv5tel", "armv5tejl", "armv6l", "armv7l", "armv8l"),
    ),
    ArchInfo(Arch.RISCV64, "riscv64", 0xF3, 64, "little", ("riscv64",)),
    ArchInfo(Arch.PPC64LE, "ppc64le", 0x15, 64, "little", ("ppc64le",)),
    ArchInfo(Arch.PPC64, "ppc64", 0x15, 64, "big", ("ppc64",)),
    ArchInfo(Arch.S390X, "s390x", 0x16, 64, "big", ("s390x",)),
    ArchInfo(Arch.LOONG64, "loongarch64", 0x102, 64, "little", ("loongarch64",)),
    ArchInfo(Arch.MIPS64LE, "mips64el", 0x08, 64, "little", ("mips64",)),
    ArchInfo(Arch.MIPS64, "mips64", 0x08, 64, "big", ()),
    ArchInfo(Arch.MIPSLE, "mipsel", 0x08, 32, "little", ("mips",)),
    ArchInfo(Arch.MIPS, "mips", 0x08, 32, "big", ()),
)

_BY_ARCH = {row.arch: row for row in ARCHITECTURES}
_BY_UNAME = {name: row.arch for row in ARCHITECTURES for name in row.uname}
_BY_ELF: dict[tuple[int, int, str], Arch] = {
    (row.machine, row.bits, row.endian): row.arch for row in ARCHITECTURES
}

#: What operators write for each architecture, beyond Go's own names: as `uname -m`, Debian, OCI and Docker print it.
_ALIASES = {
    "x86_64": Arch.AMD64,
    "x86-64": Arch.AMD64,
    "x64": Arch.AMD64,
    "i386": Arch.I386,
    "i486": Arch.I386,
    "i586": Arch.I386,
    "i686": Arch.I386,
    "x86": Arch.I386,
    "aarch64": Arch.ARM64,
    "arm64v8": Arch.ARM64,
    "arm64/v8": Arch.ARM64,
    "armv8": Arch.ARM64,
    "armhf": Arch.ARM,
    "armel": Arch.ARM,
    "arm32": Arch.ARM,
    "arm32v5": Arch.ARM,
    "arm32v6": Arch.ARM,
    "arm32v7": Arch.ARM,
    "armv5": Arch.ARM,
    "armv5tel": Arch.ARM,
    "armv5tejl": Arch.ARM,
    "armv6": Arch.ARM,
    "armv6l": Arch.ARM,
    "armv7": Arch.ARM,
    "armv7l": Arch.ARM,
    "armv7hl": Arch.ARM,
    "armv8l": Arch.ARM64,  # what an arm64 kernel calls itself to 32-bit programs
    "arm/v5": Arch.ARM,
    "arm/v6": Arch.ARM,
    "arm/v7": Arch.ARM,
    "ppc64el": Arch.PPC64LE,
    "powerpc64le": Arch.PPC64LE,
    "powerpc64": Arch.PPC64,
    "loongarch64": Arch.LOONG64,
    "mips64el": Arch.MIPS64LE,
    "mipsel": Arch.MIPSLE,
}


def platform_arch(platform: str) -> str:
    """The architecture in a container platform such as `linux/arm/v7`; empty where it names none."""
    return (*platform.split("/"), "")[1]


def arch_from_uname(machine: str) -> Arch | None:
    """Translate `uname -m`; `None` when the value is not in the table (never a default)."""
    return _BY_UNAME.get(machine)


def arch_from_elf(machine: int, bits: int, endian: str) -> Arch | None:
    """Translate the ELF triple; `None` for a combination that no supported kernel runs natively."""
    return _BY_ELF.get((machine, bits, endian))


def arch_from_text(text: str) -> Arch | None:
    """Translate what a person writes (`arm64`, `aarch64`, `x86_64`, `arm/v7`); `None` when unknown."""
    lowered = text.strip().lower().removeprefix("linux/")
    try:
        return Arch(lowered)
    except ValueError:
        return _ALIASES.get(lowered)
