"""A plan in the JSON document: every step with its contents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from sealboot.model.plan import Action, Before, Plan, PlannedStep
from sealboot.model.steps import Upload, WriteFile
from sealboot.render import contents
from sealboot.render.shapes import PlanBody, StepShape

_ACTION: dict[Action, Literal["create", "change", "remove", "none", "depends"]] = {
    Action.CREATE: "create",
    Action.CHANGE: "change",
    Action.REMOVE: "remove",
    Action.NONE: "none",
    Action.DEPENDS: "depends",
}


def _step(planned: PlannedStep, before: Before | None) -> StepShape:
    step = planned.step
    made: StepShape = {
        "id": step.id,
        "host": step.host,
        "kind": type(step).__name__,
        "title": step.title,
        "action": _ACTION[planned.action],
        "detail": planned.detail,
    }
    if step.at is not None:
        made["at"] = {"file": step.at.file, "line": step.at.line, "column": step.at.column}
    if isinstance(step, (Upload, WriteFile)):
        made["dest"], made["mode"] = step.dest, f"{step.mode:04o}"
        if digest := contents.new_hash(step):
            made["sha256"] = digest
        if old := contents.old_hash(planned.detail):
            made["before"] = {"sha256": old}
    if isinstance(step, Upload):
        made["source"], made["size"] = step.source, step.size
    if isinstance(step, WriteFile):
        made["content"] = step.content
    if (changed := contents.change(planned, before)) is not None:
        made["diff"] = "".join(f"{line}\n" for line in changed)
    if script := contents.script_of(planned):
        made["script"] = script
    return made


def plan_body(made: Plan, before: Mapping[str, Before]) -> PlanBody:
    """The plan with all that its steps write and run; `before` has what is on the hosts, by step id."""
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
                "steps": [_step(p, before.get(p.step.id)) for p in w.steps],
            }
            for w in made.waves
        ],
    }
