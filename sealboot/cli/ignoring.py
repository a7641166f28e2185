"""`--ignore CODE`: findings that the operator accepts for one run, within the same limits as the inventory's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sealboot.diagnostics import codes
from sealboot.diagnostics.promises import NEVER_IGNORED
from sealboot.model.diagnostic import Severity
from sealboot.model.report import CheckReport, HostRow
from sealboot.workflow.preflight import Preflight


def unknown_codes(given: Sequence[str]) -> str:
    """What is wrong with these codes, or nothing."""
    for code in given:
        if code in NEVER_IGNORED:
            return f"{code} cannot be ignored"
        if code not in codes():
            return f"there is no code {code!r}; see `sealboot explain`"
    return ""


def accepted(found: Preflight, given: Sequence[str]) -> Preflight:
    """What was found, with these findings demoted to notes; hosts that have no other error are ready."""
    if not given:
        return found
    report = ignored(found.report, given)
    ok = {row.host for row in report.hosts if row.status == "ok"}
    ready = tuple(host for host in found.context_all.selected if host.name in ok)
    return replace(found, report=report, ready=ready, context=replace(found.context, selected=ready))


def ignored(report: CheckReport, given: Sequence[str]) -> CheckReport:
    """The report with these findings demoted to notes, and hosts that have no other error made ok."""
    if not given:
        return report
    diagnostics = tuple(
        replace(d, severity=Severity.NOTE, notes=(*d.notes, "ignored by --ignore")) if d.code in given else d
        for d in report.diagnostics
    )
    wrong = {h for d in diagnostics if d.severity is Severity.ERROR for h in (d.host, *d.also)}

    def row(host: HostRow) -> HostRow:
        return replace(host, status="ok") if host.status == "failed" and host.host not in wrong else host

    return replace(report, diagnostics=diagnostics, hosts=tuple(row(h) for h in report.hosts))
