"""Events go to every sink, in order, with the time since the run began; nothing here waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from sealboot.model.events import Event, Heartbeat, Sink, StepProgress, StepVerifying

#: Seconds between two progress events of one host; the last bytes are always told.
PROGRESS_INTERVAL = 0.25


class Bus:
    """Fans events out. A sink that raises is dropped: a report must never stop a run."""

    __slots__ = ("_clock", "_last", "_progress", "_sinks", "_start")

    def __init__(self, *sinks: Sink, clock: Callable[[], float] = time.monotonic) -> None:
        self._sinks = list(sinks)
        self._clock = clock
        self._start = clock()
        self._last = self._start
        self._progress: dict[str, tuple[float, str]] = {}  # by host: when, and the step whose end was told

    @property
    def now(self) -> float:
        """Seconds since the bus was made."""
        return self._clock() - self._start

    @property
    def silence(self) -> float:
        """Seconds since the last event that was no progress."""
        return self._clock() - self._last

    def emit(self, event: Event) -> None:
        """Hand the event to every sink."""
        if not isinstance(event, StepProgress):
            self._last = self._clock()
        for sink in tuple(self._sinks):
            try:
                sink(event)
            except Exception:  # noqa: BLE001 (whatever a report does, the run goes on)
                self._sinks.remove(sink)

    def progress(self, host: str, step: str, done: int, total: int) -> None:
        """Tell the bytes sent so far, not more often than `PROGRESS_INTERVAL`; the last one always, and once."""
        now, whole = self.now, done >= total
        last, told = self._progress.get(host, (-PROGRESS_INTERVAL, ""))
        if told == step if whole else now - last < PROGRESS_INTERVAL:
            return
        self._progress[host] = (now, step if whole else "")
        self.emit(StepProgress(at=now, host=host, step=step, done=done, total=total))
        if whole:
            self.emit(StepVerifying(at=now, host=host, step=step))

    def heartbeat(self, busy: Sequence[tuple[str, str]]) -> None:
        """Say that these (host, step title) pairs are still at work."""
        self.emit(Heartbeat(at=self.now, busy=tuple(busy)))
