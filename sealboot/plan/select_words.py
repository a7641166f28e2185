"""What selection says when it cannot choose: the texts, apart from the decisions."""

from __future__ import annotations

from collections.abc import Sequence

from sealboot.drivers.base import Slot
from sealboot.fit.case import describe_file
from sealboot.model.artifact import Artifact
from sealboot.model.diagnostic import Diagnostic, Location
from sealboot.model.facts import Facts
from sealboot.model.host import Host

#: Candidates named in one finding; a folder of thousands must not flood it.
_SHOWN = 8


def nothing_fits(
    slot: Slot, host: Host, facts: Facts, offered: Sequence[Artifact], at: Location | None
) -> Diagnostic:
    """SB104: none of the files is for this host's architecture; names what was found instead."""
    kernel = facts.kernel_arch
    wanted = kernel.both_names if kernel else f"unknown machine {facts.kernel_machine!r}"
    why = f"none of the files is for {wanted}" if slot.by_machine else "none of the files is one"
    if not offered:
        why = f"there is no file to choose from{f', and it must be for {wanted}' if slot.by_machine else ''}"
    rows = (("wanted", f"{kinds_of(slot)} for {wanted}"),) if slot.by_machine else ()
    return Diagnostic(
        code="SB104",
        summary=f"no {slot.name} for {host.name}: {why}",
        host=host.name,
        at=at,
        evidence=(*rows, ("found", _found(offered))),
        hints=_get_one(slot, facts, offered),
    )


def _get_one(slot: Slot, facts: Facts, offered: Sequence[Artifact]) -> tuple[str, ...]:
    """What to put where, and the command that gets it."""
    if slot.hint:
        return (slot.hint,)
    kernel = facts.kernel_arch
    build = f"the {kernel.value if kernel else 'right'} build of {slot.name}"
    place = "beside the others" if offered else f"where `artifacts: {slot.name}:` looks for it"
    get = next((command for arch, command in slot.get if arch is kernel), "")
    return (f"put {build} {place}; any name will do", *((f"get it: `{get}`",) if get else ()))


def _found(offered: Sequence[Artifact]) -> str:
    words = [f"{a.path} ({', '.join(a.platforms) or describe_file(a)})" for a in offered[:_SHOWN]]
    more = len(offered) - len(words)
    return ", ".join(words + ([f"and {more} more"] if more > 0 else [])) or "nothing"


def ambiguous(slot: Slot, host: Host, files: Sequence[Artifact], at: Location | None) -> Diagnostic:
    """SB113: different bytes fit equally well, and choosing is not ours."""
    return Diagnostic(
        code="SB113",
        summary=f"{len(files)} different files fit {host.name} equally well as {slot.name}",
        host=host.name,
        at=at,
        evidence=tuple(
            (f"file {n}", f"{a.path} (SHA-256 {a.sha256[:12]}, {a.size} bytes)")
            for n, a in enumerate(files[:_SHOWN], 1)
        ),
        hints=(f"name one of them under `artifacts: {slot.name}:`, or move the others away",),
    )


def wrong_platform(
    slot: Slot, host: Host, facts: Facts, files: Sequence[Artifact], at: Location | None
) -> Diagnostic:
    """SB404: archives are there, and none is sound and whole for this host's platform."""
    kernel = facts.kernel_arch
    wanted = f"linux/{kernel}" if kernel else f"unknown machine {facts.kernel_machine!r}"
    return Diagnostic(
        code="SB404",
        summary=f"no {slot.name} for {host.name}: none of the archives is whole for {wanted}",
        host=host.name,
        at=at,
        evidence=(("wanted", wanted), ("found", _found(files))),
        hints=(f"export {slot.name} for {wanted}; `sealboot inspect` shows what an archive holds",),
    )


def no_tree(
    slot: Slot, host: Host, facts: Facts, files: Sequence[Artifact], at: Location | None
) -> Diagnostic:
    """SB104: root filesystems are there, and none is both sound and for this host's architecture."""
    kernel = facts.kernel_arch
    wanted = kernel.both_names if kernel else f"unknown machine {facts.kernel_machine!r}"
    return Diagnostic(
        code="SB104",
        summary=f"no {slot.name} for {host.name}: none is both sound and for {wanted}",
        host=host.name,
        at=at,
        evidence=(("wanted", f"a root filesystem for {wanted}"), ("found", _found(files))),
        hints=("what is wrong with each file is told beside this",),
    )


def wrong_kind(slot: Slot, host: Host, artifact: Artifact, at: Location | None) -> Diagnostic:
    """SB112: an override names a file that might run, but is not of the kind that the slot takes."""
    return Diagnostic(
        code="SB112",
        summary=f"{artifact.path} is not what {slot.name} needs",
        host=host.name,
        artifact=artifact.path,
        at=at,
        evidence=(("file", artifact.kind.value), ("wanted", kinds_of(slot))),
    )


def kinds_of(slot: Slot) -> str:
    """`elf`, or `gzip or zstd`: what the slot takes."""
    return " or ".join(kind.value for kind in slot.kinds)
