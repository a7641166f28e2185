"""Reach every host at once and learn what it is: one connection and one round trip for each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from sealboot.drivers.base import Wants
from sealboot.engine.shell import node_paths
from sealboot.model.arch import Arch
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.events import FactsGathered, Found, Sink, StageStarted
from sealboot.model.facts import Facts
from sealboot.model.host import Host
from sealboot.probe import gather
from sealboot.transport.base import Connector, Session
from sealboot.workflow import silent
from sealboot.workflow.controller import controller_facts
from sealboot.workflow.prepare import Prepared

#: What the engine itself makes use of where a host has it.
TOOLS = ("flock", "setsid", "sha256sum", "openssl", "systemctl", "rc-service", "sync", "stat", "timeout")

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Survey:
    """What the hosts said. A host is in `sessions` and `facts`, or has an error in `diagnostics`.

    A host without SSH that answers elsewhere has (assumed) facts and no session. `controller` is what
    this machine is, where a slot asks for that.
    """

    facts: Mapping[str, Facts]
    sessions: Mapping[str, Session]
    diagnostics: tuple[Diagnostic, ...]
    controller: Facts | None = None


def wants_of(prepared: Prepared, host: Host) -> Wants:
    """What to ask a host: the driver's wishes and the engine's own."""
    wants = prepared.driver.wants(host, prepared.options)
    state = node_paths(prepared.inventory.name, host).state
    return replace(
        wants,
        directories=tuple(dict.fromkeys((*wants.directories, state))),
        tools=tuple(dict.fromkeys((*wants.tools, *TOOLS))),
    )


def _name(arch: Arch | None) -> str:
    return arch.value if arch else "unknown"


async def survey(
    prepared: Prepared,
    connector: Connector,
    *,
    jobs: int,
    timeout: float,  # noqa: ASYNC109 (the host gets the deadline too)
    sink: Sink,
    clock: Clock = time.monotonic,
) -> Survey:
    """Connect to all selected hosts, at most `jobs` at once, and probe each within `timeout` seconds.

    One host never delays another beyond the shared `jobs`. Sessions stay open:
    they serve the observation and the apply that may follow.
    """
    start = clock()
    gate = asyncio.Semaphore(jobs)
    sessions: dict[str, Session] = {}
    facts: dict[str, Facts] = {}
    found: list[Diagnostic] = []

    def note(diagnostic: Diagnostic, host: Host) -> None:
        placed = diagnostic.located(host.origin())
        found.append(placed)
        sink(Found(at=clock() - start, diagnostic=placed))

    def know(gathered: Facts) -> None:
        facts[gathered.host] = gathered
        sink(
            FactsGathered(
                at=clock() - start,
                host=gathered.host,
                arch=_name(gathered.kernel_arch),
                userland=_name(gathered.userland_arch),
            )
        )

    async def one(host: Host) -> None:
        gathered: Facts | Diagnostic | None
        async with gate:
            sink(StageStarted(at=clock() - start, host=host.name, stage="connect"))
            session = await connector.connect(host.name)
            if isinstance(session, Diagnostic):
                gathered, told = await silent.ask(prepared, connector, host, session)
                note(told, host)
                if gathered is not None:
                    know(gathered)
                return
            sink(StageStarted(at=clock() - start, host=host.name, stage="probe"))
            gathered = await gather(
                session, wants_of(prepared, host), timeout=timeout, become=host.become.method
            )
        if isinstance(gathered, Diagnostic):
            await session.close()
            note(gathered, host)
            return
        sessions[host.name] = session
        know(gathered)

    async with asyncio.TaskGroup() as group:
        here = group.create_task(controller_facts(prepared.slots, timeout=timeout))
        for host in prepared.selected:
            group.create_task(one(host))
    order = {host.name: number for number, host in enumerate(prepared.selected)}
    found.sort(key=lambda d: (d.severity is not Severity.ERROR, order.get(d.host or "", -1)))
    return Survey(
        facts={h.name: facts[h.name] for h in prepared.selected if h.name in facts},
        sessions=sessions,
        diagnostics=tuple(found),
        controller=here.result(),
    )
