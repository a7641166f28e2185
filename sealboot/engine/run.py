"""Apply a plan: lock every host, walk the waves, and say how each host ended."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import random
import secrets as randomness
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any

from sealboot.engine.bus import Bus
from sealboot.engine.context import Reconnect, SecretStore, Sources, Work
from sealboot.engine.desk import Desk
from sealboot.engine.hostrun import HostRun
from sealboot.engine.lock import Claim, Holder, busy, take
from sealboot.engine.options import ApplyOptions, Shared
from sealboot.engine.shell import NodePaths, node_paths
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.events import RunStopping, Sink, StageStarted, WaveStarted
from sealboot.model.facts import Facts
from sealboot.model.host import Host
from sealboot.model.outcome import HostOutcome
from sealboot.model.plan import Plan, PlannedWave
from sealboot.model.report import AppliedHost, ApplyReport
from sealboot.model.secret import Redactor, Secret
from sealboot.model.steps import Step
from sealboot.transport.base import Hold, Knock, Session

#: Seconds that letting go of the locks may take: they free themselves with the connections anyway.
RELEASE_TIMEOUT = 1.0
#: Seconds that a cancelled task gets to notice.
CANCEL_TIMEOUT = 0.15


class Engine:
    """Applies one plan. `stop` and `abort` may be called from a signal handler of the event loop."""

    def __init__(self) -> None:
        self._shared: Shared | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._abort = asyncio.Event()
        self._stop = asyncio.Event()
        self._given_up = asyncio.Event()
        self._interrupted = ""

    def stop(self, reason: str = "") -> None:
        """Start no new step and let the running ones end (at most `grace` seconds). `reason`: the signal."""
        self._interrupted = self._interrupted or reason
        self._stop.set()
        if self._shared is not None:
            self._shared.stopping.set()

    def abort(self, reason: str = "") -> None:
        """Stop at once; a step that runs now ends as unknown."""
        self.stop(reason)
        self._abort.set()

    async def apply(
        self,
        plan: Plan,
        sessions: Mapping[str, Session],
        *,
        hosts: Mapping[str, Host],
        facts: Mapping[str, Facts],
        sink: Sink,
        options: ApplyOptions,
        redactor: Redactor,
        secrets: Mapping[str, Secret] | None = None,
        reconnect: Reconnect | None = None,
        knock: Knock | None = None,
        desk: Desk | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> ApplyReport:
        """Carry the plan out on every host that has a session, or steps on the controller alone.

        Nothing is changed before the locks of all hosts are held (SB505 when
        one is not to be had within `lock_timeout`). Every host of the plan is
        in the report with exactly one outcome. `desk` is where steps on the
        controller are done; a host without a session has its lock there.
        """
        run_id = options.run_id or randomness.token_hex(4)
        claim = Claim(run_id, options.who or _who(), options.command)
        shared = Shared(
            bus=Bus(sink, clock=clock),
            options=options,
            claim=claim,
            secrets=SecretStore(redactor, secrets),
            sources=Sources(plan.artifacts, options.planned_since, options.base),
            uploads=asyncio.Semaphore(max(1, options.uploads)),
            reconnect=reconnect,
            knock=knock,
            stopping=self._stop,
        )
        self._shared = shared
        runs = {
            name: made
            for name in plan.hosts
            if name in hosts
            and (
                made := _run(shared, plan, hosts[name], sessions.get(name), facts=facts.get(name), desk=desk)
            )
        }
        beating = asyncio.create_task(self._heartbeat(shared))
        try:
            await self._guarded(self._everything(plan, shared, runs), shared)
        finally:
            beating.cancel()
            for run in runs.values():
                run.settle()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RELEASE_TIMEOUT):
                    await _let_go(runs.values())
                    await asyncio.gather(*(run.leave_desk() for run in runs.values()))
        rows = [_row(name, runs, hosts) for name in plan.hosts]
        return ApplyReport(
            plan.cluster, tuple(rows), tuple(shared.found), shared.bus.now, run_id, self._interrupted
        )

    # -- the way through ----------------------------------------------------------------------------

    async def _everything(self, plan: Plan, shared: Shared, runs: Mapping[str, HostRun]) -> None:
        if not await self._lock_all(shared, runs):
            return
        await self._together(shared, list(runs.values()), None, lambda run: run.begin())
        for number, wave in enumerate(plan.waves, 1):
            if shared.halted:
                break
            shared.bus.emit(
                WaveStarted(
                    at=shared.bus.now, wave=wave.id, title=wave.title, index=number, total=len(plan.waves)
                )
            )
            await self._wave(shared, wave, runs)
        await asyncio.gather(*(run.close_journal() for run in runs.values()))

    async def _wave(self, shared: Shared, wave: PlannedWave, runs: Mapping[str, HostRun]) -> None:
        members = [runs[name] for name in wave.hosts if name in runs and runs[name].outcome is None]
        await self._together(shared, members, wave.parallel, lambda run: run.wave(wave))

    async def _together(
        self,
        shared: Shared,
        runs: Sequence[HostRun],
        parallel: int | None,
        job: Callable[[HostRun], Awaitable[None]],
    ) -> None:
        """Do the same on several hosts, as many at once as allowed, beginning in their order."""
        slots = asyncio.Semaphore(max(1, min(parallel or shared.options.jobs, shared.options.jobs)))

        async def one(run: HostRun) -> None:
            async with slots:
                if not shared.halted and run.outcome is None:
                    await job(run)

        tasks = [asyncio.create_task(one(run), name=run.work.host) for run in runs]
        if not tasks:
            return
        self._tasks = set(tasks)
        given_up = asyncio.create_task(self._given_up.wait())
        try:
            waiting: set[asyncio.Task[Any]] = set(tasks)
            while waiting and not given_up.done():
                _, waiting = await asyncio.wait({*waiting, given_up}, return_when=asyncio.FIRST_COMPLETED)
                waiting.discard(given_up)
        finally:
            for task in (*tasks, given_up):
                task.cancel()
            self._tasks = set()
        for run, task in zip(runs, tasks, strict=True):
            if not task.done() or task.cancelled():
                run.cut()
            else:
                task.result()

    async def _lock_all(self, shared: Shared, runs: Mapping[str, HostRun]) -> bool:
        """The locks of all hosts, or none: whoever does not get all lets go, so nobody waits in a circle."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + shared.options.lock_timeout
        for name in runs:
            shared.bus.emit(StageStarted(at=shared.bus.now, host=name, stage="lock"))
        while True:
            held = await _take_all(shared, runs)
            problems = [problem for problem in held.values() if problem is not None]
            if not problems:
                return True
            waiting = all(p.code == "SB505" for p in problems) and loop.time() < deadline
            if not waiting or shared.halted:
                _not_locked(runs, held)
                return False
            await _let_go(runs.values())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(random.uniform(0.2, 0.6)):  # noqa: S311 (a jitter)
                    await self._stop.wait()

    async def _guarded(self, work: Coroutine[Any, Any, None], shared: Shared) -> None:
        """Await `work`, but not longer than a stop or an abort allows."""
        main = asyncio.create_task(work)
        watch = asyncio.create_task(self._watch(main, shared))
        try:
            await asyncio.wait({main})
            if not main.cancelled():
                main.result()
        finally:
            watch.cancel()
            main.cancel()

    async def _watch(self, main: asyncio.Task[None], shared: Shared) -> None:
        """After a stop: let the grace pass, then cancel what still runs, then no longer wait for it."""
        await self._stop.wait()
        bus, signal, grace = shared.bus, self._interrupted, shared.options.grace
        bus.emit(RunStopping(at=bus.now, signal=signal, grace=grace))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._abort.wait()
        bus.emit(RunStopping(at=bus.now, signal=signal, grace=grace, now=True))
        for task in tuple(self._tasks):
            task.cancel()
        # What cannot even be cancelled (a write into a dead connection) is left behind.
        await asyncio.sleep(CANCEL_TIMEOUT)
        self._given_up.set()
        await asyncio.sleep(CANCEL_TIMEOUT)
        main.cancel()

    async def _heartbeat(self, shared: Shared) -> None:
        every = shared.options.heartbeat
        while True:
            await asyncio.sleep(max(0.05, every - shared.bus.silence))
            if shared.bus.silence >= every:
                shared.bus.heartbeat(sorted(shared.busy.items()))


def _run(
    shared: Shared,
    plan: Plan,
    host: Host,
    session: Session | None,
    *,
    facts: Facts | None,
    desk: Desk | None,
) -> HostRun | None:
    """The way of one host, at the places that it has; `None` where there is nowhere to do anything for it."""
    steps = _steps(plan, host.name)
    here = None
    if desk is not None and (session is None or any(step.on == "controller" for step in steps)):
        here = _work(shared, desk.session(host), desk.paths(plan.cluster, host), None)
    if session is not None:
        there = _work(shared, session, node_paths(plan.cluster, host), facts)
        return HostRun(shared, there, host.role, steps, here)
    if here is not None and all(step.on == "controller" for step in steps):
        return HostRun(shared, here, host.role, steps, here)
    return None


def _work(shared: Shared, session: Session, paths: NodePaths, facts: Facts | None) -> Work:
    return Work(
        session=session,
        paths=paths,
        run=shared.claim.run,
        secrets=shared.secrets,
        sources=shared.sources,
        uploads=shared.uploads,
        progress=lambda step, done, total: shared.bus.progress(step.host, step.id, done, total),
        boot_id=facts.boot_id if facts else "",
        facts=facts,
        claim=shared.claim.text,
        reconnect=shared.reconnect,
        knock=shared.knock,
    )


def _steps(plan: Plan, host: str) -> tuple[Step, ...]:
    return tuple(p.step for wave in plan.waves for p in wave.of(host))


async def _take(shared: Shared, run: HostRun) -> Diagnostic | None:
    for place in run.places:
        held = await take(place.session, place.paths, shared.claim, run.adopted)
        if isinstance(held, Holder):
            return busy(run.work.host, held)
        if isinstance(held, Diagnostic):
            return held
        run.holds.append(held)
    return None


async def _take_all(shared: Shared, runs: Mapping[str, HostRun]) -> dict[str, Diagnostic | None]:
    """Try every host once; what stands against it, by host.

    The first host by name is asked alone: of two runs over the same hosts one
    gets it and the other stops there, so that they never block each other.
    """
    found: dict[str, Diagnostic | None] = {}
    names = sorted(runs)
    for group in (names[:1], names[1:]):
        taken = await asyncio.gather(*(_take(shared, runs[name]) for name in group))
        found |= dict(zip(group, taken, strict=True))
        if any(taken):
            break
    return found


def _not_locked(runs: Mapping[str, HostRun], problems: Mapping[str, Diagnostic | None]) -> None:
    """Nobody was touched: the lost are unreachable, those without a lock are told, all are skipped."""
    for name, run in runs.items():
        gone = run.work.session.lost is not None
        run.end(HostOutcome.UNREACHABLE if gone else HostOutcome.SKIPPED, problems.get(name))


async def _let_go(runs: Iterable[HostRun]) -> None:
    held: list[Hold] = []
    for run in runs:
        held += run.holds
        run.holds.clear()
    await asyncio.gather(*(hold.release() for hold in held), return_exceptions=True)


def _row(name: str, runs: Mapping[str, HostRun], hosts: Mapping[str, Host]) -> AppliedHost:
    if name in runs:
        return runs[name].report()
    role = hosts[name].role if name in hosts else ""
    return AppliedHost(name, role, HostOutcome.UNREACHABLE)


def _who() -> str:
    """The operator as other operators know them: `user@machine, pid N`."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}, pid {os.getpid()}"
