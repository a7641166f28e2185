"""A plan as text: waves, then hosts, then steps behind the marks + ~ - = and ?, with what they write."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rich.console import RenderableType
from rich.text import Text

from sealboot.model.names import fold
from sealboot.model.plan import Action, Before, Plan, PlannedStep, PlannedWave, sent_bytes
from sealboot.model.report import PlanReport
from sealboot.model.steps import Run, Upload, WriteDisk, WriteFile
from sealboot.model.summary import summary as summarize
from sealboot.model.words import agree, plural
from sealboot.render import contents
from sealboot.render.text import human_bytes, safe, wrapped

_STYLE = {
    Action.CREATE: "sb.add",
    Action.CHANGE: "sb.change",
    Action.REMOVE: "sb.remove",
    Action.NONE: "sb.dim",
    Action.DEPENDS: "sb.dim",
}
_LINE_STYLE = {"+": "sb.add", "-": "sb.remove"}
#: Different contents of one step that are shown where hosts are told together.
_VARIANTS = 3
#: Characters of one line of a file that are shown.
_WIDEST = 400


@dataclass(frozen=True, slots=True)
class _Line:
    """A step as a line of the plan; equal lines of several hosts are one."""

    mark: str
    text: str


def _line(planned: PlannedStep) -> _Line:
    step = planned.step
    acts = planned.action.value in "+~"
    where = ""
    if isinstance(step, (Upload, WriteFile)) and step.dest not in step.title:
        where = f" to {safe(step.dest)}"
    amount = sent_bytes(step) if acts else 0
    size = f"  {human_bytes(amount)}" if amount else ""
    why = _detail(planned)
    detail = f"  ({why})" if why else ""
    lost = ""
    if isinstance(step, (WriteDisk, Run)) and step.destroys and acts:
        lost = f"  [destroys {safe(step.destroys)}]"
    place = "  (on this machine)" if step.on == "controller" else ""
    return _Line(planned.action.value, f"{safe(step.title)}{where}{size}{place}{detail}{lost}")


def _detail(planned: PlannedStep) -> str:
    """Why it is to change. What differs in a small file stands under it, so that hosts with one step are one line."""
    if not contents.old_hash(planned.detail):
        return safe(planned.detail)
    match planned.step:
        case Upload():
            return contents.hashes(planned)
        case WriteFile():
            return ""
        case _:
            return safe(planned.detail)


@dataclass(frozen=True, slots=True)
class _Sheet:
    """How a plan is shown: what is on the hosts now, how wide the screen is, and whether all is wanted."""

    before: Mapping[str, Before]
    width: int
    full: bool

    def wave(self, wave: PlannedWave) -> Iterator[Text]:
        """Its hosts, those with equal steps together."""
        groups: defaultdict[tuple[_Line, ...], list[str]] = defaultdict(list)
        for host in wave.hosts:
            groups[tuple(_line(p) for p in self._shown(wave, host))].append(host)
        for lines, hosts in groups.items():
            name = safe(fold(hosts))
            if not lines:
                yield Text(f"  = {name}: nothing to do", style="sb.dim")
                continue
            yield Text(f"    {name}", style="sb.head")
            members = [self._shown(wave, host) for host in hosts]
            for line, steps in zip(lines, zip(*members, strict=True), strict=True):
                for part in wrapped(
                    line.text, first=f"      {line.mark} ", rest="          ", width=self.width
                ):
                    yield Text(part, style=_STYLE[Action(line.mark)])
                yield from self._contents(steps)

    def _shown(self, wave: PlannedWave, host: str) -> list[PlannedStep]:
        return [p for p in wave.of(host) if self.full or p.action is not Action.NONE]

    def _contents(self, steps: tuple[PlannedStep, ...]) -> Iterator[Text]:
        """What the same step writes on each of these hosts: once where it is the same."""
        variants: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
        for planned in steps:
            before = self.before.get(planned.step.id)
            variants[tuple(contents.shown(planned, before, full=self.full))].append(planned.step.host)
        told = list(variants.items()) if self.full else list(variants.items())[:_VARIANTS]
        for lines, hosts in told:
            if lines and len(variants) > 1:
                yield Text(f"          {safe(fold(hosts))}:", style="sb.dim")
            for line in lines:
                yield from self._content(line)
        left = len(variants) - len(told)
        if left:
            more = agree(left, "... {} more that differs: --full", "... {} more that differ: --full")
            yield Text(f"          {more}", style="sb.dim")

    def _content(self, line: str) -> Iterator[Text]:
        """One line of a file as it stands, indented under its step, continued under itself."""
        text = safe(line, limit=_WIDEST).replace("\t", "    ")
        room = max(20, self.width - 12)
        for start in range(0, max(1, len(text)), room):
            indent = "          " if start == 0 else "            "
            yield Text(indent + text[start : start + room], style=_LINE_STYLE.get(line[:1], "sb.dim"))


def document(report: PlanReport, width: int, *, full: bool = False) -> Iterator[RenderableType]:
    """The whole plan; steps that are already so are folded away, and long files cut, unless `full`."""
    plan = report.plan
    if plan.changes == 0 and not full:
        yield Text(_idle(report), style="sb.ok")
        return
    sheet = _Sheet(report.before, width, full)
    yield Text(f"Plan for cluster {safe(plan.cluster)}, driver {safe(plan.driver)}", style="sb.head")
    for number, wave in enumerate(plan.waves, 1):
        if not full and all(p.action is Action.NONE for p in wave.steps):
            continue
        order = "" if wave.parallel is None else f", {wave.parallel} at a time"
        yield Text()
        yield Text(f"  wave {number}: {safe(wave.title)}{order}", style="sb.head")
        yield from sheet.wave(wave)
    yield Text()
    yield summary(plan)


def _idle(report: PlanReport) -> str:
    if report.unfinished:
        return "No step is to change; what an earlier run left undone comes first."
    hosts = len(report.plan.hosts)
    return "Nothing to do: " + agree(hosts, "{} host is as it should be.", "{} hosts are as they should be.")


def summary(plan: Plan) -> Text:
    """`Plan: 4 to add, 1 to change, 0 to remove, 7 as they should be; 12 MiB to upload.`."""
    count = summarize(plan)
    depends = f", {count.depends} if needed" if count.depends else ""
    same = agree(count.same, "{} as it should be", "{} as they should be")
    return Text(
        f"Plan: {count.create} to add, {count.change} to change, {count.remove} to remove{depends}, "
        f"{same}; {human_bytes(count.upload_bytes)} to upload, "
        f"{plural(count.hosts_changed, 'host')} of {count.hosts} to change.",
        style="sb.head",
    )
