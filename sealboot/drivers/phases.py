"""The `phases` driver: the operator's own steps in YAML, for any distributed system.

It knows nothing about a distribution. What it adds to a shell script is that
every step knows when there is nothing to do, that the right file goes to each
host by its contents, and that phases wait for one another. docs/phases.md
is the guide.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

from pydantic import BaseModel

from sealboot.checks.init import no_init
from sealboot.checks.waiting import cannot_wait
from sealboot.drivers.base import Context, Slot, Wants
from sealboot.drivers.options import origin_of
from sealboot.drivers.phases_compile import compile_phase
from sealboot.drivers.phases_desk import Problem, Site
from sealboot.drivers.phases_schema import PhasePart, PhasesOptions, StepPart, UploadPart
from sealboot.drivers.phases_scope import Cast, hosts_of, secrets_before
from sealboot.model.artifact import Kind
from sealboot.model.diagnostic import Diagnostic, Location, Severity
from sealboot.model.facts import Facts
from sealboot.model.host import Host, Inventory
from sealboot.model.names import closest
from sealboot.model.plan import Wave
from sealboot.model.steps import Step


class PhasesDriver:
    """Phases and steps as the operator wrote them."""

    name: ClassVar[str] = "phases"
    roles: ClassVar[tuple[str, ...]] = ()
    default_role: ClassVar[str] = "node"
    Options: ClassVar[type[BaseModel]] = PhasesOptions

    def slots(self, inventory: Inventory, options: BaseModel) -> tuple[Slot, ...]:
        """One slot for each artifact that an upload step names, wanted by exactly the hosts it goes to."""
        uploads = [(phase, part) for _, phase, _, part in _uploads(_typed(options))]
        slots: list[Slot] = []
        for name in dict.fromkeys(part.artifact for _, part in uploads):
            mine = [(phase, part) for phase, part in uploads if part.artifact == name]
            executable = any(part.executable for _, part in mine)
            hosts = frozenset(h.name for phase, _ in mine for h in hosts_of(phase, inventory))
            if hosts:
                kinds = (Kind.ELF, Kind.SCRIPT) if executable else tuple(Kind)
                kept = any(part.keep_previous for _, part in mine)
                slots.append(Slot(name, kinds=kinds, executable=executable, hosts=hosts, kept=kept))
        return tuple(slots)

    def wants(self, host: Host, options: BaseModel) -> Wants:
        """The directories that this host's files go to, uploads first, as far as no template hides them."""
        mine = [p for p in _typed(options).phases if not p.roles or host.role in p.roles]
        steps = [step for phase in mine for step in phase.steps]
        dests = [step.upload.dest for step in steps if step.upload]
        dests += [step.write.dest for step in steps if step.write]
        plain = [dest for dest in dests if dest.startswith("/") and "{{" not in dest]
        return Wants(directories=tuple(dict.fromkeys(dest.rpartition("/")[0] or "/" for dest in plain)))

    def checks(self, ctx: Context) -> tuple[Diagnostic, ...]:
        """What is wrong with the phases, seen with the whole cluster."""
        options = _typed(ctx.options)
        found = [*_reference_findings(ctx.inventory, options)]
        found += _need_findings(ctx, options)
        found += [_problem(ctx.inventory, problem, hosts) for problem, hosts in _compile(ctx)[1].items()]
        return tuple(found)

    def waves(self, ctx: Context) -> tuple[Wave, ...]:
        """One wave for each phase that has a selected host."""
        return _compile(ctx)[0]


def _typed(options: BaseModel) -> PhasesOptions:
    if not isinstance(options, PhasesOptions):
        raise TypeError("these are another driver's options")
    return options


def _compile(ctx: Context) -> tuple[tuple[Wave, ...], dict[Problem, list[str]]]:
    """All waves, and every problem with the hosts that have it."""
    options = _typed(ctx.options)
    selected = {host.name for host in ctx.reached}
    sites = {host.name: Site(ctx, host) for host in ctx.reached}
    cast = Cast(ctx)
    waves: list[Wave] = []
    for index, phase in enumerate(options.phases):
        secrets = secrets_before(options, index)
        steps: list[Step] = []
        for host in hosts_of(phase, ctx.inventory):
            if host.name in selected:
                scope = cast.scope(host, secrets)
                steps += compile_phase(sites[host.name], phase, scope, f"phases[{index}]")
        if steps:
            parallel = 1 if phase.serial else phase.parallel
            waves.append(Wave(phase.slug, phase.title or phase.name, tuple(steps), parallel))
    problems: dict[Problem, list[str]] = {}
    for name, site in sites.items():
        for problem in site.problems:
            problems.setdefault(problem, []).append(name)
    return tuple(waves), problems


def _need_findings(ctx: Context, options: PhasesOptions) -> Iterator[Diagnostic]:
    """SB511 and SB519 for what a step needs of a host and the host is known to lack.

    A tool may be installed by a step that comes before; an init system is not.
    """
    reached = {host.name for host in ctx.reached}
    equipped: set[str] = set()
    for index, phase in enumerate(options.phases):
        hosts = [host for host in hosts_of(phase, ctx.inventory) if host.name in reached]
        for number, step in enumerate(phase.steps):
            at = origin_of(ctx.inventory, f"options.phases[{index}].steps[{number}].{step.action}")
            for host in hosts:
                yield from _lacking(host, ctx.facts[host.name], step, at, equipped=host.name in equipped)
            if step.run is not None or step.upload is not None:
                equipped |= {host.name for host in hosts}


def _lacking(
    host: Host, facts: Facts, step: StepPart, at: Location | None, *, equipped: bool
) -> Iterator[Diagnostic]:
    wait = step.wait
    service = step.service.name if step.service is not None else wait.service if wait is not None else None
    if service is not None:
        yield from no_init(host, facts, f"the service {service}", at)
    if wait is not None and not equipped:
        for kind, target in (("tcp", wait.tcp), ("http", wait.http)):
            if target is not None:
                yield from cannot_wait(host, facts, kind, target, at)


def _problem(inventory: Inventory, problem: Problem, hosts: list[str]) -> Diagnostic:
    return Diagnostic(
        "SB605",
        f"{problem.path}: {problem.text}",
        host=hosts[0],
        also=tuple(hosts[1:]),
        at=origin_of(inventory, f"options.{problem.path}"),
        evidence=(("option", problem.path),),
    )


def _uploads(options: PhasesOptions) -> Iterator[tuple[int, PhasePart, int, UploadPart]]:
    for index, phase in enumerate(options.phases):
        for number, step in enumerate(phase.steps):
            if step.upload is not None:
                yield index, phase, number, step.upload


def _reference_findings(inventory: Inventory, options: PhasesOptions) -> Iterator[Diagnostic]:
    """Names that lead nowhere: artifacts, roles, hosts and secrets."""
    for index, _, number, part in _uploads(options):
        if part.artifact not in inventory.artifacts and not any(
            part.artifact in host.artifacts for host in inventory.hosts
        ):
            path = f"phases[{index}].steps[{number}].upload.artifact"
            text = f"the inventory has no artifact called {part.artifact!r}"
            yield _reference(inventory, path, text, list(inventory.artifacts), part.artifact)
    roles = list(dict.fromkeys(host.role for host in inventory.hosts))
    for index, phase in enumerate(options.phases):
        for number, role in enumerate(phase.roles):
            if role not in roles:
                text = f"no host has the role {role!r}"
                found = _reference(inventory, f"phases[{index}].roles[{number}]", text, roles, role)
                yield replace(found, code="SB606", severity=Severity.WARNING)
        yield from _capture_findings(inventory, options, index, phase)
        yield from _always_findings(inventory, index, phase)


def _reference(inventory: Inventory, path: str, text: str, known: list[str], name: str) -> Diagnostic:
    close = closest(name, known)
    hint = f"did you mean `{close}`?" if close else f"known: {', '.join(known) or 'none'}"
    return Diagnostic(
        "SB605",
        f"{path}: {text}",
        at=origin_of(inventory, f"options.{path}"),
        evidence=(("option", path),),
        hints=(hint,),
    )


def _capture_findings(
    inventory: Inventory, options: PhasesOptions, index: int, phase: PhasePart
) -> Iterator[Diagnostic]:
    """A secret has one origin: one host, one step."""
    earlier = secrets_before(options, index)
    seen: set[str] = set()
    for number, step in enumerate(phase.steps):
        if step.capture is None:
            continue
        name, path = step.capture.into, f"phases[{index}].steps[{number}].capture.into"
        text = ""
        if len(hosts_of(phase, inventory)) > 1:
            text = f"{name!r} would be read on several hosts; give the phase `once: true`"
        elif name in earlier or name in seen:
            text = f"{name!r} is captured twice"
        if text:
            yield Diagnostic(
                "SB605",
                f"{path}: {text}",
                at=origin_of(inventory, f"options.{path}"),
                evidence=(("option", path),),
            )
        seen.add(name)


def _always_findings(inventory: Inventory, index: int, phase: PhasePart) -> Iterator[Diagnostic]:
    for number, step in enumerate(phase.steps):
        if step.run is None or step.unless or step.creates or step.after:
            continue
        path = f"phases[{index}].steps[{number}].run"
        yield Diagnostic(
            "SB608",
            f"{path}: this script runs on every apply",
            severity=Severity.WARNING,
            at=origin_of(inventory, f"options.{path}"),
            evidence=(("option", path),),
            hints=("say when there is nothing to do: `unless`, `creates` or `after`",),
        )
