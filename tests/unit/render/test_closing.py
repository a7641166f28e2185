"""The last sentence of an apply says how to go on, and only what helps."""

from __future__ import annotations

from dataclasses import replace

import pytest
from render_kit import Screen, apply_report, plan

from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.outcome import HostOutcome
from sealboot.model.report import AppliedHost, ApplyReport, PlanReport
from sealboot.render.apply import closing

OK, CHANGED, FAILED = HostOutcome.OK, HostOutcome.CHANGED, HostOutcome.FAILED
UNREACHABLE, SKIPPED, UNKNOWN = HostOutcome.UNREACHABLE, HostOutcome.SKIPPED, HostOutcome.UNKNOWN
AGAIN = "Run the same command again: it goes on where this one stopped."
CORRECT = "Correct what failed and run the same command again: it goes on from there."
LOCK = "Run the same command again once the lock is free."
LEFT = "The skipped hosts were left as they were."


@pytest.mark.parametrize(
    ("outcomes", "codes", "expected"),
    [
        ((OK, CHANGED), (), ""),
        ((CHANGED, FAILED), ("SB511",), CORRECT),
        ((CHANGED, FAILED, SKIPPED), ("SB503",), CORRECT),
        ((FAILED,), ("SB501",), CORRECT),
        ((FAILED, UNKNOWN), ("SB501", "SB506"), CORRECT),
        ((FAILED,), ("SB502",), AGAIN),
        ((FAILED,), ("SB507",), AGAIN),
        ((FAILED,), ("SB514",), AGAIN),
        ((OK, UNREACHABLE), ("SB201",), AGAIN),
        ((OK, UNKNOWN), ("SB506",), AGAIN),
        ((CHANGED,), ("SB510",), AGAIN),
        ((SKIPPED,), ("SB505",), LOCK),
        ((CHANGED, SKIPPED), (), LEFT),
        ((CHANGED, SKIPPED), ("SB513",), LEFT),
    ],
)
def test_how_to_go_on(outcomes: tuple[HostOutcome, ...], codes: tuple[str, ...], expected: str) -> None:
    hosts = tuple(AppliedHost(f"n{n}", "node", outcome) for n, outcome in enumerate(outcomes))
    found = tuple(Diagnostic(code, "x") for code in codes)
    assert closing(ApplyReport("lab", hosts, found)) == expected
    note = Diagnostic("SB512", "x", Severity.NOTE)
    assert closing(ApplyReport("lab", hosts, (*found, note))) == expected


def test_an_interrupted_run_goes_on() -> None:
    report = ApplyReport("lab", (AppliedHost("n1", "node", SKIPPED),), (), interrupted="SIGINT")
    assert closing(report) == AGAIN


@pytest.mark.parametrize(
    ("hosts", "words"),
    [((), "0 hosts are as they"), (("a",), "1 host is as it"), (("a", "b"), "2 hosts are as they")],
)
def test_nothing_to_do_in_good_grammar(hosts: tuple[str, ...], words: str) -> None:
    screen = Screen(80)
    screen.view.plan(PlanReport(replace(plan(), waves=(), hosts=hosts)))
    assert screen.text == f"Nothing to do: {words} should be.\n"


def test_what_is_left_undone_is_not_nothing_to_do() -> None:
    screen = Screen(80)
    screen.view.plan(PlanReport(replace(plan(), waves=()), unfinished=True))
    assert screen.text == "No step is to change; what an earlier run left undone comes first.\n"


def test_what_was_told_before_the_run_is_not_told_after_it() -> None:
    owed = Diagnostic("SB512", "an earlier run was cut off in `start agent`", Severity.NOTE, host="n1")
    screen = Screen(80)
    screen.view.diagnostics("apply", [owed], final=False)
    screen.view.applied(replace(apply_report(), diagnostics=(owed, *apply_report().diagnostics)))
    assert "SB512" not in screen.text
    assert "SB501" in screen.text
    assert screen.err.getvalue().count("SB512") == 1


def test_a_long_word_keeps_the_margin() -> None:
    screen = Screen(60)
    found = Diagnostic("SB501", "it failed: " + "x" * 150, evidence=(("log", "y" * 200), ("path", "/p" * 60)))
    screen.view.diagnostics("apply", [found])
    lines = screen.err.getvalue().splitlines()
    assert all(len(line) <= 60 for line in lines)
    assert all(line.startswith(("error[", "    ", "   | ")) for line in lines)
    assert sum(line.count("y") for line in lines) == 200
