"""What an ELF file holds besides the program that a kernel starts: who built it, what it carries."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace

from sealboot.artifacts.arm_attributes import arm_level
from sealboot.artifacts.code import code_end
from sealboot.artifacts.elf_system import system_of_go
from sealboot.artifacts.gobuild import GoBuild, read_gobuild
from sealboot.artifacts.k0s_marks import Marks, may_be_k0s, read_marks
from sealboot.artifacts.payload_k0s import Appended, Damage, read_appended
from sealboot.artifacts.payload_k3s import may_be_k3s, read_embedded
from sealboot.artifacts.reader import Source
from sealboot.artifacts.texts import with_texts
from sealboot.artifacts.upx import is_packed, original_size, packer_version
from sealboot.model.arch import Arch
from sealboot.model.artifact import Elf, Layer, Other
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.payload import Payload

#: Machines that also run another one's programs.
_ALSO_RUNS = {(Arch.AMD64, Arch.I386), (Arch.ARM64, Arch.ARM)}
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Inside:
    """The ELF layer with what its contents add to it, the layers further in, and what is wrong there."""

    elf: Elf
    layers: tuple[Layer, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()


def look_inside(source: Source, elf: Elf, label: str, *, deep: bool = False) -> Inside:
    """Look closer at a parsed ELF file; `deep` inflates whole payloads and compares their checksums.

    May raise `OSError` when the medium fails, nothing else.
    """
    build = read_gobuild(source, elf)
    packed = is_packed(source, elf)
    if elf.defect or elf.end > source.size:  # cut off inside the program: nothing can follow it
        marks, carried = Marks(), Appended()
    else:
        marks = read_marks(source, elf) if may_be_k0s(build) else Marks()
        carried = _carried(source, elf, build, marks, packed=packed, deep=deep)
    layers: list[Layer] = []
    if build is not None:
        layers.append(Other("go", _go_facts(build, marks)))
    if carried.payload is not None:
        layers.append(carried.payload)
    found = [
        *_foreign(label, elf, carried.payload),
        *([_damaged(label, source, carried.damage, carried.payload)] if carried.damage else []),
        *([_packed(label, source, elf, carried)] if packed else []),
    ]
    shown = _with_levels(elf, build) if build else elf
    if build is not None and not shown.system:
        shown = replace(shown, system=system_of_go(build.settings.get("GOOS", "")))
    level = arm_level(source, elf)
    if level.proven is not None:
        shown = replace(shown, arm_level=_highest(shown.arm_level, level.proven))
    shown = with_texts(source, replace(shown, arm_claim=level.claimed))
    if (end := code_end(source, elf)) is not None:
        shown = replace(shown, code_end=end)
    return Inside(shown, tuple(layers), tuple(found))


def _carried(
    source: Source, elf: Elf, build: GoBuild | None, marks: Marks, *, packed: bool, deep: bool
) -> Appended:
    if marks.k0s or source.size > elf.end:
        found = read_appended(source, elf, marks, packed=packed, deep=deep)
        if found.payload is not None or found.damage is not None:
            return found
    embedded = read_embedded(source, elf, deep=deep) if may_be_k3s(build) else None
    if embedded is None:
        return Appended()
    return Appended(embedded.payload, _embedded_damage(embedded.broken) if embedded.broken else None)


def _embedded_damage(broken: str) -> Damage:
    return Damage(
        f"the archive inside it is damaged: {broken}",
        "k3s unpacks it at the first start of a server or agent, and fails there; `k3s --version` still works",
        ("download the file again and compare its SHA-256 with the publisher's",),
    )


def _go_facts(build: GoBuild, marks: Marks) -> dict[str, str]:
    facts = build.facts()
    if marks.k0s:
        facts = {"product": "k0s", **facts} | ({"version": marks.version} if marks.version else {})
    return facts


def _with_levels(elf: Elf, build: GoBuild) -> Elf:
    """GOARM, GOAMD64 and their like count where GOARCH is what the header says; a note may demand more."""
    told = build.settings.get("GOARCH")
    if elf.arch is Arch.ARM and told == Arch.ARM:
        return replace(elf, arm_level=_highest(elf.arm_level, build.arm_level))
    if elf.arch is not None and told == elf.arch and build.cpu_features:
        return replace(elf, cpu_features=build.cpu_features)
    if elf.arch is Arch.AMD64 and told == Arch.AMD64:
        return replace(elf, x86_level=_highest(elf.x86_level, build.x86_level))
    return elf


def _highest(*levels: int | None) -> int | None:
    return max((level for level in levels if level is not None), default=None)


def _foreign(label: str, elf: Elf, payload: Payload | None) -> list[Diagnostic]:
    """SB410: programs in the payload that are for another machine than the one around them."""
    if payload is None or elf.arch is None:
        return []
    wrong = [c for c in payload.components if c.arch not in {None, elf.arch}]
    if not wrong:
        return []
    arches = sorted({c.arch for c in wrong if c.arch})
    names = ", ".join(arch.both_names for arch in arches)
    shown = ", ".join(c.shown for c in wrong[:_SHOWN]) + (", ..." if len(wrong) > _SHOWN else "")
    bearable = all((elf.arch, arch) in _ALSO_RUNS for arch in arches)
    return [
        Diagnostic(
            code="SB410",
            summary=f"{label} is {elf.arch.both_names}, but carries programs for {names}",
            severity=Severity.WARNING if bearable else Severity.ERROR,
            artifact=label,
            evidence=(("outside", elf.arch.both_names), ("inside", f"{names}: {shown}")),
            hints=("the file was put together wrongly: use the publisher's own build",),
        )
    ]


def _damaged(label: str, source: Source, damage: Damage, carried: Payload | None) -> Diagnostic:
    at = (("payload", f"{carried.format} at {carried.offset}"),) if carried else ()
    return Diagnostic(
        code="SB403",
        summary=f"{label}: {damage.what}",
        severity=Severity.ERROR if damage.fatal else Severity.WARNING,
        artifact=label,
        evidence=(("file", f"{source.size} bytes"), *at),
        notes=(damage.note,),
        hints=tuple(hint.replace("FILE", shlex.quote(label)) for hint in damage.hints),
    )


#: UPX 4.2.2 starts a program with a register that is not zero. The start code of glibc takes it for a
#: function to call at the end, and the program dies of a signal when all its work is done.
_DEADLY = {"4.22": frozenset({Arch.ARM, Arch.ARM64})}


def _packed(label: str, source: Source, elf: Elf, carried: Appended) -> Diagnostic:
    """SB402, in the words of what packing does to this file; a warning where the packer is known to break some."""
    size, version = original_size(source), packer_version(source, elf)
    was = (("unpacked", f"{size} bytes"),) if size else ()
    by = (("packer", f"UPX {version}"),) if version else ()
    notes = ["what its libraries and symbol versions demand shows only after unpacking"]
    if carried.harmless:
        notes.append("its payload is still where the program looks for it")
    elif carried.damage is None:
        notes.append("whatever followed its code before it was packed cannot be seen: `upx -d` shows it")
    deadly = elf.arch in _DEADLY.get(version, ())
    if deadly:
        notes.append("packed by this UPX, a static glibc program for ARM dies of a signal when it ends")
    return Diagnostic(
        code="SB402",
        summary=f"{label} is packed with UPX",
        severity=Severity.WARNING if deadly else Severity.NOTE,
        artifact=label,
        evidence=(("packed", f"{source.size} bytes"), *was, *by),
        notes=tuple(notes),
    )
