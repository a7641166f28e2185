"""The table that is redrawn in place: when it is there, what time it tells, and what happens when it breaks."""

from __future__ import annotations

import io
import re
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.errors import MissingStyle
from rich.live import Live
from rich.markdown import Markdown
from rich.progress_bar import ProgressBar
from rich.style import Style
from rich.table import Table
from rich.tree import Tree
from screen_kit import Terminal, Tty

from sealboot.cli import runtime
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.events import (
    Heartbeat,
    RunFinished,
    RunStarted,
    RunStopping,
    StageStarted,
    StepFinished,
    StepProgress,
    StepStarted,
    StepVerifying,
)
from sealboot.render import console as consoles
from sealboot.render.board import Board
from sealboot.render.console import THEME, make_consoles
from sealboot.render.lines import LineProgress
from sealboot.render.live import LiveProgress
from sealboot.render.view import HumanView, MachineView


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def progress(clock: Clock) -> Iterator[LiveProgress]:
    made = LiveProgress(make_consoles(err=Tty(), env=TERM).err, clock=clock, refresh=0)
    yield made
    made.close()


def shown(progress: LiveProgress) -> str:
    text = io.StringIO()
    Console(file=text, width=80).print(progress.frame())
    return text.getvalue()


TERM = {"TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
STARTED = RunStarted(at=0.0, command="apply", cluster="lab", hosts=("m1",))
LOCK = StageStarted(at=0.0, host="m1", stage="lock")
STEP = StepStarted(at=0.0, host="m1", step="s", title="upload etcd", wave="w")
SENT = StepProgress(at=0.0, host="m1", step="s", done=1 << 20, total=4 << 20)
WHOLE = StepVerifying(at=0.0, host="m1", step="s")
DONE = StepFinished(
    at=0.0, host="m1", step="s", title="upload etcd", wave="w", result="changed", seconds=2.0, sent=4 << 20
)


@pytest.mark.parametrize("event", [LOCK, STEP, SENT, WHOLE], ids=lambda e: type(e).__name__)
def test_it_comes_back_after_a_plan_a_question_or_a_finding(
    progress: LiveProgress, event: StageStarted | StepStarted
) -> None:
    progress(STARTED)
    assert progress._live is not None
    progress.close()
    progress(event)
    assert progress._live is not None
    progress(RunFinished(at=9.0, exit_code=0))
    assert progress._live is None


def test_the_time_of_a_step_is_its_own_whatever_its_event_counts_from(
    progress: LiveProgress, clock: Clock
) -> None:
    progress(STARTED)
    clock.now += 30
    progress(STEP)
    clock.now += 2
    (line,) = [line for line in shown(progress).splitlines() if "upload etcd" in line]
    assert line.rstrip().endswith("2.0s")


# -- what breaks --------------------------------------------------------------------------------------


def until(condition: Any) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def break_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """A renderable asks for a style that nobody has, as a progress bar once did."""

    class Bar:
        def __rich_console__(self, console: Console, options: Any) -> Any:
            yield from ()
            console.get_style("bar.nobody")

    monkeypatch.setattr("sealboot.render.live.frame", lambda *_: [Bar()])


def break_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> Any:
        raise ZeroDivisionError("width \x1b[2J")

    monkeypatch.setattr("sealboot.render.live.frame", fails)


def break_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Live.stop

    def fails(self: Live) -> None:
        right(self)
        raise MissingStyle("Failed to get style 'bar.back'")

    monkeypatch.setattr(Live, "stop", fails)


@pytest.mark.parametrize("broken", [break_frame, break_layout])
def test_a_frame_that_cannot_be_drawn_ends_the_table_and_every_event_is_a_line(
    monkeypatch: pytest.MonkeyPatch, broken: Any
) -> None:
    stream = Tty()
    view = HumanView(make_consoles(err=stream, out=stream, env=TERM))
    view.event(STARTED)
    view.event(STEP)
    view.event(SENT)
    until(lambda: "1.0/4.0 MiB" in stream.getvalue())
    broken(monkeypatch)
    until(lambda: "The live display failed" in stream.getvalue())
    until(lambda: "display" not in {thread.name for thread in threading.enumerate()})
    for event in (WHOLE, DONE, Heartbeat(at=12.0, busy=(("m1", "start etcd"),))):
        view.event(event)
    view.message("more to say")
    view.event(RunStopping(at=0.0, signal="SIGINT", grace=2.5))
    view.event(RunFinished(at=9.0, exit_code=0))
    view.close()
    assert "FileProxy" not in {type(sys.stdout).__name__, type(sys.stderr).__name__}, "given back"
    terminal = Terminal(80, 24)
    terminal.feed(stream.getvalue().encode())
    lines = re.sub(r"(?<=[^.])\n(?=[a-z ])", "", terminal.text)
    assert lines.count("The live display failed") == 1
    assert "upload etcd, 1.0/4.0 MiB, 25%" in lines, "what was on the screen is said in a line"
    assert "m1: upload etcd: changed (2.0s, 4.0 MiB)" in lines
    assert "... 12.0s: m1: start etcd" in lines
    assert "more to say" in lines
    assert "press Ctrl-C again to end now" in lines
    assert not terminal.cursor_hidden
    assert "\x1b[2J" not in stream.getvalue()
    assert "1 at work" not in lines, "the table is gone"


def test_close_never_raises_and_what_follows_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Tty()
    view = HumanView(make_consoles(err=stream, out=stream, env=TERM))
    view.event(STARTED)
    view.event(STEP)
    break_stop(monkeypatch)
    refused = Diagnostic("SB503", "it did not pass its smoke test", host="m1")
    view.diagnostics("apply", [refused])
    view.close()
    assert "SB503" in stream.getvalue()
    assert "The live display failed (MissingStyle" in stream.getvalue()
    view.event(DONE)
    assert "upload etcd: changed" in stream.getvalue()


def test_an_error_of_the_run_is_not_replaced_by_one_of_the_display(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Tty()
    view = HumanView(make_consoles(err=stream, out=stream, env=TERM))
    view.event(STARTED)
    view.event(STEP)
    view.event(SENT)
    break_frame(monkeypatch)
    break_stop(monkeypatch)

    async def buggy() -> None:
        raise LookupError("the bug")

    with pytest.raises(LookupError, match="the bug"):
        runtime.run_async(buggy(), view)


class Gone(Tty):
    """A terminal whose other end hung up."""

    def write(self, text: str) -> int:
        raise OSError(5, "Input/output error")


def test_a_terminal_that_is_gone_raises_nothing() -> None:
    progress = LiveProgress(make_consoles(err=Gone(), env=TERM).err)
    for event in (STARTED, STEP, SENT, WHOLE, DONE):
        progress(event)
    progress.close()
    assert "FileProxy" not in {type(sys.stdout).__name__, type(sys.stderr).__name__}


# -- styles -------------------------------------------------------------------------------------------

NAMED = re.compile(r"[\"'](sb\.[a-z]+)[\"']")


def test_every_style_that_is_named_exists_and_every_one_that_exists_is_named() -> None:
    room = Path(consoles.__file__).parents[1]
    sources = [p for p in room.rglob("*.py") if p.name != "console.py"]
    named = {name for path in sources for name in NAMED.findall(path.read_text())}
    named |= {f"sb.{severity.value}" for severity in Severity}  # findings say it so
    assert named == {name for name in THEME.styles if name.startswith("sb.")}
    assert {name for name in named if THEME.styles[name] == Style.null()} == set()


@pytest.mark.parametrize("color", ["auto", "never"])
def test_what_rich_itself_draws_finds_its_styles(color: Any) -> None:
    table = Table("a", title="t", caption="c")
    table.add_row("b")
    tree = Tree("a")
    tree.add("b")
    drawn = (
        ProgressBar(total=3, completed=1),
        ProgressBar(),
        table,
        tree,
        Markdown("# a\n- `b`\n\n```\nc\n```"),
    )
    stream = Tty()
    made = make_consoles(out=stream, err=stream, color=color, env=TERM)
    for console in (made.out, made.err):
        for part in drawn:
            console.print(part)
    assert "a" in stream.getvalue()


# -- plain --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("term", ["dumb", "unknown"])
def test_a_terminal_that_cannot_move_its_cursor_gets_lines(term: str) -> None:
    stream = Tty()
    made = make_consoles(err=stream, out=stream, env={**TERM, "TERM": term})
    assert not made.live
    view = HumanView(made)
    for event in (STARTED, STEP, SENT, WHOLE, DONE):
        view.event(event)
    view.close()
    assert stream.getvalue() == "m1: upload etcd: changed (2.0s, 4.0 MiB)\n"


def plain(verbose: bool = False) -> tuple[LineProgress, io.StringIO, Clock]:
    stream, clock = io.StringIO(), Clock()
    return (
        LineProgress(make_consoles(err=stream, env={}).err, verbose=verbose, board=Board(clock)),
        stream,
        clock,
    )


def test_the_heartbeat_of_a_pipe_carries_bytes_per_cent_rate_and_time_left() -> None:
    progress, stream, clock = plain()
    progress(STARTED)
    progress(STEP)
    progress(StepProgress(at=0.0, host="m1", step="s", done=10 << 20, total=200 << 20))
    clock.now += 4
    progress(StepProgress(at=0.0, host="m1", step="s", done=50 << 20, total=200 << 20))
    beat = Heartbeat(at=10.0, busy=(("m1", "upload etcd"), ("m2", "start etcd")))
    progress(beat)
    assert stream.getvalue() == (
        "... 10.0s: m1: upload etcd, 50/200 MiB, 25%, 10.0 MiB/s, 15s left; m2: start etcd\n"
    )
    progress(WHOLE)
    progress(beat)
    assert stream.getvalue().splitlines()[-1] == (
        "... 10.0s: m1: upload etcd, 200 MiB sent, verifying; m2: start etcd"
    )
    progress(DONE)
    progress(Heartbeat(at=20.0, busy=(("m1", "start etcd"),)))
    assert stream.getvalue().splitlines()[-1] == "... 20.0s: m1: start etcd"


class Watched(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (
            RunStopping(at=0.0, signal="SIGINT", grace=2.5),
            "stopping... what runs has 2.5s to end; press Ctrl-C again to end now",
        ),
        (
            RunStopping(at=0.0, signal="SIGTERM", grace=2.5),
            "stopping... what runs has 2.5s to end; send SIGTERM again to end now",
        ),
        (RunStopping(at=0.0, signal="", grace=0.5), "stopping... what runs has 0.5s to end"),
        (RunStopping(at=0.0, signal="SIGINT", grace=2.5, now=True), "ending now"),
    ],
)
def test_a_stop_is_told_wherever_a_person_may_look(event: RunStopping, line: str) -> None:
    progress, stream, _ = plain()
    progress(event)
    assert stream.getvalue() == f"{line}\n"
    for terminal in (True, False):
        for machine, view_of in (
            (False, lambda made: HumanView(made, verbosity=-1)),
            (True, lambda made: MachineView(made, lines=False)),
            (True, lambda made: MachineView(made, lines=True)),
        ):
            out, err = io.StringIO(), Watched() if terminal else io.StringIO()
            view_of(make_consoles(out=out, err=err, plain=True, env={})).event(event)
            # A program that reads documents or events gets nothing else.
            assert err.getvalue() == ("" if machine and not terminal else f"{line}\n")
