"""How an apply ended: one row for each host, the findings, the totals, and how to go on."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from sealboot.model.diagnostic import Severity
from sealboot.model.names import fold
from sealboot.model.outcome import HostOutcome
from sealboot.model.report import AppliedHost, ApplyReport
from sealboot.model.words import plural
from sealboot.render.check import FOLD_ABOVE
from sealboot.render.findings import block
from sealboot.render.table import table
from sealboot.render.text import human_bytes, human_seconds, safe

_STYLE = {
    HostOutcome.OK: "sb.ok",
    HostOutcome.CHANGED: "sb.change",
    HostOutcome.SKIPPED: "sb.dim",
}


#: What may be over when the same command is run again: a connection, a lock, a deadline.
_PASSES = frozenset({"SB201", "SB502", "SB505", "SB506", "SB507", "SB510", "SB514", "SB524"})


def closing(report: ApplyReport) -> str:
    """How to go on, as it follows from how the run ended; empty where nothing is left to do."""
    outcomes = {host.outcome for host in report.hosts}
    errors = {d.code for d in report.diagnostics if d.severity is Severity.ERROR}
    if HostOutcome.FAILED in outcomes and errors - _PASSES:
        return "Correct what failed and run the same command again: it goes on from there."
    stopped = {HostOutcome.FAILED, HostOutcome.UNKNOWN, HostOutcome.UNREACHABLE}
    if report.interrupted or outcomes & stopped or "SB510" in errors:
        return "Run the same command again: it goes on where this one stopped."
    if HostOutcome.SKIPPED in outcomes and "SB505" in errors:
        return "Run the same command again once the lock is free."
    return "The skipped hosts were left as they were." if HostOutcome.SKIPPED in outcomes else ""


def _cells(host: AppliedHost) -> tuple[str, str, Text, str, str]:
    outcome = Text(host.outcome.value, style=_STYLE.get(host.outcome, "sb.error"))
    steps = plural(host.changed, "step") if host.changed else "-"
    return safe(host.role), steps, outcome, human_bytes(host.sent) if host.sent else "-", ""


def _table(report: ApplyReport) -> RenderableType:
    rows: list[tuple[str, str, Text, str, str, str]] = []
    if len(report.hosts) > FOLD_ABOVE:
        groups: defaultdict[tuple[str, HostOutcome, int, int], list[AppliedHost]] = defaultdict(list)
        for host in report.hosts:
            groups[host.role, host.outcome, host.changed, host.sent].append(host)
        members = [(fold([h.host for h in hosts]), hosts) for hosts in groups.values()]
    else:
        members = [(host.host, [host]) for host in report.hosts]
    for name, hosts in members:
        role, steps, outcome, sent, _ = _cells(hosts[0])
        longest = max(h.seconds for h in hosts)
        rows.append((safe(name), role, outcome, steps, sent, human_seconds(longest) if longest else "-"))
    return table(("HOST", "ROLE", "OUTCOME", "CHANGED", "SENT", "TIME"), rows)


def totals(report: ApplyReport) -> Text:
    """`4 changed, 1 failed. 12 steps changed something, 48 MiB sent. (41.0s)`."""
    count = Counter(h.outcome for h in report.hosts)
    words = ", ".join(f"{count[o]} {o.value}" for o in HostOutcome if count[o]) or "no hosts"
    good = set(count) <= {HostOutcome.OK, HostOutcome.CHANGED}
    if report.changed == 0 and good:
        text = f"{words}. Nothing to do: 0 changes, 0 bytes sent. ({human_seconds(report.seconds)})"
    else:
        text = (
            f"{words}. {plural(report.changed, 'step')} changed something, "
            f"{human_bytes(report.sent)} sent. ({human_seconds(report.seconds)})"
        )
    return Text(text, style="sb.ok" if good else "sb.error")


def document(report: ApplyReport, width: int) -> Iterator[RenderableType]:
    """The whole report, top to bottom."""
    yield Text()
    yield _table(report)
    if report.diagnostics:
        yield Text()
        yield block(report.diagnostics, width)
    yield Text()
    if report.interrupted:
        yield Text(f"Stopped by {safe(report.interrupted)}.", style="sb.warning")
    yield totals(report)
    if sentence := closing(report):
        yield Text(sentence, style="sb.hint")
