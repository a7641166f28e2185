"""Everything that can be known before a byte is written: files against hosts, hosts against needs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from sealboot.artifacts import collect
from sealboot.artifacts.cache import Cache
from sealboot.checks import Load, apply_ignores, run_all, shipped
from sealboot.drivers.base import Context, Slot
from sealboot.model.artifact import Artifact
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.host import Host
from sealboot.model.report import CheckReport, CheckStatus, HostRow
from sealboot.model.verdict import Verdict
from sealboot.plan.select import Selection
from sealboot.plan.select import select as select_artifacts
from sealboot.workflow.bootfiles import made_ready, on_controller
from sealboot.workflow.controller import select_here
from sealboot.workflow.prepare import Prepared
from sealboot.workflow.survey import Survey, wants_of
from sealboot.workflow.trees import packed, tree_cache
from sealboot.workflow.verify import Verified, refusals, verify


@dataclass(frozen=True, slots=True)
class Candidates:
    """The files that may fill each slot, read once: by slot, and by (host, slot) where overridden.

    `verified` is what checksums and signatures say about them.
    """

    by_slot: Mapping[str, tuple[Artifact, ...]]
    overrides: Mapping[tuple[str, str], tuple[Artifact, ...]]
    diagnostics: tuple[Diagnostic, ...]
    verified: Verified = field(default_factory=Verified)

    @property
    def all(self) -> tuple[Artifact, ...]:
        """Every file once, by path."""
        every = [*self.by_slot.values(), *self.overrides.values()]
        return tuple(sorted({a.path: a for files in every for a in files}.values(), key=lambda a: a.path))


def candidates(prepared: Prepared, cache: Cache | None = None) -> Candidates:
    """Read every file that the inventory or the driver's defaults name; with a `cache`, only what changed."""
    base = Path(prepared.inventory.base)
    found: list[Diagnostic] = []
    unverified = prepared.inventory.verify is None  # a digest that is vouched for is one that was just made
    read: dict[tuple[str, ...], tuple[Artifact, ...]] = {}

    def files(
        patterns: tuple[str, ...], origin: str, host: Host | None = None, *, told: bool = True
    ) -> tuple[Artifact, ...]:
        if patterns not in read:
            read[patterns], wrong = collect(patterns, base, cache=cache if unverified else None)
            at = host.origin(origin) if host else prepared.inventory.origins.get(origin)
            found.extend(d.located(at) for d in wrong if told)
        return read[patterns]

    def named(slot: Slot) -> bool:
        """Whether it matters that a pattern names nothing: the operator wrote it, or no host can do without."""
        return slot.name in prepared.inventory.artifacts or (slot.required and not slot.boots)

    by_slot = {
        slot.name: files(
            tuple(prepared.inventory.artifacts.get(slot.name, slot.patterns)),
            f"artifacts.{slot.name}",
            told=named(slot),
        )
        for slot in prepared.slots
        if any(slot.wanted_by(host) for host in prepared.selected)
    }
    overrides = {
        (host.name, slot.name): files(tuple(host.artifacts[slot.name]), f"artifacts.{slot.name}", host)
        for host in prepared.selected
        for slot in prepared.slots
        if slot.wanted_by(host) and slot.name in host.artifacts
    }
    return _made_ready(
        _verified(Candidates(by_slot, overrides, tuple(found)), prepared, base), prepared, base
    )


def _made_ready(files: Candidates, prepared: Prepared, base: Path) -> Candidates:
    """The same files, each made ready as its slot asks; what two slots share is made ready once for each form."""
    slots = {slot.name: slot for slot in prepared.slots if slot.tree or slot.form or slot.on == "controller"}
    made: dict[tuple[object, ...], tuple[Artifact, ...]] = {}

    def ready(name: str, given: tuple[Artifact, ...]) -> tuple[Artifact, ...]:
        slot = slots.get(name)
        if slot is None:
            return given
        key = (slot.tree, slot.form, slot.on, *(artifact.path for artifact in given))
        if key not in made:
            made[key] = _ready(slot, given, base)
        return made[key]

    if not slots:
        return files
    return replace(
        files,
        by_slot={name: ready(name, given) for name, given in files.by_slot.items()},
        overrides={key: ready(key[1], given) for key, given in files.overrides.items()},
    )


def _ready(slot: Slot, given: tuple[Artifact, ...], base: Path) -> tuple[Artifact, ...]:
    if slot.tree:
        return packed(given, base, tree_cache())
    if slot.form:
        return made_ready(given, slot.form, base)
    return on_controller(given, base)


def _verified(files: Candidates, prepared: Prepared, base: Path) -> Candidates:
    """The same files after the question whether something vouches for them."""
    wanted = prepared.inventory.verify
    if wanted is None:
        return files
    seen = verify(wanted, base, files.all)
    return Candidates(
        {slot: seen.replaced(given) for slot, given in files.by_slot.items()},
        {key: seen.replaced(given) for key, given in files.overrides.items()},
        (*files.diagnostics, *seen.diagnostics),
        seen,
    )


@dataclass(frozen=True, slots=True)
class Preflight:
    """What `check` found out, and what a plan can be made of: the hosts without an error."""

    report: CheckReport
    selection: Selection
    ready: tuple[Host, ...]
    context: Context  # of the ready hosts
    context_all: Context  # of all selected hosts


def _status(host: Host, survey: Survey, wrong: Mapping[str, list[Diagnostic]]) -> CheckStatus:
    if host.name not in survey.facts:
        return "not-reached"
    return "failed" if wrong[host.name] else "ok"


def _row(host: Host, survey: Survey, selection: Selection, status: CheckStatus, slots: list[str]) -> HostRow:
    facts = survey.facts.get(host.name)
    named = {p.artifact for p in selection.pairs if p.host == host.name}
    chosen = {
        slot: selection.chosen[host.name, slot].path
        for slot in slots
        if (host.name, slot) in selection.chosen
    }
    if not chosen and len(named) == 1 and slots:
        chosen = {slots[0]: next(iter(named))}  # the misfit that was meant for it, so that the table shows it
    return HostRow(
        host=host.name,
        role=host.role,
        status=status,
        arch=facts.kernel_arch.value if facts and facts.kernel_arch else None,
        userland=facts.userland_arch.value if facts and facts.userland_arch else None,
        artifacts=chosen,
        assumed=facts is not None and facts.assumed,
    )


def _pairs(selection: Selection, *, matrix: bool) -> tuple[Verdict, ...]:
    return selection.matrix if matrix else selection.pairs


def complete(prepared: Prepared, context: Context) -> tuple[Host, ...]:
    """The reached hosts for which every required slot is filled: steps can be written for them."""
    return tuple(
        host
        for host in context.selected
        if host.name in context.facts
        and all(
            (host.name, slot.name) in context.chosen
            for slot in prepared.slots
            if slot.required and slot.needed_by(host, context.facts[host.name])
        )
    )


def _loads(prepared: Prepared, context: Context, present: frozenset[str]) -> dict[str, Load]:
    """What each host would be sent, without the uploads that are in place already; nothing is a load, too."""
    hosts = complete(prepared, context)
    waves = prepared.waves(replace(context, selected=hosts))
    coming = [replace(w, steps=tuple(s for s in w.steps if s.id not in present)) for w in waves]
    return {**{h.name: Load() for h in hosts if waves}, **shipped(coming)}


def preflight(
    prepared: Prepared,
    survey: Survey,
    files: Candidates,
    *,
    matrix: bool = False,
    command: str = "check",
    present: frozenset[str] = frozenset(),
) -> Preflight:
    """Match files to hosts and run every check; pure.

    `present` are the ids of uploads that are known to be in place already:
    they need no space.
    """
    selection = select_artifacts(
        slots=prepared.slots,
        hosts=tuple(h for h in prepared.selected if h.name in survey.facts),
        facts=survey.facts,
        candidates=files.by_slot,
        overrides=files.overrides,
    )
    here = select_here(prepared.slots, survey.controller, files.by_slot)
    chosen = {**selection.chosen, **here.chosen}
    context = Context(
        inventory=prepared.inventory,
        options=prepared.options,
        selected=prepared.selected,
        facts=survey.facts,
        chosen=chosen,
        controller=survey.controller,
    )
    # What nobody asked a host cannot be wrong with it.
    assumed = {name for name, known in survey.facts.items() if known.assumed}
    found = [
        *prepared.diagnostics,
        *survey.diagnostics,
        *files.diagnostics,
        *selection.diagnostics,
        *here.diagnostics,
        *refusals(files.verified, chosen),
        *run_all(
            tuple(h for h in prepared.selected if h.name not in assumed),
            {name: known for name, known in survey.facts.items() if name not in assumed},
            chosen=selection.chosen,
            wants={h.name: wants_of(prepared, h) for h in prepared.selected},
            loads=_loads(prepared, context, present),
        ),
        *prepared.driver.checks(context),
    ]
    diagnostics = apply_ignores(prepared.selected, tuple(dict.fromkeys(found)))
    wrong: defaultdict[str, list[Diagnostic]] = defaultdict(list)
    for diagnostic in diagnostics:
        if diagnostic.severity is Severity.ERROR:
            for name in (diagnostic.host, *diagnostic.also):
                if name is not None:
                    wrong[name].append(diagnostic)
    rows = []
    for host in prepared.selected:
        slots = [slot.name for slot in prepared.slots if slot.wanted_by(host)]
        rows.append(_row(host, survey, selection, _status(host, survey, wrong), slots))
    report = CheckReport(
        source=prepared.inventory.source,
        cluster=prepared.inventory.name,
        driver=prepared.inventory.driver,
        release=prepared.inventory.release,
        hosts=tuple(rows),
        artifacts=files.all,
        pairs=_pairs(selection, matrix=matrix),
        diagnostics=diagnostics,
        matrix=matrix,
        command=command,
    )
    status = {row.host: row.status for row in rows}
    ready = tuple(host for host in prepared.selected if status[host.name] == "ok")
    return Preflight(report, selection, ready, replace(context, selected=ready), context)
