"""What an ELF file holds besides the program that a kernel starts: who built it, what it carries."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sealboot.artifacts.gobuild import GoBuild, read_gobuild
from sealboot.artifacts.reader import Source
from sealboot.model.arch import Arch
from sealboot.model.artifact import Elf, Layer, Other


@dataclass(frozen=True, slots=True)
class Inside:
    """The ELF layer with what its contents add to it, and the layers further in."""

    elf: Elf
    layers: tuple[Layer, ...] = ()


def look_inside(source: Source, elf: Elf) -> Inside:
    """Look closer at a parsed ELF file. May raise `OSError` when the medium fails, nothing else."""
    build = read_gobuild(source, elf)
    if build is None:
        return Inside(elf)
    return Inside(_with_levels(elf, build), (Other("go", build.facts()),))


def _with_levels(elf: Elf, build: GoBuild) -> Elf:
    """GOARM and GOAMD64 count where GOARCH is what the header says; a note may demand more."""
    told = build.settings.get("GOARCH")
    if elf.arch is Arch.ARM and told == Arch.ARM:
        return replace(elf, arm_level=_highest(elf.arm_level, build.arm_level))
    if elf.arch is Arch.AMD64 and told == Arch.AMD64:
        return replace(elf, x86_level=_highest(elf.x86_level, build.x86_level))
    return elf


def _highest(*levels: int | None) -> int | None:
    return max((level for level in levels if level is not None), default=None)
