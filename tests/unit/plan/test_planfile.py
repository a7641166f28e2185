from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealboot.model.diagnostic import Diagnostic, Location
from sealboot.model.plan import Action, Plan, PlannedStep, PlannedWave
from sealboot.model.steps import (
    FileIs,
    PathExists,
    ReadSecret,
    Remove,
    Run,
    Service,
    ServiceIs,
    Step,
    Succeeds,
    Upload,
    WaitFor,
    WriteFile,
)
from sealboot.plan.planfile import dumps, load, loads, save, schema, stale

ROOT = Path(__file__).parents[3]


def steps() -> tuple[Step, ...]:
    return (
        Upload(id="1", host="a", title="t", source="b/x", sha256="a" * 64, size=9, dest="/x", check=FileIs("/x", "a" * 64, 0o755)),
        WriteFile(id="2", host="a", title="t", dest="/y", content="k: {{ secret.t }}\n", mode=0o600, secrets=("t",), check=Succeeds("true")),
        Run(id="3", host="a", title="t", script="x\n", env={"A": "ü\x1b"}, env_secrets={"T": "t"}, detached=True, check=PathExists("/z"), only_after=("1",)),
        Service(id="4", host="a", title="t", name="etcd", stamp="s", check=ServiceIs("etcd", True, True, "s")),
        WaitFor(id="5", host="b", title="t", kind="http", target="http://x/", status=200),
        ReadSecret(id="6", host="b", title="t", script="cat", into="t", pattern="x+"),
        Remove(id="7", host="b", title="t", path="/old", recursive=True),
    )  # fmt: skip


def plan() -> Plan:
    marks = [
        Action.CREATE,
        Action.CHANGE,
        Action.DEPENDS,
        Action.NONE,
        Action.NONE,
        Action.DEPENDS,
        Action.REMOVE,
    ]
    planned = tuple(PlannedStep(s, m, "why") for s, m in zip(steps(), marks, strict=True))
    return Plan(
        cluster="lab",
        driver="phases",
        waves=(PlannedWave("w1", "First", planned[:4]), PlannedWave("w2", "Second", planned[4:], 1)),
        hosts=("a", "b"),
        fingerprints={"a": "f1", "b": "f2"},
        artifacts={"b/x": "a" * 64},
        inventory_sha256="i" * 64,
    )


def test_a_plan_survives_its_file(tmp_path: Path) -> None:
    path = tmp_path / "cluster.plan"
    assert save(plan(), path) is None
    assert load(path) == plan()
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["cluster.plan"]
    assert path.read_bytes() == dumps(plan())


def test_saving_replaces_a_link_and_not_what_it_points_to(tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "p"
    victim.write_text("mine")
    path.symlink_to(victim)
    assert save(plan(), path) is None
    assert victim.read_text() == "mine"
    assert not path.is_symlink()


def test_a_plan_that_cannot_be_written_is_a_finding(tmp_path: Path) -> None:
    found = save(plan(), tmp_path / "missing" / "p")
    assert found is not None
    assert found.code == "SB611"
    (tmp_path / "folder").mkdir()
    found = save(plan(), tmp_path / "folder")
    assert found is not None
    assert found.code == "SB611"
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_text_that_is_no_unicode_is_a_finding(tmp_path: Path) -> None:
    found = save(replace(plan(), cluster="a\ud800"), tmp_path / "p")
    assert found is not None
    assert found.code == "SB611"
    assert list(tmp_path.iterdir()) == []


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])), st.integers(0, 0o777), st.floats(0.1, 1e6))
def test_any_text_survives(text: str, mode: int, timeout: float) -> None:
    step = WriteFile(id=text, host=text, title=text, dest=text, content=text, mode=mode, timeout=timeout)
    made = replace(plan(), waves=(PlannedWave("w", text, (PlannedStep(step, Action.CREATE, text),)),))
    assert loads(dumps(made), Path("p")) == made


def _changed(**values: Any) -> bytes:
    return json.dumps({**json.loads(dumps(plan())), **values}).encode()


def _in_step(key: str, value: Any) -> bytes:
    tree = json.loads(dumps(plan()))
    tree["waves"][0]["steps"][0]["step"][key] = value
    return json.dumps(tree).encode()


HOSTILE = {
    "empty": b"",
    "not json": b"waves: []",
    "not utf-8": b"\xff\xfe{}",
    "a list": b"[]",
    "a number": b"7",
    "nothing in it": b"{}",
    "cut off": dumps(plan())[:-40],
    "deep": b"[" * 200_000,
    "deep inside": b'{"format": 1, "waves": [], "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a later format": _changed(format=2),
    "format true": _changed(format=True),
    "format text": _changed(format="1"),
    "unknown key": _changed(surprise=1),
    "unknown key in a step": _in_step("surprise", 1),
    "hosts a text": _changed(hosts="a"),
    "number as text": _in_step("size", "9"),
    "unknown step": _in_step("type", "exec"),
    "wrong step": _in_step("type", "run"),
    "unknown action": dumps(plan()).replace(b'"action": "+"', b'"action": "!"'),
    "check of no kind": _in_step("check", {"type": "file-is"}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_findings(name: str, tmp_path: Path) -> None:
    found = loads(HOSTILE[name], tmp_path / "p")
    assert isinstance(found, Diagnostic), found
    assert found.code == "SB610"
    assert len(found.summary) < 400


def test_files_that_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", tmp_path, tmp_path / "missing", Path("/dev/zero")):
        found = load(path)
        assert isinstance(found, Diagnostic)
        assert found.code == "SB610"


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    found = load(path)
    assert isinstance(found, Diagnostic)
    assert "larger" in found.summary


def test_values_of_a_refused_file_are_not_repeated(tmp_path: Path) -> None:
    found = loads(_in_step("size", "hunter2-hunter2"), tmp_path / "p")
    assert "hunter2" not in repr(found)


def test_an_unchanged_plan_is_not_stale() -> None:
    assert stale(plan(), plan()) == ()


def _with_step(index: int, **changes: Any) -> Plan:
    first = plan().waves[0]
    altered = list(first.steps)
    mark = changes.pop("action", altered[index].action)
    altered[index] = PlannedStep(replace(altered[index].step, **changes), mark, "why")
    return replace(plan(), waves=(replace(first, steps=tuple(altered)), plan().waves[1]))


MOVED = {
    "cluster": (replace(plan(), cluster="other"), "another cluster"),
    "inventory": (replace(plan(), inventory_sha256="j"), "inventory says something else"),
    "machine": (replace(plan(), fingerprints={"a": "f1", "b": "new"}), "b is not the machine it was"),
    "host gone": (replace(plan(), hosts=("a",)), "b is not selected"),
    "host new": (replace(plan(), hosts=("a", "b", "c")), "c was not part"),
    "bytes": (replace(plan(), artifacts={"b/x": "b" * 64}), "b/x has other bytes"),
    "answer": (_with_step(0, action=Action.NONE), "a changed"),
    "script": (_with_step(2, script="rm -rf /\n"), "step 3 would do something else"),
    "step gone": (replace(plan(), waves=plan().waves[:1]), "step 5 is gone"),
    "order": (replace(plan(), waves=plan().waves[::-1]), "order"),
}


@pytest.mark.parametrize("name", MOVED)
def test_what_moved_is_told(name: str) -> None:
    now, text = MOVED[name]
    found = stale(plan(), now)
    assert {d.code for d in found} == {"SB504"}
    assert any(text in d.summary for d in found), found


def test_many_differences_are_counted() -> None:
    names = tuple(f"h{n}" for n in range(50))
    found = stale(plan(), replace(plan(), hosts=("a", "b", *names)))
    assert len(found) == 9
    assert "42 more" in found[-1].summary


def test_the_schema_is_fresh() -> None:
    path, text = ROOT / "schemas" / "plan.schema.json", json.dumps(schema(), indent=2) + "\n"
    if os.environ.get("UPDATE_GOLDEN") == "1":
        path.write_text(text)
    assert path.read_text() == text, "if the change is wanted: UPDATE_GOLDEN=1"


def test_a_file_of_an_earlier_release_lacks_fields_that_are_new() -> None:
    tree = json.loads(dumps(plan()))
    for wave in tree["waves"]:
        for planned in wave["steps"]:
            del planned["step"]["at"]
    assert loads(json.dumps(tree).encode(), Path("p")) == plan()


def test_a_step_that_moved_to_another_line_is_no_drift() -> None:
    saved = plan()
    first = saved.waves[0]
    moved = replace(first.steps[0], step=replace(first.steps[0].step, at=Location("i.yaml", 9)))
    now = replace(saved, waves=(replace(first, steps=(moved, *first.steps[1:])), *saved.waves[1:]))
    assert stale(saved, now) == ()
    assert b'"line": 9' in dumps(now)
