"""Whole frames as a terminal shows them, at two widths: scripted events, a clock of our own, a decoded screen."""

from __future__ import annotations

import pytest
from golden_kit import assert_golden
from screen_kit import Terminal, Tty

from sealboot.model.diagnostic import Diagnostic
from sealboot.model.events import (
    Event,
    FactsGathered,
    Found,
    HostFinished,
    RunFinished,
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
from sealboot.render.console import make_consoles
from sealboot.render.live import LiveProgress

MIB = 1 << 20
SIZES = [(80, 24), (120, 40)]


class Stage:
    """A live table on a terminal, whose time and frames are ours."""

    def __init__(self, columns: int, lines: int, **env: str) -> None:
        self.stream = Tty()
        self.now = 0.0
        self.terminal = Terminal(columns, lines)
        made = make_consoles(
            err=self.stream,
            out=self.stream,
            env={"TERM": "xterm", "COLUMNS": str(columns), "LINES": str(lines), **env},
        )
        assert made.live
        self.progress = LiveProgress(made.err, clock=lambda: self.now, refresh=0)

    def play(self, *events: Event, at: float | None = None) -> None:
        self.now = self.now if at is None else at
        for event in events:
            self.progress(event)

    def shown(self) -> str:
        """Draw; what is on the screen then."""
        self.progress.draw()
        self.flush()
        return self.terminal.text

    def flush(self) -> None:
        self.terminal.feed(self.stream.getvalue().encode())
        self.stream.seek(0)
        self.stream.truncate()


def started(*hosts: str) -> RunStarted:
    return RunStarted(at=0.0, command="apply", cluster="lab", hosts=hosts)


def begun(host: str, title: str = "upload blob to /opt/blob") -> StepStarted:
    return StepStarted(at=0.0, host=host, step=f"s-{host}", title=title, wave="w")


def sent(host: str, done: float, total: float = 40) -> StepProgress:
    return StepProgress(at=0.0, host=host, step=f"s-{host}", done=int(done * MIB), total=int(total * MIB))


def verifying(host: str) -> StepVerifying:
    return StepVerifying(at=0.0, host=host, step=f"s-{host}")


def ended(host: str) -> StepFinished:
    return StepFinished(
        at=0.0, host=host, step=f"s-{host}", title="t", wave="w", result="changed", seconds=9.0, sent=40 * MIB
    )


HOSTS = ("pi01", "pi02", "edge-rack07-board-0012.lab.example", "ctl1")
WAVE = WaveStarted(at=0.0, wave="w", title="ship the program", index=1, total=3)


def story(stage: Stage) -> list[str]:
    """Two uploads, a lock, a check and a refused connection; one is verified, then Ctrl-C, twice."""
    frames = []
    stage.play(started(*HOSTS), *(StageStarted(at=0.0, host=h, stage="lock") for h in HOSTS), at=1.0)
    frames.append(stage.shown())
    refused = Diagnostic("SB201", "ctl1 is unreachable: nobody listens on port 22", host="ctl1")
    long = begun(HOSTS[2], "import the images of the release v1.33.4+k3s1 into containerd's store")
    stage.play(WAVE, Found(at=0.0, diagnostic=refused), begun("pi01"), begun("pi02"), long, at=2.0)
    frames.append(stage.shown())
    stage.play(sent("pi01", 1), sent(HOSTS[2], 2, 286.1), at=2.5)
    frames.append(stage.shown())
    stage.play(sent("pi01", 21), sent("pi02", 8), sent(HOSTS[2], 12.4, 286.1), at=4.5)
    frames.append(stage.shown())
    stage.play(sent("pi01", 40), verifying("pi01"), sent("pi02", 18), sent(HOSTS[2], 59.8, 286.1), at=6.5)
    frames.append(stage.shown())
    stage.now = 8.0  # nothing arrives: times go on all the same
    frames.append(stage.shown())
    stage.play(ended("pi01"), RunStopping(at=0.0, signal="SIGINT", grace=2.5), at=8.5)
    frames.append(stage.shown())
    stage.play(RunStopping(at=0.0, signal="SIGINT", grace=2.5, now=True), at=9.0)
    frames.append(stage.shown())
    return frames


@pytest.mark.parametrize(("columns", "lines"), SIZES)
def test_the_frames_of_an_apply(columns: int, lines: int) -> None:
    stage = Stage(columns, lines)
    frames = story(stage)
    pictures = (f"--- {n} ---\n{frame}\n" for n, frame in enumerate(frames, 1))
    assert_golden(f"live/apply-{columns}x{lines}.txt", "".join(pictures))
    stage.play(RunFinished(at=10.0, exit_code=130))
    stage.flush()
    assert stage.terminal.text == ""
    assert not stage.terminal.cursor_hidden


@pytest.mark.parametrize("columns", [20, 30, 40, 50, 60, 70, 80, 100, 120, 200, 400])
def test_no_line_is_wider_than_the_terminal_and_every_name_is_there(columns: int) -> None:
    stage = Stage(columns, 24)
    for frame in story(stage):
        lines = frame.splitlines()
        assert len(lines) <= len(HOSTS) + 3, "a line was wrapped"
        for name in ("pi01", "pi02", "ctl1"):
            assert sum(line.split()[0] == name for line in lines) == 1
        (long,) = [line for line in lines if line.startswith("edge-")]
        shown = long.split()[0]
        assert shown == HOSTS[2] or (shown.count("…") == 1 and HOSTS[2].endswith(shown.split("…")[1]))


def test_bytes_rate_and_time_left() -> None:
    stage = Stage(100, 24)
    stage.play(started("a", "b"), begun("a"), begun("b"), sent("a", 10), at=1.0)
    stage.play(sent("a", 20), at=3.0)
    (line,) = [line for line in stage.shown().splitlines() if line.startswith("a ")]
    assert line.split("─")[-1].split() == ["20.0/40.0", "MiB", "5.0", "MiB/s", "4s", "left"]
    assert line.count("━") == line.count("─") > 3, line
    stage.now = 7.0  # four seconds without a byte: no rate of old is told
    (line,) = [line for line in stage.shown().splitlines() if line.startswith("a ")]
    assert line.split("─")[-1].split() == ["20.0/40.0", "MiB", "1.7", "MiB/s", "12s", "left"]


def test_a_file_that_is_sent_once_more_begins_anew() -> None:
    stage = Stage(100, 24)
    stage.play(started("a"), begun("a"), sent("a", 10), at=1.0)
    stage.play(sent("a", 40), verifying("a"), at=2.0)
    assert "40.0 MiB" in stage.shown()
    assert "verifying 0.0s" in stage.shown()
    stage.play(sent("a", 4), at=3.0)
    (line,) = [line for line in stage.shown().splitlines() if line.startswith("a ")]
    assert line.split("─")[-1].split() == ["4.0/40.0", "MiB"]


@pytest.mark.parametrize(("columns", "lines"), [*SIZES, (80, 8), (60, 4)])
def test_of_many_hosts_those_at_work_and_in_trouble_are_shown(columns: int, lines: int) -> None:
    stage = Stage(columns, lines)
    names = [f"node{n:03}" for n in range(200)]
    stage.play(started(*names))
    facts = [FactsGathered(at=0.0, host=h, arch="arm64", userland="arm64") for h in names[:100]]
    broken = Diagnostic("SB503", "it did not answer", host=names[150])
    stage.play(*facts, Found(at=0.0, diagnostic=broken))
    for name in names[180:188]:
        stage.play(begun(name), sent(name, 1), at=1.0)
        stage.play(sent(name, 3), at=2.0)
    shown = stage.shown().splitlines()
    assert len(shown) < lines
    footer = shown[-1]
    assert footer.startswith("8 at work, 91 waiting, 100 done, 1 failed")
    room = max(lines - 5, 1)
    named = [line.split()[0] for line in shown[1:-1]]
    if columns > 60:
        assert f"({200 - room} not shown)  2.0s  24/320 MiB" in footer, "the bytes of all that are under way"
    assert named == sorted(named)
    assert len(named) == room
    first = [names[150], *names[180:188]]
    assert set(named) >= set(first[:room])
    for line in shown[1:-1]:
        if line.split()[0] in names[180:188]:
            assert "3.0/40.0 MiB" in line


HOSTILE = [
    "\x1b[2J\x1b[31mpi",
    "机器零一号在机房的很后面的那个架子上",
    "e\u0301dge\u200b\u202e01",
    "[bold]x[/bold]",
    "a\tb\nc\x9b",
    "🚀" * 30,
]


@pytest.mark.parametrize(("columns", "lines"), SIZES)
@pytest.mark.parametrize("text", HOSTILE)
def test_names_and_titles_cannot_move_anything(columns: int, lines: int, text: str) -> None:
    stage = Stage(columns, lines)
    stage.play(started(text, "pi02"), begun(text, text), begun("pi02", text), sent(text, 1), at=1.0)
    stage.play(
        WaveStarted(at=0.0, wave="w", title=text, index=1, total=1), sent(text, 9), sent("pi02", 2), at=2.0
    )
    stage.progress.draw()
    raw = stage.stream.getvalue()
    for bad in ("\x1b[2J", "\x1b[31mpi", "\x9b", "\u202e", "\u200b", "\t"):
        assert bad not in raw
    stage.flush()
    shown = stage.terminal.text.splitlines()
    assert len(shown) == 4
    (other,) = [line for line in shown if line.startswith("pi02 ")]
    assert "2.0/40.0 MiB" in other
    first = shown[1]
    assert "9.0/40.0 MiB" in first
    # A wide character takes two cells: the bars begin in the same one.
    cells = stage.terminal.screen.buffer
    starts = [min(c for c in range(columns) if cells[line][c].data in {"━", "╸", "─"}) for line in (1, 2)]
    assert starts[0] == starts[1] > 12


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {}])
def test_a_bar_can_be_read_without_colour(env: dict[str, str]) -> None:
    stage = Stage(80, 24, **env)
    stage.play(started("a"), begun("a"), sent("a", 10), at=1.0)
    stage.progress.draw()
    raw = stage.stream.getvalue()
    assert ("\x1b[32m" in raw) is not bool(env)
    stage.flush()
    assert "━" in stage.terminal.text
    assert "─" in stage.terminal.text


def test_a_terminal_without_unicode_gets_other_marks() -> None:
    stream = Tty()
    stream.encoding = "iso-8859-1"
    made = make_consoles(err=stream, env={"TERM": "xterm", "COLUMNS": "80", "LINES": "24"})
    progress = LiveProgress(made.err, refresh=0)
    for event in (started("a" * 40), begun("a" * 40), sent("a" * 40, 10)):
        progress(event)
    progress.draw()
    progress.close()
    shown = stream.getvalue()
    assert shown.encode("iso-8859-1")
    assert "##\x1b[0m\x1b[90m---" in shown
    assert "aaa~aaa" in shown


def test_every_end_of_a_host_has_its_line() -> None:
    stage = Stage(80, 24)
    names = [o.value for o in HostOutcome]
    stage.play(started(*names))
    stage.play(*(HostFinished(at=0.0, host=o.value, outcome=o) for o in HostOutcome))
    shown = stage.shown()
    assert [line.split() for line in shown.splitlines()[1:-1]] == [[n, n] for n in names]
