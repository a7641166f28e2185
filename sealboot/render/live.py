"""Progress on a terminal: a table that is redrawn in place, from events alone."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from sealboot.model.events import (
    Event,
    RunFinished,
    RunStarted,
    RunStopping,
    StageStarted,
    StepProgress,
    StepStarted,
    StepVerifying,
)
from sealboot.render.board import Board
from sealboot.render.frame import frame, marks_for
from sealboot.render.lines import LineProgress
from sealboot.render.text import safe

#: Frames each second.
REFRESH = 8.0
#: Events that bring the table back.
_UNDER_WAY = (RunStarted, StageStarted, StepStarted, StepProgress, StepVerifying, RunStopping)
#: Seconds that the last frame gets to be written.
_PATIENCE = 1.0


class LiveProgress:
    """A sink that keeps a table up to date; `close` leaves nothing behind on the screen.

    Neither ever raises. What goes wrong in drawing ends the table and nothing
    else: it says why in one line, and from then on every event is a line, as
    where nothing can be redrawn.
    """

    def __init__(
        self,
        console: Console,
        *,
        clock: Callable[[], float] = time.monotonic,
        verbose: bool = False,
        refresh: float = REFRESH,
    ) -> None:
        """`refresh` is frames each second; with 0 nobody draws but `draw`."""
        self._console = console
        self._refresh = refresh
        self._marks = marks_for(console.encoding)
        self._board = Board(clock)
        self._lines = LineProgress(console, verbose=verbose, board=self._board)
        # Guards the board and the fields below. Never held while rich draws: rich has locks of its own.
        self._lock = threading.Lock()
        self._live: Live | None = None
        self._painter: tuple[threading.Thread, threading.Event] | None = None
        self._broken = False

    def __call__(self, event: Event) -> None:
        """Take the event in; the next frame shows it.

        Whatever is under way brings the table back: a plan, a question or a
        finding may have taken it down in the middle of a run.
        """
        try:
            if self._broken:
                self._lines(event)
                return
            with self._lock:
                self._board.note(event)
            if isinstance(event, RunFinished):
                self.close()
            elif self._live is None and isinstance(event, _UNDER_WAY):
                self._show()
            elif isinstance(event, RunStopping):
                self._wake()  # who pressed Ctrl-C waits for an answer
        except Exception as error:  # noqa: BLE001 (whatever a display does, the run goes on)
            self._fall_back(error)

    def close(self) -> None:
        """Take the table off the screen."""
        with self._lock:
            live, self._live = self._live, None
            painter, self._painter = self._painter, None
        if live is None:
            return
        if painter is not None:
            painter[1].set()
        try:
            live.stop()
        except Exception as error:  # noqa: BLE001 (see above)
            self._fall_back(error)
        if painter is not None and painter[0] is not threading.current_thread():
            painter[0].join(_PATIENCE)

    def draw(self) -> None:
        """Draw one frame now."""
        live = self._live
        if live is None:
            return
        try:
            live.refresh()
        except Exception as error:  # noqa: BLE001 (see above)
            self._fall_back(error)

    def frame(self) -> RenderableType:
        """The picture of this moment; empty once drawing failed."""
        if self._broken:
            return Text()
        with self._lock:
            return Group(*frame(self._board, self._console.width, self._console.height, self._marks))

    def _show(self) -> None:
        # Not rich's own thread: it dies of an exception and leaves the last frame standing.
        live = Live(console=self._console, auto_refresh=False, transient=True, get_renderable=self.frame)
        self._live = live  # before it starts: whatever it did until it failed is undone by `close`
        live.start()
        if self._refresh:
            wake = threading.Event()
            painter = threading.Thread(target=self._paint, args=(live, wake), name="display", daemon=True)
            self._painter = painter, wake
            painter.start()

    def _paint(self, live: Live, wake: threading.Event) -> None:
        while self._live is live and not self._broken:
            self.draw()
            wake.wait(1 / self._refresh)
            wake.clear()

    def _wake(self) -> None:
        """Have the next frame drawn at once."""
        painter = self._painter
        if painter is not None:
            painter[1].set()

    def _fall_back(self, error: Exception) -> None:
        """Go on with lines, and say why, once."""
        with self._lock:
            if self._broken:
                return
            self._broken = True
        self.close()
        with contextlib.suppress(Exception):  # a terminal that is gone: there is nobody to tell
            self._console.show_cursor(True)
            why = safe(f"{type(error).__name__}: {error}", limit=120)
            self._console.print(
                Text(f"The live display failed ({why}); going on with one line for each step.", "sb.warning"),
                soft_wrap=True,
            )
            self._lines.catch_up()
