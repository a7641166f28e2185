"""Which file goes to which host: matched by content, deterministically, and never guessed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sealboot.drivers.base import Slot
from sealboot.fit import judge, judge_boot
from sealboot.model.arch import Arch
from sealboot.model.artifact import Artifact, Kind
from sealboot.model.diagnostic import Diagnostic, Location, has_errors
from sealboot.model.facts import Facts
from sealboot.model.host import Host
from sealboot.model.verdict import Outcome, Verdict
from sealboot.plan.select_data import claims, data_rank
from sealboot.plan.select_words import ambiguous, no_tree, nothing_fits, wrong_kind, wrong_platform


@dataclass(frozen=True, slots=True)
class Selection:
    """The outcome for all hosts whose facts are known.

    `chosen` maps (host, slot) to the file; a pair that is missing has an error
    in `diagnostics`, unless the slot is optional. `pairs` are the verdicts of
    the chosen files and of those that should have fitted and do not; `matrix`
    has every executable candidate against every host.
    """

    chosen: Mapping[tuple[str, str], Artifact] = field(default_factory=dict)
    pairs: tuple[Verdict, ...] = ()
    matrix: tuple[Verdict, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()


@dataclass(frozen=True, slots=True)
class _Question:
    """One slot of one host, with everything that answers it."""

    slot: Slot
    host: Host
    facts: Facts
    offered: tuple[Artifact, ...]
    defaults: tuple[Artifact, ...]
    overridden: bool
    at: Location | None

    def judge(self, artifact: Artifact) -> Verdict:
        return _judge(self.slot, self.host, artifact, self.facts, self.at, scripts=self.scripts)

    @property
    def scripts(self) -> bool:
        """Whether a script may be chosen."""
        return _takes_scripts(self.slot, self.offered)


def _takes_scripts(slot: Slot, offered: Iterable[Artifact]) -> bool:
    """A script is chosen only where no compiled program is offered: it would fill in for a build that is missing."""
    return Kind.SCRIPT in slot.kinds and all(artifact.elf is None for artifact in offered)


def _judge(
    slot: Slot,
    host: Host,
    artifact: Artifact,
    facts: Facts,
    at: Location | None = None,
    *,
    scripts: bool = False,
) -> Verdict:
    """What boots is asked of the processor, a program of the kernel."""
    if slot.form == "boot":
        return judge_boot(artifact, facts, at=at)
    return judge(artifact, facts, emulation_allowed=host.emulation == "allow", scripts=scripts, at=at)


@dataclass(frozen=True, slots=True)
class _Answer:
    """The file, or why there is none; `relevant` are the files that the operator should hear about."""

    chosen: Artifact | None = None
    pairs: tuple[Verdict, ...] = ()
    relevant: tuple[Artifact, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()


def select(
    slots: Sequence[Slot],
    hosts: Sequence[Host],
    facts: Mapping[str, Facts],
    candidates: Mapping[str, Sequence[Artifact]],
    overrides: Mapping[tuple[str, str], Sequence[Artifact]] | None = None,
) -> Selection:
    """Choose a file for each slot of each host in `facts`.

    `candidates` are the files of each slot by the inventory's patterns;
    `overrides` replace them for one (host, slot), and are verified like any
    other: a misfit is an error at the override's place, with the hint which
    of the ordinary candidates would have fitted.

    Among files that fit, native comes before emulated, the kernel's own
    architecture before one it is merely compatible with, the more specific
    build before the general one, and a file whose name lies comes last. Files
    with the same bytes are one. Different bytes of equal rank are an error
    (SB113), not a choice: one of them is probably an old release, and which
    one a cluster gets must not hang on the alphabet.

    Where nothing fits, files that should have (their name claims the host's
    architecture, or their bytes are of it) are reported with their own reason
    (SB101, SB401, SB107...); without any, SB104 names what was found. Findings
    about a file itself (SB111 and the like) are told once for each file that
    was chosen or reported.
    """
    given = overrides or {}
    chosen: dict[tuple[str, str], Artifact] = {}
    pairs: list[Verdict] = []
    diagnostics: list[Diagnostic] = []
    relevant: dict[str, Artifact] = {}
    for host in hosts:
        if host.name not in facts:
            continue
        for slot in slots:
            if not slot.needed_by(host, facts[host.name]):
                continue
            answer = _answer(_question(slot, host, facts[host.name], candidates, given))
            if answer.chosen is not None:
                chosen[host.name, slot.name] = answer.chosen
            pairs += answer.pairs
            diagnostics += answer.diagnostics
            relevant |= {artifact.path: artifact for artifact in answer.relevant}
    own = [d for artifact in relevant.values() for d in artifact.diagnostics]
    reported = {(d.code, d.artifact) for d in diagnostics}
    diagnostics += [d for d in own if (d.code, d.artifact) not in reported]
    matrix = _matrix(slots, hosts, facts, candidates, given)
    return Selection(chosen, tuple(dict.fromkeys(pairs)), matrix, tuple(dict.fromkeys(diagnostics)))


def _question(
    slot: Slot,
    host: Host,
    facts: Facts,
    candidates: Mapping[str, Sequence[Artifact]],
    overrides: Mapping[tuple[str, str], Sequence[Artifact]],
) -> _Question:
    defaults = tuple(candidates.get(slot.name, ()))
    overridden = (host.name, slot.name) in overrides
    offered = tuple(overrides[host.name, slot.name]) if overridden else defaults
    return _Question(slot, host, facts, offered, defaults, overridden, host.origin(f"artifacts.{slot.name}"))


def _answer(question: _Question) -> _Answer:
    if not question.slot.executable:
        return _answer_data(question)
    judged = [(artifact, question.judge(artifact)) for artifact in question.offered]
    fitting = [(a, v) for a, v in judged if v.usable and a.kind in question.slot.kinds]
    if fitting:
        return _best(question, fitting)
    missing = _overridden_misfit(question, judged) if question.overridden else _near_misses(question, judged)
    if missing:
        return _Answer(
            pairs=tuple(v for _, v in missing),
            relevant=tuple(a for a, _ in missing),
            diagnostics=tuple(d for _, v in missing for d in v.diagnostics),
        )
    if not question.slot.required and not question.overridden:
        return _Answer()
    return _Answer(
        diagnostics=(
            nothing_fits(question.slot, question.host, question.facts, question.offered, question.at),
        )
    )


def _best(question: _Question, fitting: list[tuple[Artifact, Verdict]]) -> _Answer:
    ranks = {a.path: _rank(a, v, question.facts) for a, v in fitting}
    top = min(ranks.values())
    equal = sorted(((a, v) for a, v in fitting if ranks[a.path] == top), key=lambda pair: pair[0].path)
    artifact, verdict = equal[0]
    if len({a.sha256 for a, _ in equal}) > 1:
        files = tuple(a for a, _ in equal)
        return _Answer(
            relevant=files, diagnostics=(ambiguous(question.slot, question.host, files, question.at),)
        )
    return _Answer(artifact, (verdict,), (artifact,), verdict.diagnostics)


def _rank(artifact: Artifact, verdict: Verdict, facts: Facts) -> tuple[int, ...]:
    """Smaller is better; equal ranks are equally good."""
    elf = artifact.elf
    kernel = artifact.kernel
    arch = elf.arch if elf else kernel.arch if kernel else None
    return (
        verdict.outcome is Outcome.EMULATED,
        arch is not facts.kernel_arch,
        arch is not facts.userland_arch,
        artifact.named_arch is not None and artifact.named_arch is not arch,
        -(elf.arm_level or 0) if elf else 0,
        -(elf.x86_level or 1) if elf else 0,
        artifact.kind is not Kind.UKI,  # a kernel alone needs its initrd beside it
    )


def _overridden_misfit(
    question: _Question, judged: list[tuple[Artifact, Verdict]]
) -> list[tuple[Artifact, Verdict]]:
    """Every file that the override names, each with the hint which ordinary candidate fits."""
    hint = _default_hint(question)
    return [(a, _with_hint(_misfit(question, a, v), hint)) for a, v in judged]


def _misfit(question: _Question, artifact: Artifact, verdict: Verdict) -> Verdict:
    """The verdict; a file that would run but is not of the slot's kind has none that says so."""
    if not verdict.usable:
        return verdict
    wrong = wrong_kind(question.slot, question.host, artifact, question.at)
    return replace(verdict, usable=False, outcome=Outcome.CANNOT, reason="SB112", diagnostics=(wrong,))


def _default_hint(question: _Question) -> str:
    fitting = [
        (a, v)
        for a, v in ((a, question.judge(a)) for a in question.defaults)
        if v.usable and a.elf is not None
    ]
    if not fitting:
        return ""
    best = min(fitting, key=lambda pair: (_rank(pair[0], pair[1], question.facts), pair[0].path))[0]
    arch = best.elf.arch if best.elf else None
    return f"delete the override; {best.path} is {arch.field_name if arch else 'sound'} and fits"


def _with_hint(verdict: Verdict, hint: str) -> Verdict:
    if not hint or not verdict.diagnostics:
        return verdict
    first = replace(verdict.diagnostics[0], hints=(hint,))
    return replace(verdict, diagnostics=(first, *verdict.diagnostics[1:]))


def _near_misses(
    question: _Question, judged: list[tuple[Artifact, Verdict]]
) -> list[tuple[Artifact, Verdict]]:
    """Files that should have fitted: of the right machine, or so named. Else those an emulator would run.

    Of what boots, every file that is for other machines: there is rarely more than one for each.
    """
    wanted = _wanted(question)
    if question.slot.form == "boot":
        return [(a, v) for a, v in judged if not v.usable and a.kind in question.slot.kinds]
    judged = [(a, v) for a, v in judged if not v.usable]  # of another kind than the slot's: not a miss
    if question.scripts:
        return [(a, v) for a, v in judged if a.kind is Kind.SCRIPT]
    right = [(a, v) for a, v in judged if _arch(a) is not None and _arch(a) in wanted]
    named = [(a, v) for a, v in judged if a.named_arch in wanted and (a, v) not in right]
    proper = [(a, v) for a, v in named if a.kind is not Kind.UNKNOWN]
    near = right + (proper or ([] if right else named))
    return near or [(a, v) for a, v in judged if v.outcome is Outcome.EMULATED]


def _wanted(question: _Question) -> frozenset[Arch]:
    kernel = question.facts.kernel_arch
    return question.facts.native | ({kernel} if kernel is not None else frozenset())


def _arch(artifact: Artifact) -> Arch | None:
    return artifact.elf.arch if artifact.elf else None


def _answer_data(question: _Question) -> _Answer:
    """A slot that is not executed (an image archive): by the platforms in the file, where it tells any.

    Of files that do not tell, a name that claims the host's architecture ranks before one that claims
    none, and one that claims another is out. A file with an error of its own is out too, whatever it is for.
    """
    ranked: list[tuple[tuple[int, ...], Artifact]] = []
    for artifact in question.offered:
        if artifact.kind in question.slot.kinds and not has_errors(artifact.diagnostics):
            rank = data_rank(artifact, question.facts)
            ranked += [(rank, artifact)] if rank is not None else []
    if not ranked:
        return _no_data(question)
    top = min(rank for rank, _ in ranked)
    equal = sorted((a for rank, a in ranked if rank == top), key=lambda a: a.path)
    if len({a.sha256 for a in equal}) > 1:
        return _Answer(
            relevant=tuple(equal), diagnostics=(ambiguous(question.slot, question.host, equal, question.at),)
        )
    return _Answer(equal[0], relevant=(equal[0],))


def _no_data(question: _Question) -> _Answer:
    """SB404 for archives that should have fitted; SB104 where there is none at all.

    Should have: the override names it, the slot must be filled, or the file claims this host's
    architecture, by its name or in an index, without being whole for it.
    """
    archives = tuple(a for a in question.offered if a.kind in question.slot.kinds)
    wanted = question.slot.required or question.overridden
    near = archives if wanted else tuple(a for a in archives if claims(a, question.facts))
    telling = tuple(a for a in near if a.platforms or a.diagnostics)
    if telling and question.slot.tree:
        found = no_tree(question.slot, question.host, question.facts, telling, question.at)
        return _Answer(relevant=telling, diagnostics=(found,))
    if telling and not question.slot.form:
        found = wrong_platform(question.slot, question.host, question.facts, telling, question.at)
        return _Answer(relevant=telling, diagnostics=(found,))
    if not wanted:
        return _Answer()
    none = nothing_fits(question.slot, question.host, question.facts, question.offered, question.at)
    return _Answer(relevant=telling, diagnostics=(none,))


def _matrix(
    slots: Sequence[Slot],
    hosts: Sequence[Host],
    facts: Mapping[str, Facts],
    candidates: Mapping[str, Sequence[Artifact]],
    overrides: Mapping[tuple[str, str], Sequence[Artifact]],
) -> tuple[Verdict, ...]:
    """Every file of every executable slot, overrides included, against every host that was probed."""
    judged = {slot.name: slot for slot in slots if slot.executable}
    offered: Iterable[tuple[Slot, Artifact]] = (
        *((slot, a) for name, slot in judged.items() for a in candidates.get(name, ())),
        *((judged[name], a) for (_, name), files in overrides.items() if name in judged for a in files),
    )
    files = {artifact.path: (slot, artifact) for slot, artifact in offered}
    scripted = {name for name, slot in judged.items() if _takes_scripts(slot, candidates.get(name, ()))}
    return tuple(
        _judge(slot, host, artifact, facts[host.name], scripts=slot.name in scripted)
        for host in hosts
        if host.name in facts
        for slot, artifact in files.values()
    )
