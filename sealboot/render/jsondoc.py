"""Reports as one versioned JSON document, events as JSON lines.

`format` counts breaking changes; new keys may appear at any time. Strings hold
what hosts and files said, escaped to ASCII, so that no terminal is ever moved
by them.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from enum import Enum
from typing import Any

from sealboot import __version__
from sealboot.diagnostics import name_of
from sealboot.model.artifact import Artifact, Elf
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.events import Event
from sealboot.model.facts import Facts
from sealboot.model.plan import Plan
from sealboot.model.report import ApplyReport, CheckReport, InspectReport, PlanReport
from sealboot.model.verdict import Verdict

FORMAT = 1

Json = dict[str, Any]


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


def diagnostic(d: Diagnostic) -> Json:
    """One finding; keys without a value are left out."""
    at = None if d.at is None else {"file": d.at.file, "line": d.at.line, "column": d.at.column}
    made = {
        "code": d.code,
        "name": name_of(d.code),
        "severity": d.severity.value,
        "host": d.host,
        "also": list(d.also) or None,
        "artifact": d.artifact,
        "at": at,
        "summary": d.summary,
        "evidence": dict(d.evidence) or None,
        "notes": list(d.notes) or None,
        "hints": list(d.hints) or None,
    }
    return {k: v for k, v in made.items() if v is not None}


def artifact(a: Artifact) -> Json:
    """One file with its layers."""
    return {
        "path": a.path,
        "kind": a.kind.value,
        "platforms": list(a.platforms),
        "sha256": a.sha256,
        "size": a.size,
        "layers": [
            {"layer": "elf", **plain(layer)}
            if isinstance(layer, Elf)
            else {"layer": layer.name, **plain(layer.facts)}
            for layer in a.layers
        ],
        "diagnostics": [diagnostic(d) for d in a.diagnostics],
    }


def _pair(v: Verdict) -> Json:
    made: Json = {"host": v.host, "artifact": v.artifact, "outcome": v.outcome.value}
    return made if v.reason is None else {**made, "code": v.reason}


def head(command: str) -> Json:
    """What every document begins with."""
    return {"format": FORMAT, "tool": f"sealboot {__version__}", "command": command}


def check(report: CheckReport) -> Json:
    """The document of `check`."""
    states = [h.status for h in report.hosts]
    hosts = [
        {
            "host": h.host,
            "role": h.role,
            "status": h.status.replace("-", "_"),
            "arch": h.arch,
            "userland": h.userland,
            "artifacts": dict(h.artifacts),
        }
        for h in report.hosts
    ]
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
        "hosts": hosts,
        "artifacts": [artifact(a) for a in report.artifacts],
        "pairs": [_pair(v) for v in report.pairs],
        "diagnostics": [diagnostic(d) for d in report.diagnostics],
        "seconds": round(report.seconds, 3),
    }


def plan(report: PlanReport) -> Json:
    """The document of `plan`."""
    return {
        **head("plan"),
        "summary": {"changes": report.plan.changes, "upload_bytes": report.plan.upload_bytes},
        "plan": _plan(report.plan),
        "diagnostics": [diagnostic(d) for d in report.diagnostics],
        "seconds": round(report.seconds, 3),
    }


def _plan(made: Plan) -> Json:
    return {
        "format": made.format,
        "cluster": made.cluster,
        "driver": made.driver,
        "hosts": list(made.hosts),
        "waves": [
            {
                "id": w.id,
                "title": w.title,
                "parallel": w.parallel,
                "steps": [
                    {
                        "id": p.step.id,
                        "host": p.step.host,
                        "kind": type(p.step).__name__,
                        "title": p.step.title,
                        "action": p.action.name.lower(),
                        "detail": p.detail,
                    }
                    for p in w.steps
                ],
            }
            for w in made.waves
        ],
    }


def applied(report: ApplyReport) -> Json:
    """The document of `apply`."""
    return {
        **head("apply"),
        "cluster": report.cluster,
        "run": report.run_id,
        "summary": {"hosts": len(report.hosts), "changed": report.changed, "bytes_sent": report.sent},
        "interrupted": report.interrupted or None,
        "hosts": [{**plain(h), "seconds": round(h.seconds, 3)} for h in report.hosts],
        "diagnostics": [diagnostic(d) for d in report.diagnostics],
        "seconds": round(report.seconds, 3),
    }


def inspected(report: InspectReport) -> Json:
    """The document of `inspect`."""
    return {**head("inspect"), "artifacts": [artifact(a) for a in report.artifacts]}


def facts(gathered: list[Facts], diagnostics: list[Diagnostic]) -> Json:
    """The document of `facts`."""
    return {
        **head("facts"),
        "hosts": [{**plain(f), "emulates": plain(f.emulates)} for f in gathered],
        "diagnostics": [diagnostic(d) for d in diagnostics],
    }


def event(value: Event) -> Json:
    """One event; `event` names its type, `at` is in seconds since the run began."""
    made = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    body = {k: diagnostic(v) if isinstance(v, Diagnostic) else plain(v) for k, v in made.items()}
    return {"format": FORMAT, "event": type(value).__name__, **body, "at": round(value.at, 3)}


def dump(document: Json, *, pretty: bool = True) -> str:
    """The document as ASCII text."""
    return json.dumps(document, indent=2 if pretty else None, ensure_ascii=True)
