"""Commands against the embedded lab: plan, apply, refusals, consent, and what they print."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from cli_kit import Lab, run, terminal
from jsonschema import Draft202012Validator

from sealboot.model.arch import Arch

SCHEMAS = Path(__file__).parents[3] / "schemas"
REPORT = Draft202012Validator(json.loads((SCHEMAS / "report.schema.json").read_text()))
EVENTS = Draft202012Validator(json.loads((SCHEMAS / "events.schema.json").read_text()))


def joined(lab: Lab, name: str) -> bool:
    return (lab.folder / "machines" / name / "var/lib/joined").exists()


def test_check_finds_nothing_wrong(shared_lab: Lab) -> None:
    ran = shared_lab.run("check", "--format", "json")
    assert ran.code == 0, ran.out
    REPORT.validate(ran.document)
    assert ran.document["summary"] == {"hosts": 4, "ok": 4, "failed": 0, "not_reached": 0}
    assert [h["arch"] for h in ran.document["hosts"]] == ["amd64", "amd64", "arm64", "arm64"]
    assert len(ran.document["pairs"]) == 4
    assert all(p["outcome"] == "runs" for p in ran.document["pairs"])


def test_matrix_shows_every_pair(shared_lab: Lab) -> None:
    ran = shared_lab.run("check", "--matrix", "--format", "json")
    REPORT.validate(ran.document)
    assert len(ran.document["pairs"]) == 8
    assert sum(p["outcome"] == "cannot-run" for p in ran.document["pairs"]) >= 2


def test_every_line_of_jsonl_is_valid(shared_lab: Lab) -> None:
    ran = shared_lab.run("check", "--format", "jsonl")
    for line in ran.lines:
        EVENTS.validate(line)
    names = [line["event"] for line in ran.lines]
    assert names[0] == "RunStarted"
    assert {"StageStarted", "HostConnected", "FactsGathered", "Report"} <= set(names)
    assert names[-1] == "RunFinished"
    assert ran.lines[-1]["exit_code"] == 0


def test_facts_follow_the_schema(shared_lab: Lab) -> None:
    ran = shared_lab.run("facts", "--format", "json")
    REPORT.validate(ran.document)
    assert [h["kernel_machine"] for h in ran.document["hosts"]] == ["x86_64", "x86_64", "aarch64", "aarch64"]


def test_limit_and_stdin(shared_lab: Lab) -> None:
    text = (shared_lab.folder / "inventory.yaml").read_text()
    ran = shared_lab.run("check", "-i", "-", "-l", "pi[01-02],!pi02", "--format", "json", stdin=text)
    assert ran.code == 0, ran.err
    assert [h["host"] for h in ran.document["hosts"]] == ["pi01"]


def test_results_and_progress_do_not_mix(shared_lab: Lab) -> None:
    ran = shared_lab.run("check")
    assert "HOST" in ran.out
    assert "\x1b" not in ran.out + ran.err
    assert shared_lab.run("check", "-q").err == ""


@pytest.mark.parametrize("columns", [80, 120])
def test_columns(shared_lab: Lab, columns: int) -> None:
    ran = shared_lab.run("check", "--matrix", env={"COLUMNS": str(columns)})
    assert max(map(len, ran.out.splitlines())) <= columns


def test_fail_on_and_ignore(own_lab: Lab) -> None:
    own_lab.put("sealctl-linux-riscv64", Arch.AMD64)  # a third file whose name lies: a warning
    (own_lab.folder / "binaries/sealctl-linux-amd64").unlink()
    ran = own_lab.run("check", "--format", "json")
    assert (ran.code, ran.codes) == (0, {"SB111"})
    assert own_lab.run("check", "--fail-on", "warning").code == 1
    assert own_lab.run("check", "--fail-on", "warning", "--ignore", "SB111").code == 0
    assert own_lab.run("check", env={"SEALBOOT_FAIL_ON": "warning"}).code == 1
    assert own_lab.run("check", "--fail-on", "warning", env={"SEALBOOT_IGNORE": "SB111"}).code == 0


def test_a_lying_binary_is_exit_1_and_touches_nothing(own_lab: Lab) -> None:
    own_lab.put("sealctl-linux-arm64", Arch.AMD64)
    for command in (["check"], ["plan"], ["apply", "--yes"]):
        ran = own_lab.run(*command, "--format", "json")
        assert ran.code == 1
        REPORT.validate(ran.document)
        assert "SB101" in ran.codes
        assert ran.document["command"] == command[0]
    assert not any(joined(own_lab, m.name) for m in own_lab.embedded.machines)


def test_ready_only_names_who_is_left_out(own_lab: Lab) -> None:
    own_lab.put("sealctl-linux-arm64", Arch.AMD64)
    assert own_lab.run("plan", "--ready-only").code == 0
    ran = own_lab.run("apply", "--yes", "--ready-only", "--format", "json")
    assert ran.code != 0
    REPORT.validate(ran.document)
    outcomes = {h["host"]: h["outcome"] for h in ran.document["hosts"]}
    assert outcomes == {"ctl1": "changed", "ctl2": "changed", "pi01": "skipped", "pi02": "skipped"}
    assert joined(own_lab, "ctl1")
    assert not joined(own_lab, "pi01")


def test_without_consent_nothing_is_changed(own_lab: Lab) -> None:
    for arguments in ([], ["--no-input"], ["-q"], ["--format", "json"]):
        ran = own_lab.run("apply", *arguments)
        assert ran.code == 5
        assert "--yes" in ran.err
    with terminal(own_lab.folder, "apply") as screen:
        screen.until(b"[y/N]")
        screen.type("n\n")
        assert screen.end() == 5
    assert b"Nothing was changed" in screen.shown
    assert not any(joined(own_lab, m.name) for m in own_lab.embedded.machines)


def test_a_yes_on_the_terminal_is_consent(own_lab: Lab) -> None:
    with terminal(own_lab.folder, "apply", "-l", "pi01") as screen:
        screen.until(b"[y/N]")
        screen.type("y\n")
        assert screen.end() == 0
    assert joined(own_lab, "pi01")
    assert not joined(own_lab, "pi02")


def test_plan_file_apply_and_stale(own_lab: Lab) -> None:
    ran = own_lab.run("plan", "-o", "plan.json", "--detailed-exitcode", "--format", "json")
    assert ran.code == 10
    REPORT.validate(ran.document)
    path = own_lab.folder / "plan.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    schema = json.loads((SCHEMAS / "plan.schema.json").read_text())
    Draft202012Validator(schema).validate(json.loads(path.read_text()))
    assert not joined(own_lab, "pi01")
    ran = own_lab.run("apply", "plan.json", "--format", "json")
    assert ran.code == 0, ran.err
    REPORT.validate(ran.document)
    assert ran.document["summary"]["changed"] == 10
    ran = own_lab.run("apply", "plan.json", "--format", "json")
    assert (ran.code, ran.codes) == (1, {"SB504"})
    again = own_lab.run("plan", "--detailed-exitcode", "--format", "json")
    assert (again.code, again.document["summary"]) == (0, {"changes": 0, "upload_bytes": 0})


def test_apply_as_jsonl_and_a_second_time(own_lab: Lab) -> None:
    ran = own_lab.run("apply", "--yes", "--format", "jsonl")
    assert ran.code == 0, ran.err
    for line in ran.lines:
        EVENTS.validate(line)
    names = [line["event"] for line in ran.lines]
    assert {"WaveStarted", "StepStarted", "StepFinished", "HostFinished"} <= set(names)
    assert sum(n == "HostFinished" for n in names) == 4
    (report,) = [
        r["report"] for r in ran.lines if r["event"] == "Report" and r["report"]["command"] == "apply"
    ]
    assert report["summary"]["changed"] == 10
    second = own_lab.run("apply", "--yes", "--format", "json")
    assert (second.code, second.document["summary"]["changed"]) == (0, 0)
    assert {h["outcome"] for h in second.document["hosts"]} == {"ok"}


def test_files_are_those_of_the_inventorys_folder_wherever_one_stands(own_lab: Lab) -> None:
    name = own_lab.folder.name
    known = ("-i", f"{name}/inventory.yaml", "--known-hosts", f"{name}/known_hosts")
    ran = run(own_lab.folder.parent, "apply", *known, "--yes", "--format", "json")
    assert ran.code == 0, ran.out + ran.err
    assert {h["outcome"] for h in ran.document["hosts"]} == {"changed"}


def test_a_plan_that_cannot_be_saved(shared_lab: Lab) -> None:
    ran = shared_lab.run("plan", "-o", "no/such/plan.json")
    assert ran.code == 2
    assert "error[SB611]" in ran.err


def test_an_unreachable_host_is_4_and_does_not_hide_the_others(own_lab: Lab) -> None:
    port = own_lab.embedded.machines[3].port
    own_lab.edit(f"port: {port}", "port: 1")
    ran = own_lab.run("check", "--format", "json")
    assert (ran.code, ran.codes) == (4, {"SB201"})
    assert [h["status"] for h in ran.document["hosts"]] == ["ok", "ok", "ok", "not_reached"]


def test_a_changed_host_key_is_8_before_everything(own_lab: Lab) -> None:
    own_lab.put("sealctl-linux-arm64", Arch.AMD64)
    path = own_lab.folder / "known_hosts"
    lines = path.read_text().splitlines()
    ctl1, other = lines[0].split(" ", 1)[0], lines[1].split(" ", 1)[1]
    path.write_text("\n".join([f"{ctl1} {other}", *lines[1:]]) + "\n")
    ran = own_lab.run("check", "--format", "json")
    assert ran.code == 8
    assert {"SB101", "SB202"} <= ran.codes
    ran = own_lab.run("trust", "--yes", "ctl1")
    assert ran.code == 8
    assert "confirm" in ran.err
    with terminal(own_lab.folder, "trust", "ctl1") as screen:
        screen.until(b"[y/N]")
        screen.type("y\n")
        assert screen.end() == 0
    assert own_lab.run("check", "-l", "ctl1").code == 0


def test_unknown_keys_are_pinned_only_on_request(own_lab: Lab) -> None:
    known = own_lab.folder / "known_hosts"
    was = set(known.read_text().split())
    known.unlink()
    ran = own_lab.run("check", "--format", "json")
    assert (ran.code, ran.codes) == (8, {"SB203"})
    assert not known.exists()
    assert own_lab.run("trust", "--no-input").code == 5
    assert own_lab.run("trust", "--yes").code == 0
    assert own_lab.run("check").code == 0
    assert {w for w in was if w.startswith("AAAA")} <= set(known.read_text().split())


def test_locks_are_free(shared_lab: Lab) -> None:
    ran = shared_lab.run("lock", "status", "--format", "json")
    assert ran.code == 0
    assert [r["lock"] for r in ran.document["rows"]] == ["free"] * 4
