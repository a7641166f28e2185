"""Progress on a terminal: a table that is redrawn in place, from events alone."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sealboot.model.events import (
    Event,
    FactsGathered,
    Found,
    HostFinished,
    RunFinished,
    RunStarted,
    StageStarted,
    StepFinished,
    StepProgress,
    StepStarted,
    WaveStarted,
)
from sealboot.model.outcome import HostOutcome
from sealboot.render.text import human_bytes, human_seconds, safe

_REFRESH = 8  # frames each second
_BAD = {HostOutcome.FAILED, HostOutcome.UNREACHABLE, HostOutcome.UNKNOWN}


@dataclass(slots=True)
class _Row:
    """What one host is doing."""

    name: str
    doing: str = "waiting"
    since: float = 0.0
    done: int = 0
    total: int = 0
    state: str = "waiting"  # waiting, at work, done, failed
    changed: int = 0

    def begin(self, doing: str, at: float) -> None:
        self.doing, self.since, self.state, self.done, self.total = doing, at, "at work", 0, 0


class LiveProgress:
    """A sink that keeps a table up to date; `close` leaves nothing behind on the screen.

    Where there are more hosts than lines, those at work and those in trouble
    are shown, and the rest are counted.
    """

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._start = clock()
        self._rows: dict[str, _Row] = {}
        self._title = ""
        self._wave = ""
        self._live: Live | None = None

    def __call__(self, event: Event) -> None:
        """Take the event in; the next frame shows it.

        Whatever begins brings the table back: a plan and a question may have
        taken it down in the middle of a run.
        """
        self._note(event)
        if isinstance(event, RunStarted | StageStarted | StepStarted) and self._live is None:
            self._live = Live(
                console=self._console,
                refresh_per_second=_REFRESH,
                transient=True,
                get_renderable=self.frame,
            )
            self._live.start()
        elif isinstance(event, RunFinished):
            self.close()

    def close(self) -> None:
        """Take the table off the screen."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    @property
    def _now(self) -> float:
        """By our own clock: events of different rooms count from different beginnings."""
        return self._clock() - self._start

    def _note(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._title = f"{event.command} {event.cluster}"
                for host in event.hosts:
                    self._rows.setdefault(host, _Row(host))
            case WaveStarted():
                self._wave = f"wave {event.index}/{event.total}: {event.title}"
            case Found(diagnostic=d) if d.host in self._rows and d.severity.value == "error":
                row = self._rows[d.host]
                row.state, row.doing = "failed", f"{d.code} {d.summary}"
            case (
                StageStarted()
                | StepStarted()
                | StepProgress()
                | StepFinished()
                | FactsGathered()
                | HostFinished()
            ):
                row = self._rows.setdefault(event.host, _Row(event.host))
                self._note_host(row, event)
            case _:
                pass

    def _note_host(self, row: _Row, event: Event) -> None:
        match event:
            case StageStarted():
                row.begin(event.stage, self._now)
            case StepStarted():
                row.begin(event.title, self._now)
            case StepProgress():
                row.done, row.total = event.done, event.total
            case StepFinished():
                row.changed += event.result == "changed"
                row.state = "failed" if event.result in {"failed", "unknown"} else "waiting"
                row.total = 0
            case FactsGathered():
                row.doing, row.state = f"{event.arch} kernel, {event.userland} userland", "done"
            case HostFinished():
                row.state = "failed" if event.outcome in _BAD else "done"
                row.doing = event.outcome.value
            case _:
                pass

    def _shown(self) -> list[_Row]:
        room = max(self._console.height - 5, 3)
        rows = list(self._rows.values())
        if len(rows) <= room:
            return rows
        order = {"failed": 0, "at work": 1, "waiting": 2, "done": 3}
        kept = sorted(range(len(rows)), key=lambda i: (order[rows[i].state], i))[:room]
        return [rows[i] for i in sorted(kept)]

    def _cells(self, row: _Row, now: float) -> tuple[RenderableType, ...]:
        style = {"failed": "sb.error", "done": "sb.ok", "waiting": "sb.dim"}.get(row.state, "")
        elapsed = human_seconds(now - row.since) if row.state == "at work" else ""
        bar: RenderableType = Text("")
        rate = ""
        if row.total and row.state == "at work":
            bar = ProgressBar(total=row.total, completed=row.done, width=16, complete_style="sb.ok")
            spent = max(now - row.since, 0.001)
            rate = f"{human_bytes(row.done)} of {human_bytes(row.total)}, {human_bytes(row.done / spent)}/s"
        doing = Text(safe(row.doing, limit=120), style=style, overflow="ellipsis", no_wrap=True)
        return Text(safe(row.name), style="sb.head"), doing, bar, Text(rate), Text(elapsed, style="sb.dim")

    def frame(self) -> RenderableType:
        """The picture of this moment."""
        now = self._now
        grid = Table.grid(padding=(0, 2, 0, 0), expand=False)
        for _ in range(5):
            grid.add_column(no_wrap=True)
        shown = self._shown()
        for row in shown:
            grid.add_row(*self._cells(row, now))
        count = Counter(row.state for row in self._rows.values())
        words = ", ".join(f"{count[s]} {s}" for s in ("at work", "waiting", "done", "failed") if count[s])
        hidden = len(self._rows) - len(shown)
        footer = f"{words}{f' ({hidden} not shown)' if hidden else ''}  {human_seconds(now)}"
        head = Text(safe("  ".join(x for x in (self._title, self._wave) if x)), style="sb.head")
        return Group(head, grid, Text(footer, style="sb.dim"))
