"""What a run is doing at this moment, put together from its events: what live tables and heartbeats are made of."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from sealboot.model.events import (
    Event,
    FactsGathered,
    Found,
    HostFinished,
    RunStarted,
    RunStopping,
    StageStarted,
    StepFinished,
    StepProgress,
    StepStarted,
    StepVerifying,
    WaveStarted,
)
from sealboot.model.outcome import HostOutcome
from sealboot.render.text import human_seconds

#: Seconds over which a rate is taken: long enough to be calm, short enough to follow the network.
WINDOW = 5.0
#: Seconds without a sample after which the time that passed counts as time without bytes.
QUIET = 2.0

_BAD = {HostOutcome.FAILED, HostOutcome.UNREACHABLE, HostOutcome.UNKNOWN}


@dataclass(slots=True)
class Transfer:
    """The bytes of one upload, and when they went."""

    total: int
    done: int = 0
    verifying: float | None = None  # since when the host stores and hashes what arrived
    _samples: deque[tuple[float, int]] = field(default_factory=deque)

    def moved(self, now: float, done: int) -> None:
        """So many bytes are sent by now. Fewer than before: the file is sent once more."""
        if done < self.done:
            self._samples.clear()
        self.done, self.verifying = done, None
        self._samples.append((now, done))
        while len(self._samples) > 2 and self._samples[1][0] <= now - WINDOW:
            self._samples.popleft()

    def rate(self, now: float) -> float | None:
        """Bytes per second over the last seconds; `None` while nobody can tell."""
        if len(self._samples) < 2:
            return None
        (first, before), (last, after) = self._samples[0], self._samples[-1]
        until = now if now - last > QUIET else last
        return (after - before) / max(until - first, 0.001)

    def left(self, now: float) -> float | None:
        """Seconds until the last byte is sent, at the rate of the last seconds."""
        rate = self.rate(now)
        return (self.total - self.done) / rate if rate else None


@dataclass(slots=True)
class Row:
    """What one host is doing. `state` is waiting, at work, done or failed."""

    name: str
    doing: str = "waiting"
    since: float = 0.0
    state: str = "waiting"
    transfer: Transfer | None = None

    def begin(self, doing: str, now: float) -> None:
        """Something new begins on this host."""
        self.doing, self.since, self.state, self.transfer = doing, now, "at work", None


class Board:
    """The state of a run. `note` takes its events in; the times are those of this clock.

    Not of the events: those of different rooms count from different beginnings.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._start = clock()
        self.rows: dict[str, Row] = {}
        self.title = ""
        self.wave = ""
        self.stopping: RunStopping | None = None

    @property
    def now(self) -> float:
        """Seconds since the board was made."""
        return self._clock() - self._start

    def note(self, event: Event) -> None:
        """Take the event in."""
        match event:
            case RunStarted():
                self.title = f"{event.command} {event.cluster}"
                for host in event.hosts:
                    self.rows.setdefault(host, Row(host))
            case WaveStarted():
                self.wave = f"wave {event.index}/{event.total}: {event.title}"
            case RunStopping():
                self.stopping = event
            case Found(diagnostic=d) if d.host in self.rows and d.severity.value == "error":
                row = self.rows[d.host]
                row.state, row.doing, row.transfer = "failed", f"{d.code} {d.summary}", None
            case StepProgress() | StepVerifying():
                self._transfer(self._row(event.host), event)
            case StageStarted() | StepStarted() | StepFinished() | FactsGathered() | HostFinished():
                self._host(self._row(event.host), event)
            case _:
                pass

    def _row(self, host: str) -> Row:
        return self.rows.setdefault(host, Row(host))

    def _transfer(self, row: Row, event: StepProgress | StepVerifying) -> None:
        if isinstance(event, StepProgress):
            if row.transfer is None or row.transfer.total != event.total:
                row.transfer = Transfer(event.total)
            row.transfer.moved(self.now, event.done)
        elif row.transfer is not None:
            row.transfer.verifying = self.now

    def _host(self, row: Row, event: Event) -> None:
        match event:
            case StageStarted():
                row.begin(event.stage, self.now)
            case StepStarted():
                row.begin(event.title, self.now)
            case StepFinished():
                row.transfer = None
                if event.result in {"failed", "unknown"}:
                    row.state = "failed"
                else:
                    row.state = row.doing = "waiting"
            case FactsGathered():
                row.doing, row.state = f"{event.arch} kernel, {event.userland} userland", "done"
            case HostFinished():
                row.state = "failed" if event.outcome in _BAD else "done"
                row.doing, row.transfer = event.outcome.value, None
            case _:
                pass


def stopping_words(event: RunStopping) -> str:
    """What happens after the first signal, and what a second one does."""
    if event.now:
        return "ending now"
    again = "press Ctrl-C again" if event.signal == "SIGINT" else f"send {event.signal} again"
    again = f"; {again} to end now" if event.signal else ""
    return f"stopping... what runs has {human_seconds(event.grace)} to end{again}"
