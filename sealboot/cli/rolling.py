"""What `sealboot rollback` does: look, plan, ask, put back."""

from __future__ import annotations

from dataclasses import replace

from sealboot.cli import runtime
from sealboot.cli.applying import Wishes, carry
from sealboot.cli.exits import Exit, of_apply, of_findings, strongest
from sealboot.cli.options import Reading
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.outcome import HostOutcome
from sealboot.model.plan import Plan
from sealboot.model.report import AppliedHost, ApplyReport, PlanReport
from sealboot.render.view import View
from sealboot.workflow.prepare import Prepared
from sealboot.workflow.rollback import Former, KeptById, is_kept, programs

COMMAND = "rollback"


async def roll_back(
    options: Reading, prepared: Prepared, view: View, wishes: Wishes, named: tuple[str, ...]
) -> Exit:
    """Everything from the first connection to the exit code.

    The programs in binaries/ are not read, and what else is wrong with the files or the hosts is no
    reason against a rollback: it may be the way out of just that.
    """
    slots = programs(prepared, named)
    if isinstance(slots, Diagnostic):
        view.diagnostics(COMMAND, [slots])
        return of_findings([slots])
    others = tuple(slot for slot in prepared.slots if not is_kept(slot))
    async with runtime.look(options, replace(prepared, slots=others), view, command=COMMAND) as looked:
        former = Former(prepared, looked.survey, looked.preflight.context_all, slots)
        unreached = [d for d in looked.errors if d.code.startswith("SB2") or d.code == "SB303"]
        out = {d.host for d in unreached}
        kept, refused = await former.look()
        wrong = (*unreached, *(d for d in refused if d.host not in out))
        out |= {d.host for d in refused}
        kept = {name: one for name, one in kept.items() if one.step.host not in out}
        if wrong and not (wishes.ready_only and kept):
            view.diagnostics(COMMAND, wrong)
            return runtime.finish(view, looked, of_findings(wrong))
        made = await former.plan(kept, sink=looked.sink)
        if isinstance(made, tuple):
            view.diagnostics(COMMAND, made)
            return runtime.finish(view, looked, of_findings(made))
        view.plan(PlanReport(made, wrong, looked.seconds, wishes.shown), final=wishes.dry)
        if wishes.dry:
            return runtime.finish(view, looked, of_findings(wrong))
        report = await _carried(made, prepared, looked, view, wishes, options=options)
        if report is None:
            return runtime.finish(view, looked, Exit.REFUSED)
        if isinstance(report, tuple):
            return runtime.finish(view, looked, of_findings(report))
        left = tuple(h for h in _left_out(prepared, looked) if h.host not in made.hosts)
        report = replace(report, hosts=(*report.hosts, *left))
        view.applied(report, told=wrong)
        _tell(view, kept, report)
        code = of_apply(report)
        code = code if code >= Exit.SIGINT else strongest([code, of_findings(wrong)])
        return runtime.finish(view, looked, code)


async def _carried(
    made: Plan,
    prepared: Prepared,
    looked: runtime.Looked,
    view: View,
    wishes: Wishes,
    *,
    options: Reading,
) -> ApplyReport | tuple[Diagnostic, ...] | None:
    """The report; findings that were told; or `None` when the operator did not agree."""
    if made.changes == 0:
        roles = {h.name: h.role for h in prepared.selected}
        rows = tuple(AppliedHost(name, roles[name], HostOutcome.OK) for name in made.hosts)
        return ApplyReport(made.cluster, rows, (), looked.seconds, command=COMMAND)
    secrets = looked.secrets.all_of(prepared.secrets)
    if isinstance(secrets, tuple):
        view.diagnostics(COMMAND, secrets)
        return secrets
    refused = ""
    if not wishes.yes:
        if not runtime.may_ask(options):
            refused = "No terminal to ask on: nothing was changed. Say --yes."
        elif not runtime.confirm("Put these back?"):
            refused = "Nothing was changed."
    if refused:
        view.message(refused, always=True)
        return None
    return await carry(made, prepared, looked, wishes, options, secrets=secrets, settles=False)


def _left_out(prepared: Prepared, looked: runtime.Looked) -> tuple[AppliedHost, ...]:
    reached = looked.survey.facts
    return tuple(
        AppliedHost(
            host.name, host.role, HostOutcome.SKIPPED if host.name in reached else HostOutcome.UNREACHABLE
        )
        for host in prepared.selected
    )


def _tell(view: View, kept: KeptById, report: ApplyReport) -> None:
    """What a second rollback does, and what the next apply will do: both surprise whoever does not know."""
    if report.changed == 0 and all(one.done for one in kept.values()):
        view.message("These were put back before; a rollback is not undone by another one.")
    view.message(
        "The next apply ships the files of the inventory again: put the former ones there to stay with them."
    )
