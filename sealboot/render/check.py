"""The report of `check`: a table of hosts, the findings, one line of totals; and the matrix."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.text import Text

from sealboot.model.arch import Arch
from sealboot.model.artifact import Artifact
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.names import fold
from sealboot.model.report import CheckReport, HostRow
from sealboot.model.verdict import Outcome
from sealboot.model.words import plural
from sealboot.render.findings import block, title_of
from sealboot.render.table import table
from sealboot.render.text import human_seconds, safe

#: With more hosts than this, rows that differ only in the host's name fold into one.
FOLD_ABOVE = 20


def describe_artifact(artifact: Artifact | None) -> str:
    """What the bytes are, in a word or two: `x86-64`, `script`, `x86-64, verified`."""
    if artifact is None:
        return "-"
    elf = artifact.elf
    what = artifact.kind.value
    if elf is not None:
        what = elf.arch.field_name if elf.arch else f"ELF machine {elf.machine:#x}"
    return f"{what}, verified" if artifact.verified else what


def _common_folder(artifacts: Sequence[Artifact]) -> str:
    """The folder that all files lie in, with its slash; empty when there is none."""
    folders = [a.path.rpartition("/")[0] for a in artifacts]
    common = posixpath.commonpath(folders) if folders and all(folders) else ""
    return f"{common}/" if common.strip("/") else ""


def _artifact_cell(path: str, artifacts: dict[str, Artifact], folder: str) -> str:
    return f"{safe(path.removeprefix(folder))} ({describe_artifact(artifacts.get(path))})"


def _result(row: HostRow, findings: Sequence[Diagnostic]) -> Text:
    errors = [d for d in findings if d.severity is Severity.ERROR]
    if errors:
        more = f" (+{len(errors) - 1})" if len(errors) > 1 else ""
        return Text(f"{errors[0].code} {title_of(errors[0].code)}{more}", style="sb.error")
    if row.status != "ok":
        return Text(row.status.replace("-", " "), style="sb.error")
    warnings = [d for d in findings if d.severity is Severity.WARNING]
    if warnings:
        return Text(f"ok, {warnings[0].code} {title_of(warnings[0].code)}", style="sb.warning")
    return Text("ok", style="sb.ok")


def _rows(report: CheckReport) -> Iterator[tuple[str, tuple[str, str, str], Text]]:
    artifacts = {a.path: a for a in report.artifacts}
    folder = _common_folder(report.artifacts)
    findings: defaultdict[str, list[Diagnostic]] = defaultdict(list)
    for diagnostic in report.diagnostics:
        for host in (diagnostic.host, *diagnostic.also):
            if host is not None:
                findings[host].append(diagnostic)
    for row in report.hosts:
        chosen = ", ".join(_artifact_cell(p, artifacts, folder) for p in row.artifacts.values()) or "-"
        arch = row.arch or "?"
        if row.userland and row.userland != row.arch:
            arch += f"/{row.userland}"
        if row.assumed:
            arch += " (assumed)"
        yield row.host, (row.role, arch, chosen), _result(row, findings[row.host])


def hosts_table(report: CheckReport) -> RenderableType:
    """One row for each host, folded where there are many."""
    rows = list(_rows(report))
    if len(rows) > FOLD_ABOVE:
        groups: defaultdict[tuple[tuple[str, str, str], str, str], list[str]] = defaultdict(list)
        styles = {}
        for host, cells, result in rows:
            key = (cells, result.plain, str(result.style))
            groups[key].append(host)
            styles[key] = result
        rows = [(fold(hosts), key[0], styles[key]) for key, hosts in groups.items()]
    return table(
        ("HOST", "ROLE", "ARCH", "ARTIFACT", "RESULT"),
        [(safe(host), safe(role), safe(arch), chosen, result) for host, (role, arch, chosen), result in rows],
    )


_MATRIX_STYLE = {Outcome.RUNS: "sb.ok", Outcome.EMULATED: "sb.warning", Outcome.CANNOT: "sb.error"}


def matrix_table(report: CheckReport) -> RenderableType:
    """Every artifact against every host; a cell is the outcome, or the code of the one reason."""
    cells = {(v.artifact, v.host): v for v in report.pairs}
    hosts = [h for h in report.hosts if any(v.host == h.host for v in report.pairs)]
    rows = []
    for artifact in report.artifacts:
        row: list[Text | str] = [f"{safe(artifact.path)} ({describe_artifact(artifact)})"]
        for host in hosts:
            verdict = cells.get((artifact.path, host.host))
            if verdict is None:
                row.append("-")
            else:
                word = {Outcome.RUNS: "runs", Outcome.EMULATED: "emulated"}.get(verdict.outcome)
                row.append(Text(word or verdict.reason or "no", style=_MATRIX_STYLE[verdict.outcome]))
        rows.append(row)
    return table(("ARTIFACT", *(f"{safe(h.host)} {safe(h.arch or '?')}" for h in hosts)), rows)


def headline(report: CheckReport) -> Text:
    """What was looked at."""
    driver = f"driver {report.driver}" + (f" {report.release}" if report.release else "")
    folder = _common_folder(report.artifacts)
    place = f" from {safe(folder)}" if folder else ""
    return Text(
        f"{plural(len(report.hosts), 'host')} from {safe(report.source)}, "
        f"{plural(len(report.artifacts), 'artifact')}{place}, {safe(driver)}",
        style="sb.head",
    )


def totals(report: CheckReport) -> Text:
    """`2 ok, 1 cannot run, 2 not reached. Nothing was changed. (4.1s)`."""
    ok = sum(h.status == "ok" for h in report.hosts)
    failed = sum(h.status == "failed" for h in report.hosts)
    away = sum(h.status == "not-reached" for h in report.hosts)
    parts = [f"{ok} ok"]
    if failed:
        parts.append(f"{failed} failed")
    if away:
        parts.append(f"{away} not reached")
    text = f"{', '.join(parts)}. Nothing was changed. ({human_seconds(report.seconds)})"
    return Text(text, style="sb.ok" if ok == len(report.hosts) and ok else "sb.error")


def document(report: CheckReport, width: int) -> Iterator[RenderableType]:
    """The whole report, top to bottom."""
    yield headline(report)
    yield Text()
    yield hosts_table(report)
    if report.matrix:
        yield Text()
        yield matrix_table(report)
    if report.diagnostics:
        yield Text()
        yield block(report.diagnostics, width)
    yield Text()
    yield totals(report)
    first = next((d.code for d in report.diagnostics if d.severity is Severity.ERROR), None)
    if first:
        yield Text(f"More: sealboot explain {first}", style="sb.dim")


def arch_label(arch: Arch | None) -> str:
    """`arm64 (aarch64)`, or `unknown`."""
    return arch.both_names if arch else "unknown"
