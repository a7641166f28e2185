"""The deed: look, plan, ask, run; and two stages of interrupting it."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sealboot.cli import runtime
from sealboot.cli.disks import consent_to
from sealboot.cli.exits import Exit, of_apply, of_findings, strongest
from sealboot.cli.options import Reading
from sealboot.engine.journal import unfinished
from sealboot.engine.options import ApplyOptions
from sealboot.engine.run import Engine
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.host import Host
from sealboot.model.outcome import HostOutcome
from sealboot.model.plan import Plan
from sealboot.model.report import AppliedHost, ApplyReport, PlanReport
from sealboot.model.secret import Secret
from sealboot.plan.planfile import load, stale
from sealboot.render.view import View
from sealboot.workflow import planning
from sealboot.workflow.desk import desk
from sealboot.workflow.prepare import Prepared

#: Seconds after which a stopped apply leaves even without its summary; the engine itself needs fewer.
STOP_LIMIT = 10.0


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the operator asked of this apply, or of another command that carries out a plan.

    `consent` asks instead of the usual question, and returns why nothing may be changed. `notes` are
    findings from before the hosts were looked at; `dry` stops where the plan was shown. `disks` are the
    hosts whose disks may be overwritten without a question, `ignore` the codes of findings that are accepted.
    """

    planfile: Path | None = None
    yes: bool = False
    ready_only: bool = False
    max_failures: int = 0
    uploads: int = 8
    lock_timeout: float = 0.0
    accept_new: bool = False
    command: str = "apply"
    dry: bool = False
    consent: Callable[[Reading], str] | None = None
    notes: tuple[Diagnostic, ...] = ()
    disks: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """What the document of the plan is called: as the command, where it is all that the command prints."""
        return self.command if self.dry else "plan"


def carry_out(options: Reading, prepared: Prepared, view: View, wishes: Wishes) -> Exit:
    """Everything from the first connection to the exit code."""
    saved: Plan | None = None
    if wishes.planfile is not None:
        loaded = load(wishes.planfile)
        if isinstance(loaded, Diagnostic):
            runtime.refuse(view, wishes.command, [loaded], Exit.USAGE)
        saved = loaded
        chosen = tuple(h for h in prepared.selected if h.name in saved.hosts)
        prepared = replace(prepared, selected=chosen)
    return runtime.run_async(_apply(options, prepared, view, wishes, saved), view)


async def _apply(
    options: Reading, prepared: Prepared, view: View, wishes: Wishes, saved: Plan | None
) -> Exit:
    looking = runtime.look(
        options,
        prepared,
        view,
        command=wishes.command,
        accept_new=wishes.accept_new,
        ignore=wishes.ignore,
    )
    async with looking as looked:
        ready = looked.preflight.ready
        if looked.errors and not (wishes.ready_only and ready):
            view.check(looked.preflight.report)
            return runtime.finish(view, looked, of_findings(looked.errors))
        if looked.errors:
            view.check(looked.preflight.report, final=False)
            view.message(f"--ready-only: going on with {', '.join(h.name for h in ready)}")
        made = await planning.make(
            prepared, looked.survey, looked.preflight, sink=looked.sink, secrets=looked.store
        )
        if isinstance(made, tuple):
            view.diagnostics(wishes.command, made)
            return runtime.finish(view, looked, of_findings(made))
        moved = stale(saved, made) if saved is not None else ()
        if moved:
            view.diagnostics(wishes.command, moved)
            return runtime.finish(view, looked, of_findings(moved))
        found = (*wishes.notes, *looked.preflight.report.diagnostics)
        warnings = tuple(d for d in found if d.severity is not Severity.ERROR)
        owed = () if wishes.dry else await _owed(made, looked, ready)
        before = await planning.former(looked.survey, made)
        report = PlanReport(
            made, warnings, looked.seconds, wishes.shown, unfinished=bool(owed), before=before
        )
        view.plan(report, final=wishes.dry)
        if wishes.dry:
            return runtime.finish(view, looked, of_findings(looked.errors))
        left_out = _left_out(looked)
        if owed:
            view.diagnostics(wishes.command, owed, final=False)
        if made.changes == 0 and not owed:
            nothing = replace(_nothing(made, prepared, looked, left_out), command=wishes.command)
            view.applied(nothing, told=looked.errors)
            return runtime.finish(view, looked, _code(nothing, looked.errors))
        secrets = looked.secrets.all_of(prepared.secrets)
        if isinstance(secrets, tuple):
            view.diagnostics(wishes.command, secrets)
            return runtime.finish(view, looked, of_findings(secrets))
        refused = consent_to(made.destroyed, options, wishes.disks) or _consent(options, wishes)
        if refused:
            view.message(refused, always=True)
            return runtime.finish(view, looked, Exit.REFUSED)
        done = await carry(
            made, prepared, looked, wishes, options, secrets=secrets, settles=not prepared.only
        )
        done = replace(done, hosts=(*done.hosts, *left_out))
        view.applied(done, told=looked.errors)
        return runtime.finish(view, looked, _code(done, looked.errors))


async def _owed(plan: Plan, looked: runtime.Looked, ready: Sequence[Host]) -> tuple[Diagnostic, ...]:
    """What cut-off runs left to be done, by the journals of the hosts and by those kept here for them."""
    hosts = {h.name: h for h in ready}
    sessions = {name: made for name, made in looked.survey.sessions.items() if name in hosts}
    owed = await unfinished(sessions, plan.cluster, hosts)
    place = desk()
    here = {
        planned.step.host: place.session(hosts[planned.step.host])
        for wave in plan.waves
        for planned in wave.steps
        if planned.step.on == "controller" and planned.step.host in hosts
    }
    try:
        return (*owed, *await unfinished(here, plan.cluster, hosts, place.paths))
    finally:
        await asyncio.gather(*(session.close() for session in here.values()))


def _consent(options: Reading, wishes: Wishes) -> str:
    """Why nothing may be changed; empty when the operator agrees."""
    if wishes.consent is not None:
        return wishes.consent(options)
    if wishes.yes or wishes.planfile is not None:
        return ""
    if not runtime.may_ask(options):
        return "No terminal to ask on: nothing was changed. Say --yes, or save a plan and apply that."
    return "" if runtime.confirm("Apply these changes?") else "Nothing was changed."


def _left_out(looked: runtime.Looked) -> tuple[AppliedHost, ...]:
    """The hosts that `--ready-only` passes over, each with its outcome."""
    ready = {h.name for h in looked.preflight.ready}
    return tuple(
        AppliedHost(
            row.host,
            row.role,
            HostOutcome.UNREACHABLE if row.status == "not-reached" else HostOutcome.SKIPPED,
        )
        for row in looked.preflight.report.hosts
        if row.host not in ready
    )


def _nothing(
    plan: Plan, prepared: Prepared, looked: runtime.Looked, left_out: Sequence[AppliedHost]
) -> ApplyReport:
    roles = {h.name: h.role for h in prepared.selected}
    hosts = tuple(AppliedHost(name, roles[name], HostOutcome.OK) for name in plan.hosts)
    return ApplyReport(plan.cluster, (*hosts, *left_out), (), looked.seconds)


def _code(report: ApplyReport, errors: Sequence[Diagnostic]) -> Exit:
    """The run's own code; hosts that were left out count as the findings that kept them out."""
    code = of_apply(report)
    return code if code >= Exit.SIGINT else strongest([code, of_findings(errors)])


async def carry(
    plan: Plan,
    prepared: Prepared,
    looked: runtime.Looked,
    wishes: Wishes,
    options: Reading,
    *,
    secrets: Mapping[str, Secret],
    settles: bool = True,
) -> ApplyReport:
    """Have the engine carry the plan out, through two stages of interrupting it."""
    engine = Engine()
    loop = asyncio.get_running_loop()
    timers: list[threading.Timer] = []

    def interrupted(number: signal.Signals) -> None:
        (engine.abort if timers else engine.stop)(number.name)
        code = Exit.SIGTERM if number is signal.SIGTERM else Exit.SIGINT
        timers.append(runtime.last_resort(code, STOP_LIMIT))

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupted, number)
    try:
        report = await engine.apply(
            plan,
            looked.survey.sessions,
            hosts={h.name: h for h in prepared.inventory.hosts},
            facts=looked.survey.facts,
            sink=looked.sink,
            options=ApplyOptions(
                max_failures=wishes.max_failures,
                jobs=options.jobs,
                uploads=wishes.uploads,
                lock_timeout=wishes.lock_timeout,
                planned_since=time.time() - looked.seconds,
                base=Path(prepared.inventory.base),
                command=wishes.command,
                settles=settles,
            ),
            redactor=looked.redactor,
            secrets=secrets,
            reconnect=looked.connector.connect,
            knock=looked.connector.knock,
            desk=desk(),
        )
        return replace(report, seconds=looked.seconds, command=wishes.command)
    finally:
        for timer in timers:
            timer.cancel()
