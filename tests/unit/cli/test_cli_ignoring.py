"""`--ignore` on check, plan and apply: one rule, and nothing that it makes possible against a promise."""

from __future__ import annotations

import re

import pytest
from cli_kit import Lab


def test_what_is_ignored_by_check_is_ignored_by_plan_and_apply(own_lab: Lab) -> None:
    own_lab.edit("role: node}", "role: node, arch: amd64}")  # an expectation that two hosts do not meet
    found = own_lab.run("check", "--format", "json")
    (code,) = {d["code"] for d in found.document["diagnostics"] if d["severity"] == "error"}
    assert found.code == 1
    assert own_lab.run("plan").code == 1
    assert own_lab.run("apply", "--yes").code == 1
    checked = own_lab.run("check", "--ignore", code, "--format", "json")
    assert checked.code == 0
    assert {h["status"] for h in checked.document["hosts"]} == {"ok"}
    planned = own_lab.run("plan", "--ignore", code, "--format", "json")
    assert planned.code == 0
    assert "pi02" in planned.out
    noted = [d for d in planned.document["diagnostics"] if d["code"] == code]
    assert {d["severity"] for d in noted} == {"note"}
    assert all("ignored by --ignore" in d["notes"] for d in noted)
    applied = own_lab.run("apply", "--yes", "--ignore", code, "--format", "json")
    assert applied.code == 0, applied.err
    assert {h["outcome"] for h in applied.document["hosts"]} == {"changed"}


def test_a_plan_needs_its_files_whatever_is_ignored(own_lab: Lab) -> None:
    for file in (own_lab.folder / "binaries").glob("*arm64*"):
        file.unlink()
    found = own_lab.run("check", "--format", "json")
    assert "SB104" in found.codes
    assert own_lab.run("check", "--ignore", "SB104").code == 0
    for command in (["plan"], ["apply", "--yes"]):
        ran = own_lab.run(*command, "--ignore", "SB104", "--format", "json")
        assert ran.code == 1, ran.err
        last = [d for d in ran.document["diagnostics"] if d["severity"] == "error"]
        assert {d["code"] for d in last} == {"SB104"}
        assert re.search(r"pi\[01-02\]", last[0]["summary"])
    assert own_lab.run("plan", "--ignore", "SB104", "--limit", "@master").code == 0


@pytest.mark.parametrize("command", ["plan", "apply"])
def test_the_same_in_the_inventory(own_lab: Lab, command: str) -> None:
    """A file that is missing and accepted there was a traceback of ours."""
    for file in (own_lab.folder / "binaries").glob("*arm64*"):
        file.unlink()
    own_lab.edit("role: node}", "role: node, ignore: [{code: SB104, reason: later}]}")
    ran = own_lab.run(command, *(["--yes"] if command == "apply" else []))
    assert ran.code == 1
    assert "SB104" in ran.err + ran.out
    assert "SB901" not in ran.err
