"""A plan as text: waves, then hosts, then steps behind the marks + ~ - = and ?."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from sealboot.model.names import fold
from sealboot.model.plan import Action, Plan, PlannedStep, PlannedWave, sent_bytes
from sealboot.model.steps import Run, WriteDisk
from sealboot.model.summary import summary as summarize
from sealboot.model.words import agree, plural
from sealboot.render.text import human_bytes, safe

_STYLE = {
    Action.CREATE: "sb.add",
    Action.CHANGE: "sb.change",
    Action.REMOVE: "sb.remove",
    Action.NONE: "sb.dim",
    Action.DEPENDS: "sb.dim",
}


def _line(planned: PlannedStep) -> tuple[str, str]:
    step = planned.step
    detail = f"  ({safe(planned.detail)})" if planned.detail else ""
    amount = sent_bytes(step) if planned.action.value in "+~" else 0
    size = f"  {human_bytes(amount)}" if amount else ""
    lost = ""
    if isinstance(step, (WriteDisk, Run)) and step.destroys and planned.action.value in "+~":
        lost = f"  [destroys {safe(step.destroys)}]"
    place = "  (on this machine)" if step.on == "controller" else ""
    return planned.action.value, f"{safe(step.title)}{size}{place}{detail}{lost}"


def _wave(wave: PlannedWave, *, full: bool) -> Iterator[Text]:
    groups: defaultdict[tuple[tuple[str, str], ...], list[str]] = defaultdict(list)
    for host in wave.hosts:
        shown = tuple(_line(p) for p in wave.of(host) if full or p.action is not Action.NONE)
        groups[shown].append(host)
    for steps, hosts in groups.items():
        name = safe(fold(hosts))
        if not steps:
            yield Text(f"  = {name}: nothing to do", style="sb.dim")
            continue
        yield Text(f"    {name}", style="sb.head")
        for mark, line in steps:
            yield Text(f"      {mark} {line}", style=_STYLE[Action(mark)])


def document(plan: Plan, *, full: bool = False) -> Iterator[RenderableType]:
    """The whole plan; steps that are already so are folded away unless `full`."""
    if plan.changes == 0 and not full:
        yield Text(
            "Nothing to do: "
            + agree(len(plan.hosts), "{} host is as it should be.", "{} hosts are as they should be."),
            style="sb.ok",
        )
        return
    yield Text(f"Plan for cluster {safe(plan.cluster)}, driver {safe(plan.driver)}", style="sb.head")
    for number, wave in enumerate(plan.waves, 1):
        if not full and all(p.action is Action.NONE for p in wave.steps):
            continue
        order = "" if wave.parallel is None else f", {wave.parallel} at a time"
        yield Text()
        yield Text(f"  wave {number}: {safe(wave.title)}{order}", style="sb.head")
        yield from _wave(wave, full=full)
    yield Text()
    yield summary(plan)


def summary(plan: Plan) -> Text:
    """`Plan: 4 to add, 1 to change, 0 to remove, 7 as they should be; 12 MiB to upload.`."""
    count = summarize(plan)
    depends = f", {count.depends} if needed" if count.depends else ""
    return Text(
        f"Plan: {count.create} to add, {count.change} to change, {count.remove} to remove{depends}, "
        f"{count.same} as they should be; {human_bytes(count.upload_bytes)} to upload, "
        f"{plural(count.hosts_changed, 'host')} of {count.hosts} to change.",
        style="sb.head",
    )
