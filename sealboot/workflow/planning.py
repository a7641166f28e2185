"""From hosts that are ready to a plan: the driver's desired state minus what the hosts answered."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from sealboot.drivers.base import Context
from sealboot.engine.context import SecretStore
from sealboot.engine.desk import observe_here
from sealboot.engine.former import former_texts
from sealboot.engine.observe import observe
from sealboot.engine.shell import node_paths
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.events import Found, Sink, StageStarted
from sealboot.model.host import Host
from sealboot.model.names import closest, fold
from sealboot.model.plan import Before, Observation, Plan, PlannedStep, Wave
from sealboot.model.secret import Redactor
from sealboot.model.steps import Step, Upload
from sealboot.plan.build import make_plan
from sealboot.workflow.desk import desk
from sealboot.workflow.preflight import Preflight, complete
from sealboot.workflow.prepare import Prepared
from sealboot.workflow.survey import Clock, Survey


async def in_place(prepared: Prepared, survey: Survey, found: Preflight) -> frozenset[str]:
    """The ids of uploads that hosts short of space (SB301) have already; reads only.

    A second apply on a nearly full disk must not fail for want of space that
    it does not need. Asked only where space is short, so that the ordinary
    check stays at one round trip.
    """
    short = {d.host for d in found.report.diagnostics if d.code == "SB301"}
    hosts = tuple(
        h for h in complete(prepared, found.context_all) if h.name in short and h.name in survey.sessions
    )
    if not hosts:
        return frozenset()
    waves = prepared.waves(replace(found.context_all, selected=hosts))
    seen: set[str] = set()

    async def one(host: Host) -> None:
        uploads = [s for w in waves for s in w.steps if s.host == host.name and isinstance(s, Upload)]
        paths = node_paths(prepared.inventory.name, host)
        answer = await observe(survey.sessions[host.name], uploads, paths)
        if not isinstance(answer, Diagnostic):
            seen.update(name for name, what in answer.items() if what.state == "same")

    async with asyncio.TaskGroup() as group:
        for host in hosts:
            group.create_task(one(host))
    return frozenset(seen)


#: The operator's secrets for questions that are asked on the controller; or why they cannot be had.
Secrets: TypeAlias = Callable[[], SecretStore | tuple[Diagnostic, ...]]


async def make(
    prepared: Prepared,
    survey: Survey,
    ready: Preflight,
    *,
    sink: Sink,
    clock: Clock = time.monotonic,
    secrets: Secrets | None = None,
) -> Plan | tuple[Diagnostic, ...]:
    """Ask every ready host how much of the desired state it has, and plan the rest.

    Reads only. A host that stops answering is a finding, and then there is no plan.
    """
    without = _without_files(prepared, ready)
    if without:
        return without
    waves = prepared.waves(ready.context)
    unknown = unknown_part(prepared, ready.context)
    if unknown is not None:
        return (unknown,)
    seen = await observed(prepared, survey, waves, sink=sink, clock=clock, secrets=secrets)
    if isinstance(seen, tuple):
        return seen
    return make_plan(
        prepared.inventory,
        waves,
        seen,
        survey.facts,
        artifacts=ready.context.chosen.values(),
        hosts=tuple(host.name for host in ready.ready),
        provided=prepared.secrets,
    )


async def former(survey: Survey, plan: Plan) -> dict[str, Before]:
    """What is in the small text files that the plan would change, by step id; reads only."""
    planned: defaultdict[str, list[PlannedStep]] = defaultdict(list)
    for wave in plan.waves:
        for one in wave.steps:
            planned[one.step.host].append(one)
    hosts = [name for name in planned if name in survey.sessions]
    told = await asyncio.gather(*(former_texts(survey.sessions[name], planned[name]) for name in hosts))
    return {step: before for one in told for step, before in one.items()}


def _without_files(prepared: Prepared, ready: Preflight) -> tuple[Diagnostic, ...]:
    """SB104 for hosts of which everything was accepted, even that a file is missing: no step can be written for them."""
    whole = {host.name for host in complete(prepared, ready.context)}
    lacking = [host.name for host in ready.ready if host.name not in whole]
    if not lacking:
        return ()
    return (
        Diagnostic(
            "SB104",
            f"nothing can be planned for {fold(lacking)}: a file that it needs is missing",
            host=lacking[0],
            also=tuple(lacking[1:]),
            hints=(
                "the finding may be ignored in `check`, and the file is needed all the same: put it there",
            ),
        ),
    )


async def observed(
    prepared: Prepared,
    survey: Survey,
    waves: Sequence[Wave],
    *,
    sink: Sink,
    clock: Clock = time.monotonic,
    secrets: Secrets | None = None,
) -> dict[str, Observation] | tuple[Diagnostic, ...]:
    """What the hosts answer to the checks of these steps, by step id; or why not all of them did.

    Steps on the controller are asked there; `secrets` is called only where such a question needs one.
    """
    start = clock()
    steps: defaultdict[str, list[Step]] = defaultdict(list)
    for wave in waves:
        for step in wave.steps:
            steps[step.host].append(step)
    needed = any(s.check is not None and s.file_secrets for mine in steps.values() for s in mine)
    known = secrets() if needed and secrets is not None else SecretStore(Redactor())
    if isinstance(known, tuple):
        return known
    seen: dict[str, Observation] = {}
    lost: list[Diagnostic] = []

    async def one(name: str) -> None:
        sink(StageStarted(at=clock() - start, host=name, stage="observe"))
        answer = await _answers(prepared, survey, prepared.inventory.host(name), steps[name], known)
        if isinstance(answer, Diagnostic):
            lost.append(answer)
            sink(Found(at=clock() - start, diagnostic=answer))
        else:
            seen.update(answer)

    async with asyncio.TaskGroup() as group:
        for name in steps:
            group.create_task(one(name))
    return tuple(lost) or seen


async def _answers(
    prepared: Prepared, survey: Survey, host: Host, steps: Sequence[Step], secrets: SecretStore
) -> Mapping[str, Observation] | Diagnostic:
    """The answers of one host, and of the controller to what is done there for it."""
    cluster = prepared.inventory.name
    there = [step for step in steps if step.on == "host"]
    here = [step for step in steps if step.on == "controller"]
    answers: Mapping[str, Observation] | Diagnostic = {}
    if there and host.name not in survey.sessions:
        why = f"the plan contradicts itself: {there[0].id!r} is a step on a host that has no SSH any more"
        return Diagnostic("SB910", why, host=host.name)
    if there:
        answers = await observe(survey.sessions[host.name], there, node_paths(cluster, host))
    if isinstance(answers, Diagnostic) or all(step.check is None for step in here):
        return answers
    place = desk()
    session = place.session(host)
    try:
        more = await observe_here(session, here, place.paths(cluster, host), secrets)
    finally:
        await session.close()
    return more if isinstance(more, Diagnostic) else {**answers, **more}


def unknown_part(prepared: Prepared, context: Context) -> Diagnostic | None:
    """SB639 for a part that was asked for and that the desired state does not have."""
    every = prepared.driver.waves(context)
    known = list(dict.fromkeys(name for wave in every for name in (wave.part or wave.id, wave.id)))
    for name in prepared.only:
        if name not in known:
            close = closest(name, known)
            hint = f"did you mean `{close}`?" if close else f"there are: {', '.join(known) or 'none'}"
            return Diagnostic("SB639", f"nothing of this cluster is called {name!r}", hints=(hint,))
    return None
