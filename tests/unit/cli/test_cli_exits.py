"""Exit codes: the table, the precedence, and how an apply ends."""

from __future__ import annotations

from itertools import combinations

import pytest

from sealboot.cli.exits import Exit, of_apply, of_code, of_findings, strongest
from sealboot.cli.ignoring import ignored, unknown_codes
from sealboot.diagnostics import codes
from sealboot.diagnostics.promises import NEVER_IGNORED
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.outcome import HostOutcome
from sealboot.model.report import AppliedHost, ApplyReport, CheckReport, HostRow

STRONGEST_FIRST = (70, 8, 9, 3, 1, 5, 4)


def ended(*outcomes: HostOutcome, found: tuple[str, ...] = (), interrupted: str = "") -> int:
    hosts = tuple(AppliedHost(f"h{n}", "node", outcome) for n, outcome in enumerate(outcomes))
    report = ApplyReport(
        "lab", hosts, tuple(Diagnostic(code, "x") for code in found), interrupted=interrupted
    )
    return int(of_apply(report))


def test_the_numbers_are_those_that_scripts_rely_on() -> None:
    assert {e.name: int(e) for e in Exit} == {
        "OK": 0,
        "FINDINGS": 1,
        "USAGE": 2,
        "PARTIAL": 3,
        "NOT_REACHED": 4,
        "REFUSED": 5,
        "HOST_KEY": 8,
        "INTEGRITY": 9,
        "CHANGES": 10,
        "BUG": 70,
        "SIGINT": 130,
        "SIGTERM": 143,
    }


@pytest.mark.parametrize(("stronger", "weaker"), list(combinations(STRONGEST_FIRST, 2)))
def test_the_stronger_of_two_is_told(stronger: int, weaker: int) -> None:
    assert strongest([Exit(weaker), Exit(stronger)]) == stronger
    assert strongest([Exit.OK, Exit(weaker), Exit(stronger), Exit(weaker)]) == stronger


def test_nothing_is_zero_and_usage_stands_alone() -> None:
    assert strongest([]) == 0
    assert strongest([Exit.OK, Exit.USAGE]) == 2


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("SB001", 2),
        ("SB011", 2),
        ("SB101", 1),
        ("SB201", 4),
        ("SB202", 8),
        ("SB203", 8),
        ("SB204", 4),
        ("SB206", 8),
        ("SB207", 8),
        ("SB301", 1),
        ("SB406", 9),
        ("SB502", 9),
        ("SB504", 1),
        ("SB505", 5),
        ("SB506", 4),
        ("SB901", 70),
    ],
)
def test_each_code_calls_for_its_exit(code: str, expected: int) -> None:
    assert of_code(code) == expected
    assert of_findings([Diagnostic(code, "x")]) == expected
    assert of_findings([Diagnostic(code, "x", Severity.WARNING)]) == 0


@pytest.mark.parametrize("code", codes())
def test_no_error_is_told_as_success(code: str) -> None:
    assert of_code(code) in {1, 2, 4, 5, 8, 9, 70}


OK, CHANGED, FAILED = HostOutcome.OK, HostOutcome.CHANGED, HostOutcome.FAILED
UNREACHABLE, SKIPPED, UNKNOWN = HostOutcome.UNREACHABLE, HostOutcome.SKIPPED, HostOutcome.UNKNOWN


@pytest.mark.parametrize(
    ("outcomes", "found", "expected"),
    [
        ((OK, OK), (), 0),
        ((CHANGED, OK), (), 0),
        ((FAILED, OK), (), 3),
        ((CHANGED, SKIPPED), (), 3),
        ((UNKNOWN,), (), 4),
        ((UNREACHABLE, OK), (), 4),
        ((UNKNOWN, CHANGED), (), 3),
        ((FAILED, UNKNOWN), ("SB506",), 3),
        ((FAILED,), ("SB502",), 9),
        ((FAILED,), ("SB502", "SB202"), 8),
        ((SKIPPED, SKIPPED), ("SB505",), 5),
        ((FAILED,), ("SB501",), 3),
        ((FAILED,), ("SB901",), 70),
    ],
)
def test_how_an_apply_ends(outcomes: tuple[HostOutcome, ...], found: tuple[str, ...], expected: int) -> None:
    assert ended(*outcomes, found=found) == expected


def test_a_signal_wins_over_everything() -> None:
    assert ended(FAILED, found=("SB202",), interrupted="SIGINT") == 130
    assert ended(FAILED, found=("SB202",), interrupted="SIGTERM") == 143


def checked(*diagnostics: Diagnostic) -> CheckReport:
    rows = tuple(
        HostRow(name, "node", "failed" if any(d.host == name for d in diagnostics) else "ok")
        for name in ("a", "b")
    )
    return CheckReport("inventory.yaml", "lab", "phases", None, rows, (), (), diagnostics)


def test_an_ignored_finding_is_a_note_and_its_host_is_ok() -> None:
    report = ignored(
        checked(Diagnostic("SB304", "late", host="a"), Diagnostic("SB301", "full", host="b")), ["SB304"]
    )
    assert [h.status for h in report.hosts] == ["ok", "failed"]
    assert [d.severity for d in report.diagnostics] == [Severity.NOTE, Severity.ERROR]
    assert report.diagnostics[0].notes == ("ignored by --ignore",)
    assert of_findings(report.diagnostics) == 1


def test_a_host_with_another_error_stays_failed() -> None:
    report = ignored(
        checked(Diagnostic("SB304", "late", host="a"), Diagnostic("SB301", "full", host="a")), ["SB304"]
    )
    assert report.hosts[0].status == "failed"


@pytest.mark.parametrize("code", sorted(NEVER_IGNORED))
def test_what_is_promised_cannot_be_ignored(code: str) -> None:
    assert unknown_codes([code]) == f"{code} cannot be ignored"


def test_the_two_promises_are_among_them() -> None:
    assert {"SB101", "SB202"} <= NEVER_IGNORED
    assert "no code 'SB999'" in unknown_codes(["SB304", "SB999"])
    assert unknown_codes(["SB304"]) == ""
