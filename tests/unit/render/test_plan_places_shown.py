"""What a plan's text says about disks that go, and about what is done on the operator's own machine."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from sealboot.model.plan import Action, Plan, PlannedStep, PlannedWave
from sealboot.model.report import PlanReport
from sealboot.model.steps import Run, Step
from sealboot.render.plan import document


def shown(step: Step, action: Action = Action.CHANGE) -> str:
    plan = Plan("lab", "talos", (PlannedWave("w", "Go", (PlannedStep(step, action),)),), ("cp1",))
    return "\n".join(
        part.plain for part in document(PlanReport(plan), 200, full=True) if isinstance(part, Text)
    )


def run(**more: Any) -> Run:
    return Run(id="r", host="cp1", title="install", script="x", **more)


def test_a_disk_that_goes_is_shown() -> None:
    text = shown(run(destroys="everything on /dev/sda"))
    assert "~ install  [destroys everything on /dev/sda]" in text
    assert "destroys" not in shown(run(destroys="everything on /dev/sda"), Action.NONE)


def test_steps_on_this_machine_are_shown_as_such() -> None:
    assert "~ install  (on this machine)" in shown(run(on="controller"))
    assert "machine" not in shown(run())


def test_an_inventory_cannot_draw_with_it() -> None:
    assert "\x1b" not in shown(run(destroys="\x1b[2J"))
