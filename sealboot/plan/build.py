"""Desired steps and what the hosts answered become a plan: pure, ordered, the same for the same input.

What a step's mark says, by its check and by what it comes after:

* the check holds and nothing it comes after acts: `=`
* the check holds, but a step it comes after acts: the mark of a change, because it is wanted
* the check does not hold: `+` where nothing is there, `~` where something else is, `-` for a removal
* the host could not answer: as if the check did not hold; the engine asks again right before
* no check, `only_after`: `~` after a step that acts, `?` after one that may, else `=`
* no check, no `only_after`: `~`, each time
* reads and waits change nothing, so they are never counted as changes: `?` while something that
  precedes or needs them acts, else `=`
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from sealboot.model.artifact import Artifact
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.facts import Facts
from sealboot.model.feed import Feed
from sealboot.model.host import Inventory
from sealboot.model.plan import Action, Observation, Plan, PlannedStep, PlannedWave, Wave
from sealboot.model.steps import (
    Handover,
    ReadSecret,
    Remove,
    Run,
    Step,
    Upload,
    WaitFor,
    WriteDisk,
    WriteFile,
)
from sealboot.plan.fingerprint import facts_fingerprint, inventory_digest

_ACTING = frozenset({Action.CREATE, Action.CHANGE, Action.REMOVE})
_UNASKED = Observation("unknown", "not asked")


def build(waves: Sequence[Wave], observations: Mapping[str, Observation]) -> tuple[PlannedWave, ...]:
    """Decide every step's action from the answers to its check, by step id."""
    actions: dict[str, Action] = {}
    planned: list[PlannedWave] = []
    for wave in waves:
        steps: list[PlannedStep] = []
        for step in wave.steps:
            decided = _decide(step, observations.get(step.id), actions)
            actions[step.id] = decided.action
            steps.append(decided)
        planned.append(PlannedWave(wave.id, wave.title, tuple(steps), wave.parallel))
    return _settle_waits(_settle_reads(tuple(planned)))


def make_plan(
    inventory: Inventory,
    waves: Sequence[Wave],
    observations: Mapping[str, Observation],
    facts: Mapping[str, Facts],
    *,
    artifacts: Iterable[Artifact] = (),
    hosts: Sequence[str] = (),
    provided: Iterable[str] = (),
) -> Plan | tuple[Diagnostic, ...]:
    """The whole plan with the digests of what it was decided from.

    `hosts` are the selected hosts in inventory order (default: those that have
    facts). `artifacts` adds files that are checked but not shipped; every
    shipped file is recorded in any case. `provided` names the secrets that the
    operator has, so that no host must be asked for them. Returns SB910 findings when the
    driver wrote an impossible plan (that is a bug, not the operator's doing),
    and SB612 when a step needs a secret that no selected host can be asked for.
    """
    problems = inconsistencies(waves)
    if problems:
        return problems
    selected = tuple(hosts) or tuple(h.name for h in inventory.hosts if h.name in facts)
    shipped = dict(pair for w in waves for s in w.steps for pair in _shipped(s))
    planned = build(waves, observations)
    missing = _unreadable(planned, provided)
    if missing:
        return missing
    return Plan(
        cluster=inventory.name,
        driver=inventory.driver,
        waves=planned,
        hosts=selected,
        fingerprints={name: facts_fingerprint(facts[name]) for name in selected if name in facts},
        artifacts=dict(sorted({**{a.path: a.sha256 for a in artifacts}, **shipped}.items())),
        inventory_sha256=inventory_digest(inventory),
    )


def _shipped(step: Step) -> Iterator[tuple[str, str]]:
    """The file that a step sends, and its digest."""
    match step:
        case Upload() | WriteDisk():
            yield step.source, step.sha256
        case Run(feed=Feed(source, sha256)):
            yield source, sha256


def inconsistencies(waves: Sequence[Wave]) -> tuple[Diagnostic, ...]:
    """What no plan may have: an id used twice, or a step that comes after one which is not before it."""
    found: list[Diagnostic] = []
    count = Counter(step.id for wave in waves for step in wave.steps)
    found += [_bug(f"the step id {name!r} is used {n} times", None) for name, n in count.items() if n > 1]
    seen: dict[str, str] = {}
    for wave in waves:
        for step in wave.steps:
            for earlier in step.only_after:
                if seen.get(earlier) != step.host:
                    found.append(
                        _bug(f"{step.id!r} comes after {earlier!r}, which no earlier step is", step.host)
                    )
            seen[step.id] = step.host
    found += _misplaced(waves)
    found += [
        _bug(f"the waves {wave.id!r} share an id", None)
        for wave in waves
        if sum(other.id == wave.id for other in waves) > 1
    ]
    return tuple(dict.fromkeys(found))


def _misplaced(waves: Sequence[Wave]) -> Iterator[Diagnostic]:
    """Steps on a host that was left behind, steps that only hosts can do, names of files that lead elsewhere."""
    left: set[str] = set()
    for step in (step for wave in waves for step in wave.steps):
        here = step.on == "controller"
        if not here and step.host in left:
            yield _bug(f"{step.id!r} is done on a host that runs another system by then", step.host)
        if isinstance(step, Handover):
            left.add(step.host)
        detached = isinstance(step, Run) and step.detached
        asks = not isinstance(step, WaitFor) or step.kind == "script"
        if here and (detached or not asks or not isinstance(step, (Run, WaitFor, ReadSecret))):
            yield _bug(f"{step.id!r} cannot be done on the controller", step.host)
        if step.files and not here:
            yield _bug(f"{step.id!r} has files, but is not done on the controller", step.host)
        if any("/" in name or name.startswith(".") or not name for name in step.files):
            yield _bug(f"a file of {step.id!r} is not one of its own folder", step.host)


def _bug(text: str, host: str | None) -> Diagnostic:
    return Diagnostic("SB910", f"the plan contradicts itself: {text}", host=host)


def _decide(step: Step, seen: Observation | None, actions: Mapping[str, Action]) -> PlannedStep:
    """One step's action, as far as it can be known while walking forwards.

    A step without a check of its own may have been observed all the same: the
    engine derives one where the step itself says what must be.
    """
    before = {actions[earlier] for earlier in step.only_after if earlier in actions}
    asked = step.check is not None or seen is not None
    if isinstance(step, (ReadSecret, WaitFor)) and not asked:
        return PlannedStep(step, Action.NONE)
    if not asked:
        if not step.only_after:
            return PlannedStep(step, _mark(step, "differs"), "runs every time")
        if before & _ACTING:
            return PlannedStep(step, _mark(step, "differs"), "follows a change")
        return PlannedStep(step, Action.DEPENDS if Action.DEPENDS in before else Action.NONE)
    seen = seen or _UNASKED
    if seen.state != "same":
        detail = f"state unknown: {seen.detail}" if seen.state == "unknown" else seen.detail
        return PlannedStep(step, _mark(step, seen.state), detail)
    if before & _ACTING:
        return PlannedStep(step, _mark(step, "differs"), "follows a change")
    return PlannedStep(step, Action.DEPENDS if Action.DEPENDS in before else Action.NONE, seen.detail)


def _mark(step: Step, state: str) -> Action:
    if isinstance(step, (ReadSecret, WaitFor)):
        return Action.DEPENDS
    if isinstance(step, Remove):
        return Action.REMOVE
    return Action.CREATE if state == "absent" else Action.CHANGE


def secrets_used(step: Step) -> frozenset[str]:
    """The names of the secrets that a step needs when it runs."""
    files = frozenset(step.file_secrets)
    if isinstance(step, WriteFile):
        return files | frozenset(step.secrets)
    if isinstance(step, Run):
        return files | frozenset(step.env_secrets.values())
    return files


def _unreadable(waves: tuple[PlannedWave, ...], provided: Iterable[str]) -> tuple[Diagnostic, ...]:
    """SB612 for each secret that is needed before anything reads it, because its host is not selected."""
    readable = set(provided)
    found: dict[str, Diagnostic] = {}
    for wave in waves:
        for planned in wave.steps:
            if isinstance(planned.step, ReadSecret):
                readable.add(planned.step.into)
            if planned.action is Action.NONE:
                continue
            for name in sorted(secrets_used(planned.step) - readable):
                found.setdefault(
                    name,
                    Diagnostic(
                        "SB612",
                        f"{planned.step.title!r} needs the secret {name!r}, and no selected host provides it",
                        host=planned.step.host,
                        hints=("widen --limit so that it includes the host that the secret is read from",),
                    ),
                )
    return tuple(found.values())


def _settle_reads(waves: tuple[PlannedWave, ...]) -> tuple[PlannedWave, ...]:
    """Mark each read of a secret as needed (`?`) exactly when a step that will or may act uses it."""
    used = {
        name
        for wave in waves
        for planned in wave.steps
        if planned.action is not Action.NONE
        for name in secrets_used(planned.step)
    }
    return tuple(replace(wave, steps=tuple(_read(planned, used) for planned in wave.steps)) for wave in waves)


def _read(planned: PlannedStep, used: set[str]) -> PlannedStep:
    if not isinstance(planned.step, ReadSecret):
        return planned
    if planned.step.into in used:
        return replace(planned, action=Action.DEPENDS, detail="read when needed")
    return replace(planned, action=Action.NONE, detail="not needed")


def _settle_waits(waves: tuple[PlannedWave, ...]) -> tuple[PlannedWave, ...]:
    """Mark a wait as `?` once anything before it, on any host, will or may act."""
    moving = False
    result: list[PlannedWave] = []
    for wave in waves:
        steps: list[PlannedStep] = []
        touched: set[str] = set()
        for planned in wave.steps:
            waits = isinstance(planned.step, WaitFor) and planned.action is Action.NONE
            if waits and (moving or planned.step.host in touched):
                steps.append(replace(planned, action=Action.DEPENDS))
                continue
            if not isinstance(planned.step, ReadSecret) and planned.action is not Action.NONE:
                touched.add(planned.step.host)
            steps.append(planned)
        moving = moving or bool(touched)
        result.append(replace(wave, steps=tuple(steps)))
    return tuple(result)
