"""From hosts that are ready to a plan: the driver's desired state minus what the hosts answered."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping

from sealboot.engine.observe import observe
from sealboot.engine.shell import node_paths
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.events import Found, Sink, StageStarted
from sealboot.model.plan import Observation, Plan, Step
from sealboot.plan.build import make_plan
from sealboot.workflow.preflight import Preflight
from sealboot.workflow.prepare import Prepared
from sealboot.workflow.survey import Clock, Survey


async def make(
    prepared: Prepared, survey: Survey, ready: Preflight, *, sink: Sink, clock: Clock = time.monotonic
) -> Plan | tuple[Diagnostic, ...]:
    """Ask every ready host how much of the desired state it has, and plan the rest.

    Reads only. A host that stops answering is a finding, and then there is no plan.
    """
    start = clock()
    waves = prepared.driver.waves(ready.context)
    steps: defaultdict[str, list[Step]] = defaultdict(list)
    for wave in waves:
        for step in wave.steps:
            steps[step.host].append(step)
    seen: dict[str, Observation] = {}
    lost: list[Diagnostic] = []

    async def one(name: str) -> None:
        sink(StageStarted(at=clock() - start, host=name, stage="observe"))
        paths = node_paths(prepared.inventory.name, prepared.inventory.host(name))
        answer: Mapping[str, Observation] | Diagnostic = await observe(
            survey.sessions[name], steps[name], paths
        )
        if isinstance(answer, Diagnostic):
            lost.append(answer)
            sink(Found(at=clock() - start, diagnostic=answer))
        else:
            seen.update(answer)

    async with asyncio.TaskGroup() as group:
        for name in steps:
            group.create_task(one(name))
    if lost:
        return tuple(lost)
    return make_plan(
        prepared.inventory,
        waves,
        seen,
        survey.facts,
        artifacts=ready.context.chosen.values(),
        hosts=tuple(host.name for host in ready.ready),
    )
