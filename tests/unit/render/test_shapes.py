"""The schemas are fresh, strict enough to catch a drift, and true of what is printed."""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any, get_args

import pytest
from jsonschema import Draft202012Validator, ValidationError

from sealboot.artifacts import collect
from sealboot.lab.tinyelf import make
from sealboot.model.arch import Arch
from sealboot.model.artifact import Artifact, Kind, Other
from sealboot.model.diagnostic import Diagnostic, Location, Severity
from sealboot.model.events import Event, Found, HostFinished, RunStarted, StepFinished
from sealboot.model.facts import BinfmtHandler, Facts, Space
from sealboot.model.outcome import HostOutcome
from sealboot.model.plan import Action, Plan, PlannedStep, PlannedWave
from sealboot.model.repack import Part, RepackReport, Upx
from sealboot.model.report import (
    AppliedHost,
    ApplyReport,
    CheckReport,
    HostRow,
    InspectReport,
    KubeconfigReport,
    PlanReport,
)
from sealboot.model.steps import Run
from sealboot.model.verdict import Outcome, Verdict
from sealboot.render import jsondoc
from sealboot.render.schemas import events_schema, main, report_schema

ROOT = Path(__file__).parents[3]

FULL = Diagnostic(
    "SB101",
    "it cannot run",
    host="pi02",
    artifact="binaries/k3s",
    at=Location("inventory.yaml", 27, 12),
    evidence=(("file", "x86-64"), ("host", "aarch64")),
    notes=("a note",),
    hints=("a hint",),
    also=("pi03",),
)
BARE = Diagnostic("SB304", "late", Severity.WARNING)


def closed(schema: Any) -> Any:
    """The same schema without tolerance for keys that it does not name."""
    if isinstance(schema, list):
        return [closed(s) for s in schema]
    if not isinstance(schema, dict):
        return schema
    made = {k: closed(v) for k, v in schema.items()}
    if "properties" in made and isinstance(made["properties"], dict) and made.get("type") == "object":
        made["additionalProperties"] = False
    return made


def holds(schema: dict[str, Any], document: Any) -> None:
    """Valid as the reader sees it, and with nothing unnamed in it."""
    printed = json.loads(jsondoc.dump(document))
    Draft202012Validator(schema).validate(printed)
    Draft202012Validator(closed(schema)).validate(printed)


@pytest.mark.parametrize("name", ["report", "events"])
def test_the_written_schemas_are_fresh(name: str, tmp_path: Path) -> None:
    assert main([str(tmp_path)]) == 0
    fresh = (tmp_path / f"{name}.schema.json").read_text()
    written = (ROOT / "schemas" / f"{name}.schema.json").read_text()
    assert written == fresh, "run: make schemas"
    Draft202012Validator.check_schema(json.loads(written))


def test_the_writer_wants_one_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "FOLDER" in capsys.readouterr().err


def artifact(tmp_path: Path) -> Artifact:
    (tmp_path / "tool-arm64").write_bytes(make(Arch.AMD64, "x"))
    ((made,), _) = collect(["tool-arm64"], tmp_path)
    return dataclasses.replace(made, layers=(*made.layers, Other("gzip", {"level": "9"})))


def check_report(tmp_path: Path) -> CheckReport:
    return CheckReport(
        source="inventory.yaml",
        cluster="lab",
        driver="phases",
        release=None,
        hosts=(
            HostRow("a", "node", "ok", "amd64", "amd64", {"tool": "x"}),
            HostRow("b", "node", "failed", "arm64", "arm/v7"),
            HostRow("c", "node", "not-reached"),
        ),
        artifacts=(artifact(tmp_path), Artifact("none", Kind.MISSING)),
        pairs=(
            Verdict("a", "x", Outcome.RUNS, usable=True),
            Verdict("b", "x", Outcome.CANNOT, usable=False, reason="SB101", diagnostics=(FULL,)),
        ),
        diagnostics=(FULL, BARE),
        seconds=1.23456,
    )


def test_check(tmp_path: Path) -> None:
    document = jsondoc.check(check_report(tmp_path))
    holds(report_schema(), document)
    assert document["summary"] == {"hosts": 3, "ok": 1, "failed": 1, "not_reached": 1}
    assert [h["status"] for h in document["hosts"]] == ["ok", "failed", "not_reached"]
    assert document["pairs"] == [
        {"host": "a", "artifact": "x", "outcome": "runs"},
        {"host": "b", "artifact": "x", "outcome": "cannot-run", "code": "SB101"},
    ]


def test_a_finding_has_the_published_keys() -> None:
    assert json.loads(jsondoc.dump(jsondoc.findings("check", [FULL, BARE])))["diagnostics"] == [
        {
            "code": "SB101",
            "name": "arch-mismatch",
            "severity": "error",
            "host": "pi02",
            "also": ["pi03"],
            "artifact": "binaries/k3s",
            "at": {"file": "inventory.yaml", "line": 27, "column": 12},
            "summary": "it cannot run",
            "evidence": {"file": "x86-64", "host": "aarch64"},
            "notes": ["a note"],
            "hints": ["a hint"],
        },
        {"code": "SB304", "name": "clock-skew", "severity": "warning", "summary": "late"},
    ]


def plan() -> Plan:
    step = Run(id="a/run", host="a", title="run it", script="true")
    planned = tuple(PlannedStep(step, action) for action in Action)
    wave = PlannedWave("one", "the first", planned, 3)
    return Plan("lab", "phases", (wave,), ("a",))


def test_every_other_document(tmp_path: Path) -> None:
    schema = report_schema()
    holds(schema, jsondoc.plan(PlanReport(plan(), (BARE,))))
    actions = [s["action"] for w in jsondoc.plan(PlanReport(plan()))["plan"]["waves"] for s in w["steps"]]
    assert actions == [a.name.lower() for a in Action]
    hosts = tuple(AppliedHost(o.value, "node", o, 1, 2, 3.45678) for o in HostOutcome)
    holds(schema, jsondoc.applied(ApplyReport("lab", hosts, (FULL,), 2.0, "run-1", "SIGINT")))
    holds(schema, jsondoc.applied(ApplyReport("lab", hosts, ())))
    holds(schema, jsondoc.inspected(InspectReport((artifact(tmp_path),), (BARE,))))
    made = artifact(tmp_path)
    full = RepackReport(
        made, (Part("program", 9, 5, "x"),), Upx(None, "x", "y"), "o", made, ("p",), 4, (FULL,)
    )
    holds(schema, jsondoc.repacked(full))
    short = jsondoc.repacked(RepackReport(made))
    holds(schema, short)
    assert (short["output"], short["result"], short["upx"]) == (None, None, None)
    access = KubeconfigReport("lab", "s1", "lab", "https://x", "f", "same", "2027-11-21T09:30:00Z")
    holds(schema, jsondoc.kubeconfig(access))
    told = dataclasses.replace(access, state="changed", backup="f.bak", merged=True, diagnostics=(FULL,))
    holds(schema, jsondoc.kubeconfig(told))
    facts = Facts(
        host="a",
        kernel_machine="aarch64",
        kernel_arch=Arch.ARM64,
        userland_arch=None,
        userland_bits=64,
        endian="little",
        native=frozenset({Arch.ARM64}),
        binfmt=(BinfmtHandler("qemu-x86_64", "/q", "F", Arch.AMD64),),
        spaces=(Space("/opt", "/", True, "ext4", "/", frozenset({"rw"}), 1, 2, True),),
    )
    document = jsondoc.facts([facts], [FULL])
    holds(schema, document)
    assert document["hosts"][0]["emulates"] == ["amd64"]
    holds(schema, jsondoc.findings("check", [FULL]))
    holds(schema, jsondoc.rows("doctor", ("CHECK", "RESULT"), [("a", "b")]))
    holds(schema, jsondoc.text("explain", "# page"))


def test_a_document_without_a_key_is_refused(tmp_path: Path) -> None:
    document: Any = json.loads(jsondoc.dump(jsondoc.check(check_report(tmp_path))))
    for key in ("diagnostics", "hosts"):
        broken = copy.deepcopy(document)
        for row in broken[key]:
            row.pop("severity" if key == "diagnostics" else "status")
        with pytest.raises(ValidationError):
            Draft202012Validator(closed(report_schema())).validate(broken)


EVENTS: tuple[Event, ...] = (
    RunStarted(at=0.0, command="check", cluster="lab", hosts=("a", "b")),
    Found(at=1.23456, diagnostic=FULL),
    HostFinished(at=1.0, host="a", outcome=HostOutcome.UNKNOWN),
    StepFinished(at=1, host="a", step="s", title="t", wave="w", result="changed", seconds=0.5, sent=7),
)


@pytest.mark.parametrize("value", EVENTS, ids=lambda e: type(e).__name__)
def test_events(value: Event) -> None:
    document = jsondoc.event(value)
    holds(events_schema(), document)
    assert (document["format"], document["event"]) == (1, type(value).__name__)


def test_every_event_has_its_shape() -> None:
    shapes = [
        s["properties"] | {"required": s["required"]}
        for s in events_schema()["$defs"].values()
        if "properties" in s
    ]
    for kind in get_args(Event):
        (shape,) = [s for s in shapes if s.get("event", {}).get("const") == kind.__name__]
        names = {"format", "event", *(f.name for f in dataclasses.fields(kind))}
        assert set(shape["required"]) == set(shape) - {"required"} == names


def test_a_report_among_the_events(tmp_path: Path) -> None:
    holds(events_schema(), jsondoc.as_event(jsondoc.check(check_report(tmp_path))))
