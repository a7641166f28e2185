"""The heart: what will this kernel do with this file? One outcome, one reason, the evidence of both sides."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from sealboot.fit.abi import other_abi
from sealboot.fit.carried import carried
from sealboot.fit.case import Case, Reason, describe_file, describe_host
from sealboot.fit.cpu import arm_level, features, x86_level
from sealboot.fit.loading import kernel_version, page_size
from sealboot.fit.machine import damaged, foreign, old_arm_abi, other_system, taken_for, unreadable_content
from sealboot.fit.script import no_place, not_startable, script_starts
from sealboot.fit.userland import libc_version, loader
from sealboot.model.arch import Arch
from sealboot.model.artifact import Artifact, Elf, Kind
from sealboot.model.diagnostic import Diagnostic, Location, Severity
from sealboot.model.facts import Facts
from sealboot.model.verdict import Outcome, Verdict

Rule: TypeAlias = Callable[[Case], Reason | None]

#: After content and machine; the first error is the reason. The kernel's own refusals come first,
#: then what the program's loader says, then what the program meets once it runs.
_RULES: tuple[Rule, ...] = (
    other_abi,
    old_arm_abi,
    page_size,
    arm_level,
    loader,
    x86_level,
    features,
    libc_version,
    kernel_version,
    carried,
)


def judge(
    artifact: Artifact,
    facts: Facts,
    *,
    emulation_allowed: bool = False,
    scripts: bool = False,
    at: Location | None = None,
) -> Verdict:
    """Predict what happens when `artifact` is executed on the host of `facts`.

    The order of reasons: no program at all (SB112), damaged (SB401), another
    operating system (SB115), another machine (SB101), ABI and page size (SB116, SB110, SB105), loader (SB102, SB107),
    processor, C library and kernel version (SB106, SB108, SB109), what it
    carries (SB410). A file that
    only an emulator runs is `runs-emulated` with reason SB103; it is usable
    where `emulation_allowed`. A file that would run although it is known to be
    cut off behind its last segment is `runs`, but not usable; so is a script
    whose interpreter is there (SB112), and a static program of another system
    (SB115). With `scripts` the place takes those as well: such a script is
    usable, whatever the host's architecture.

    `at` is the place in the inventory that paired the two. What is unknown
    about the host is never taken for granted: it leads to a warning.
    """
    if scripts and artifact.kind is Kind.SCRIPT:
        return _script(artifact, facts, at)
    if script_starts(artifact, facts):
        refused = _diagnostic(no_place(artifact, facts), artifact, facts, at)
        return _verdict(artifact, facts, Outcome.RUNS, usable=False, found=(refused,))
    reason, doubts = _examine(artifact, facts)
    warnings = tuple(_diagnostic(d, artifact, facts, at) for d in doubts)
    elf = artifact.elf
    if reason is not None:
        found = _diagnostic(reason, artifact, facts, at)
        # The kernel does not ask whose program it is: a static one of another system starts, and goes wrong.
        starts = reason.code == "SB115" and elf is not None and elf.static and _case(artifact, elf, facts)
        outcome = Outcome.RUNS if starts else Outcome.CANNOT
        return _verdict(artifact, facts, outcome, usable=False, found=(found, *warnings))
    arch = taken_for(elf, facts) if elf else None
    own = _own_errors(artifact, facts, at)
    if elf is not None and arch is not None and arch in facts.emulates:
        only = _emulation_only(artifact, facts, arch, allowed=emulation_allowed)
        told = (_diagnostic(only, artifact, facts, at), *own, *warnings)
        return _verdict(artifact, facts, Outcome.EMULATED, usable=emulation_allowed and not own, found=told)
    return _verdict(artifact, facts, Outcome.RUNS, usable=not own, found=(*own, *warnings))


def _script(artifact: Artifact, facts: Facts, at: Location | None) -> Verdict:
    """A script in a place that takes scripts."""
    own = _own_errors(artifact, facts, at)
    reason = not_startable(artifact, facts)
    told = (*own, *((_diagnostic(reason, artifact, facts, at),) if reason else ()))
    if reason is not None and reason.severity is Severity.ERROR:
        return _verdict(artifact, facts, Outcome.CANNOT, usable=False, found=told[::-1])
    return _verdict(artifact, facts, Outcome.RUNS, usable=not own, found=told)


def _examine(artifact: Artifact, facts: Facts) -> tuple[Reason | None, list[Reason]]:
    """The reason why it cannot run, and the doubts that stay when there is none."""
    content = unreadable_content(artifact, facts)
    elf = artifact.elf
    if content is not None or elf is None:
        return content, []
    # Damage comes before the machine: a header that is broken in one place may be wrong in another.
    broken = damaged(artifact, elf, facts)
    if broken is not None:
        return broken, []
    other = other_system(artifact, elf, facts)
    if other is not None:
        return other, []
    case = _case(artifact, elf, facts)
    if case is None:
        return foreign(artifact, elf, facts), []
    doubts: list[Reason] = []
    for rule in _RULES:
        reason = rule(case)
        if reason is None:
            continue
        if reason.severity is Severity.ERROR:
            return reason, []
        doubts.append(reason)
    return None, doubts


def _case(artifact: Artifact, elf: Elf, facts: Facts) -> Case | None:
    """The case for the finer rules, where the host runs the architecture at all."""
    arch = taken_for(elf, facts)
    if arch is None:
        return None
    case = Case(artifact, elf, arch, facts)
    return case if case.native or arch in facts.emulates else None


def _emulation_only(artifact: Artifact, facts: Facts, arch: Arch, *, allowed: bool) -> Reason:
    handler = next(h for h in facts.binfmt if h.arch is arch)
    return Reason(
        "SB103",
        f"binary runs on {facts.host} only through an emulator",
        describe_file(artifact),
        f"{describe_host(facts)}; binfmt {handler.name} -> {handler.interpreter}",
        ()
        if allowed
        else (
            "use a native build",
            "set `emulation: allow` on this host if ten times slower is good enough",
        ),
        Severity.WARNING if allowed else Severity.ERROR,
    )


def _own_errors(artifact: Artifact, facts: Facts, at: Location | None) -> tuple[Diagnostic, ...]:
    """What is wrong with the file itself, told about this host too."""
    return tuple(
        Diagnostic(
            code=d.code,
            summary=f"{d.summary}: not fit for {facts.host}",
            host=facts.host,
            artifact=artifact.path,
            at=at,
            evidence=(("file", d.summary), ("host", describe_host(facts))),
            hints=d.hints,
        )
        for d in artifact.diagnostics
        if d.severity is Severity.ERROR
    )


def _diagnostic(reason: Reason, artifact: Artifact, facts: Facts, at: Location | None) -> Diagnostic:
    return Diagnostic(
        code=reason.code,
        summary=reason.summary,
        severity=reason.severity,
        host=facts.host,
        artifact=artifact.path,
        at=at,
        evidence=(("file", reason.file), ("host", reason.host)),
        hints=reason.hints,
    )


def _verdict(
    artifact: Artifact, facts: Facts, outcome: Outcome, *, usable: bool, found: tuple[Diagnostic, ...]
) -> Verdict:
    reason = None if outcome is Outcome.RUNS else found[0].code
    return Verdict(facts.host, artifact.path, outcome, usable, reason, found)
