"""What an operator reads, at 80 and at 120 columns, as golden files."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from golden_kit import assert_golden
from render_kit import (
    PI,
    Screen,
    apply_report,
    big_check_report,
    check_report,
    kubeconfig_report,
    plan,
    repack_report,
)

from sealboot.model.report import InspectReport, PlanReport
from sealboot.render.view import View

SCENES: dict[str, Callable[[View], None]] = {
    "check": lambda view: view.check(check_report()),
    "check-matrix": lambda view: view.check(replace(check_report(), matrix=True, diagnostics=())),
    "check-40-hosts": lambda view: view.check(big_check_report()),
    "plan": lambda view: view.plan(PlanReport(plan())),
    "plan-full": lambda view: view.plan(PlanReport(plan()), full=True),
    "plan-nothing": lambda view: view.plan(PlanReport(replace(plan(), waves=()))),
    "apply": lambda view: view.applied(apply_report()),
    "apply-nothing": lambda view: view.applied(
        replace(apply_report(), hosts=apply_report().hosts[:1], diagnostics=())
    ),
    "inspect": lambda view: view.inspected(InspectReport((PI,))),
    "kubeconfig": lambda view: view.kubeconfig(kubeconfig_report()),
    "repack": lambda view: view.repacked(repack_report()),
}


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("scene", SCENES)
def test_golden(scene: str, width: int) -> None:
    screen = Screen(width)
    SCENES[scene](screen.view)
    assert_golden(f"render/{scene}.{width}.txt", screen.text)
    assert all(len(line) <= width for line in screen.text.splitlines())


@pytest.mark.parametrize("scene", SCENES)
def test_colour_says_nothing_that_words_do_not(scene: str) -> None:
    colored, plain = Screen(120, color=True), Screen(120)
    SCENES[scene](colored.view)
    SCENES[scene](plain.view)
    assert "\x1b[" in colored.out.getvalue()
    stripped = re.sub(r"\x1b\[[0-9;]*m", "", colored.text)
    assert "\n".join(line.rstrip() for line in stripped.splitlines()) + "\n" == plain.text
