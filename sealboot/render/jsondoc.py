"""Reports as one versioned JSON document, events as JSON lines.

`format` counts breaking changes; new keys may appear at any time. Strings hold
what hosts and files said, escaped to ASCII, so that no terminal is ever moved
by them.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, Literal

from sealboot import __version__
from sealboot.diagnostics import name_of
from sealboot.model.artifact import Artifact, Layer, Other
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.events import Event
from sealboot.model.facts import Facts
from sealboot.model.repack import RepackReport
from sealboot.model.report import (
    ApplyReport,
    CheckReport,
    HostRow,
    InspectReport,
    KubeconfigReport,
    PlanReport,
)
from sealboot.model.verdict import Verdict
from sealboot.render.plandoc import plan_body
from sealboot.render.shape_parts import FORMAT, ArtifactShape, DiagnosticShape, LayerShape
from sealboot.render.shapes import (
    ApplyShape,
    CheckShape,
    Document,
    FactsReportShape,
    FindingsShape,
    HeadShape,
    HostShape,
    InspectShape,
    KubeconfigShape,
    PairShape,
    PlanShape,
    RepackShape,
    ReportEvent,
    RowsShape,
    TextShape,
)

#: One event: its shape follows the value's own fields.
EventShape = dict[str, Any]

_STATUS: dict[str, Literal["ok", "failed", "not_reached"]] = {
    "ok": "ok",
    "failed": "failed",
    "not-reached": "not_reached",
}


def plain(value: object) -> Any:
    """Any frozen value as maps, lists, text and numbers; sets sorted, `None` kept."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, frozenset | set):
        return sorted((plain(v) for v in value), key=str)
    if isinstance(value, tuple | list):
        return [plain(v) for v in value]
    return value


def diagnostic(d: Diagnostic) -> DiagnosticShape:
    """One finding; keys without a value are left out."""
    made: DiagnosticShape = {
        "code": d.code,
        "name": name_of(d.code),
        "severity": d.severity,
        "summary": d.summary,
    }
    if d.host is not None:
        made["host"] = d.host
    if d.also:
        made["also"] = list(d.also)
    if d.artifact is not None:
        made["artifact"] = d.artifact
    if d.at is not None:
        made["at"] = {"file": d.at.file, "line": d.at.line, "column": d.at.column}
    if d.evidence:
        made["evidence"] = dict(d.evidence)
    if d.notes:
        made["notes"] = list(d.notes)
    if d.hints:
        made["hints"] = list(d.hints)
    return made


def _layer(layer: Layer) -> LayerShape:
    if isinstance(layer, Other):
        return {"layer": layer.name, **layer.facts}
    return {"layer": type(layer).__name__.lower(), **plain(layer)}


def artifact(a: Artifact) -> ArtifactShape:
    """One file with its layers."""
    made: ArtifactShape = {
        "path": a.path,
        "kind": a.kind,
        "platforms": list(a.platforms),
        "sha256": a.sha256,
        "size": a.size,
        "layers": [_layer(layer) for layer in a.layers],
        "diagnostics": [diagnostic(d) for d in a.diagnostics],
    }
    if a.verified:
        made["verified"] = a.verified
    return made


def _pair(v: Verdict) -> PairShape:
    made: PairShape = {"host": v.host, "artifact": v.artifact, "outcome": v.outcome}
    if v.reason is not None:
        made["code"] = v.reason
    return made


def _host(h: HostRow) -> HostShape:
    made: HostShape = {
        "host": h.host,
        "role": h.role,
        "status": _STATUS[h.status],
        "arch": h.arch,
        "userland": h.userland,
        "artifacts": dict(h.artifacts),
    }
    if h.assumed:
        made["assumed"] = True
    return made


def head(command: str) -> HeadShape:
    """What every document begins with."""
    return {"format": FORMAT, "tool": f"sealboot {__version__}", "command": command}


def check(report: CheckReport) -> CheckShape:
    """The document of `check`."""
    states = [h.status for h in report.hosts]
    return {
        **head(report.command),
        "summary": {
            "hosts": len(states),
            "ok": states.count("ok"),
            "failed": states.count("failed"),
            "not_reached": states.count("not-reached"),
        },
        "cluster": report.cluster,
        "driver": report.driver,
        "release": report.release,
        "hosts": [_host(h) for h in report.hosts],
        "artifacts": [artifact(a) for a in report.artifacts],
        "pairs": [_pair(v) for v in report.pairs],
        "diagnostics": [diagnostic(d) for d in report.diagnostics],
        "seconds": round(report.seconds, 3),
    }


def plan(report: PlanReport) -> PlanShape:
    """The document of `plan`, and of `--dry-run`."""
    return {
        **head(report.command),
        "summary": {"changes": report.plan.changes, "upload_bytes": report.plan.upload_bytes},
        "plan": plan_body(report.plan, report.before),
        "diagnostics": [diagnostic(d) for d in report.diagnostics],
        "seconds": round(report.seconds, 3),
    }


def applied(report: ApplyReport) -> ApplyShape:
    """The document of `apply`, `reset` and `rollback`."""
    return {
        **head(report.command),
        "cluster": report.cluster,
        "run": report.run_id,
        "summary": {"hosts": len(report.hosts), "changed": report.changed, "bytes_sent": report.sent},
        "interrupted": report.interrupted or None,
        "hosts": [
            {
                "host": h.host,
                "role": h.role,
                "outcome": h.outcome,
                "changed": h.changed,
                "sent": h.sent,
                "seconds": round(h.seconds, 3),
            }
            for h in report.hosts
        ],
        "diagnostics": [diagnostic(d) for d in report.diagnostics],
        "seconds": round(report.seconds, 3),
    }


def inspected(report: InspectReport) -> InspectShape:
    """The document of `inspect`."""
    return {
        **head("inspect"),
        "artifacts": [artifact(a) for a in report.artifacts],
        "diagnostics": [diagnostic(d) for d in report.diagnostics],
    }


def repacked(report: RepackReport) -> RepackShape:
    """The document of `repack`."""
    return {
        **head("repack"),
        "source": artifact(report.source),
        "parts": [
            {"name": p.name, "before": p.before, "after": p.after, "note": p.note} for p in report.parts
        ],
        "saved": report.saved,
        "upx": None
        if report.upx is None
        else {"size": report.upx.size, "how": report.upx.how, "effect": report.upx.effect},
        "wire": report.wire,
        "output": report.output or None,
        "result": None if report.result is None else artifact(report.result),
        "proofs": list(report.proofs),
        "diagnostics": [diagnostic(d) for d in report.diagnostics],
    }


def kubeconfig(report: KubeconfigReport) -> KubeconfigShape:
    """The document of `kubeconfig`."""
    return {
        **head("kubeconfig"),
        "cluster": report.cluster,
        "host": report.host,
        "context": report.context,
        "server": report.server,
        "path": report.path,
        "state": report.state,
        "merged": report.merged,
        "backup": report.backup or None,
        "until": report.until,
        "diagnostics": [diagnostic(d) for d in report.diagnostics],
    }


def facts(gathered: list[Facts], diagnostics: list[Diagnostic]) -> FactsReportShape:
    """The document of `facts`."""
    return {
        **head("facts"),
        "hosts": [{**plain(f), "emulates": plain(f.emulates)} for f in gathered],
        "diagnostics": [diagnostic(d) for d in diagnostics],
    }


def findings(command: str, diagnostics: Sequence[Diagnostic]) -> FindingsShape:
    """A document of findings and nothing else."""
    return {**head(command), "diagnostics": [diagnostic(d) for d in diagnostics]}


def rows(
    command: str,
    headers: Sequence[str],
    table: Iterable[Sequence[str]],
    diagnostics: Sequence[Diagnostic] = (),
) -> RowsShape:
    """A table; the keys of a row are the headers in lower case."""
    keys = [h.lower() for h in headers]
    return {
        **head(command),
        "rows": [dict(zip(keys, row, strict=True)) for row in table],
        "diagnostics": [diagnostic(d) for d in diagnostics],
    }


def text(command: str, page: str) -> TextShape:
    """A page of text."""
    return {**head(command), "text": page}


def event(value: Event) -> EventShape:
    """One event; `event` names its type, `at` is in seconds since the run began."""
    made = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    body = {k: diagnostic(v) if isinstance(v, Diagnostic) else plain(v) for k, v in made.items()}
    return {"format": FORMAT, "event": type(value).__name__, **body, "at": round(value.at, 3)}


def as_event(document: Document) -> ReportEvent:
    """A document among events."""
    return {"format": FORMAT, "event": "Report", "report": document}


def dump(document: Document | ReportEvent | EventShape, *, pretty: bool = True) -> str:
    """The document as ASCII text."""
    return json.dumps(document, indent=2 if pretty else None, ensure_ascii=True)
