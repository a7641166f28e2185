"""The live table of a real apply on a real terminal: 40 MB to each of three machines, decoded frame by frame."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
from cli_kit import COMMAND, Lab, clean, lab, terminal
from screen_kit import Terminal as Screen

from sealboot.model.arch import Arch

NAMES = ("ctl1", "pi01", "edge-rack07-board-0012")
MACHINES = tuple(zip(NAMES, (Arch.AMD64, Arch.ARM64, Arch.ARM64), strict=True))
MB = 1_000_000
APPLY = ("apply", "--yes", "--only", "ship-sealctl")
FOOTER = re.compile(r"^\d+ (?:at work|waiting|done|failed).*?  (\d+\.\d)s")
BYTES = re.compile(r"([\d.]+)/([\d.]+) MiB")
#: Draws a few frames and then asks rich for a style that nobody has.
BROKEN = """
import sealboot.render.live as live
from rich.text import Text
right, drawn = live.frame, []
class Bar:
    def __rich_console__(self, console, options):
        yield from ()
        console.get_style("bar.back" if "bar.back" not in console._theme_stack._entries[0] else "bar.nobody")
def frame(*arguments):
    made = right(*arguments)
    drawn.append("━" in str(made))
    return [*made, Bar()] if sum(drawn) > 3 else made
live.frame = frame
from sealboot.cli import main
main()
"""


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab(tmp_path_factory.mktemp("live") / "lab", machines=MACHINES, speed=12 * MB) as made:
        yield made


def build(made: Lab, size: int) -> None:
    """Two builds of a size that was not there before, so that there is something to do."""
    made.put("sealctl-linux-amd64", Arch.AMD64, size)
    made.put("sealctl-linux-arm64", Arch.ARM64, size)


def tables(screen: Screen, words: str = "") -> list[tuple[list[str], float]]:
    """The live table in each frame that holds one whole, and these words: its lines, and the seconds in its footer."""
    found = []
    for frame in screen.frames:
        if words not in frame:
            continue
        lines = frame.splitlines()
        ends = [(n, match) for n, line in enumerate(lines) if (match := FOOTER.match(line))]
        if ends:
            end, match = ends[-1]
            found.append((lines[end - 1 - len(NAMES) : end + 1], float(match[1])))
    return found


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (120, 40)])
def test_an_apply_is_seen_moving(machines: Lab, columns: int, lines: int) -> None:
    build(machines, 40 * MB + columns)
    screen = Screen(columns, lines)
    with terminal(machines.folder, *APPLY, size=(columns, lines)) as shown:
        assert shown.end() == 0, shown.shown.decode()
    screen.feed(shown.shown)
    seen = tables(screen)
    for table, _ in seen:
        assert table[0].startswith("apply demo"), table
        assert [line.split()[0] for line in table[1:-1]] == list(NAMES), "names first, whole, one line each"
    for name in NAMES:
        rows = [line for table, _ in seen for line in table if line.startswith(f"{name} ")]
        moving = [(float(m[1]), line) for line in rows if (m := BYTES.search(line))]
        done = [part for part, _ in moving]
        assert done == sorted(done)
        assert len(set(done)) >= 4, "the bytes move"
        bars = [line.count("━") for _, line in moving]
        assert bars == sorted(bars)
        assert len(set(bars)) >= 4, "the bar moves"
        assert any(re.search(r"[\d.]+ MiB/s +\d+s left$", line) for _, line in moving)
        assert any(re.search(r"38\.\d MiB +verifying \d+\.\ds$", line) for line in rows)
        assert not any("sealctl" in line.split()[0] for line in rows)
    seconds = [at for _, at in seen]
    assert seconds == sorted(seconds)
    assert len(set(seconds)) > 15, "time goes on"
    (took,) = re.findall(r"\((\d+\.\d)s\)$", screen.text, re.MULTILINE)
    assert seconds[-1] > 0.7 * float(took), "to the end"
    final = screen.text.splitlines()
    assert final[-1].startswith("3 changed.")
    assert not any(FOOTER.match(line) or "━" in line for line in final)
    assert not screen.cursor_hidden


def test_an_error_in_drawing_does_not_hide_the_run(machines: Lab) -> None:
    build(machines, 40 * MB)
    screen = Screen(80, 50)
    command = (sys.executable, "-c", BROKEN)
    with terminal(machines.folder, *APPLY, size=(80, 50), command=command) as shown:
        assert shown.end() == 0, shown.shown.decode()
    screen.feed(shown.shown)
    assert any("━" in frame for frame in screen.frames), "it was there at first"
    assert screen.text.count("The live display failed (MissingStyle") == 1
    after = screen.text.partition("The live display failed")[2]
    for name in NAMES:
        assert re.search(
            rf"^{name}: upload sealctl to \S+ changed \(", after.replace("sealctl:", "sealctl"), re.MULTILINE
        )
    assert "━" not in screen.text
    assert after.rstrip().splitlines()[-1].startswith("3 changed.")
    assert b"Traceback" not in shown.shown
    assert not screen.cursor_hidden


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Lab]:
    """Machines whose links would need minutes."""
    with lab(tmp_path / "lab", machines=MACHINES, speed=MB) as made:
        build(made, 100 * MB)
        yield made


def test_ctrl_c_in_an_upload(slow: Lab) -> None:
    with terminal(slow.folder, *APPLY, size=(80, 40)) as shown:
        shown.until(b"s left", 60)
        shown.process.send_signal(signal.SIGINT)
        shown.until(b"stopping...")
        shown.process.send_signal(signal.SIGINT)
        assert shown.end() == 130
    final = Screen(80, 40)
    final.feed(shown.shown)
    first, second = (
        next(at for table, at in tables(final, words) if table) for words in ("stopping...", "ending now")
    )
    assert second - first < 2.5, "the second does not wait"
    asked = "stopping... what runs has 2.5s to end; press Ctrl-C again to end now"
    assert any(asked in frame.splitlines() for frame in final.frames)
    assert "stopping" not in final.text
    assert not final.cursor_hidden
    (sent,) = re.findall(r"([\d.]+) MiB sent", final.text)
    assert float(sent) >= 1, "what left before the end counts"
    assert "3 unknown." in final.text


def lines_until(stream: IO[str], pattern: str) -> re.Match[str]:
    for line in stream:
        if found := re.search(pattern, line):
            return found
    raise AssertionError(f"it ended without {pattern}")


def test_a_pipe_is_told_bytes_and_what_ctrl_c_does(slow: Lab) -> None:
    process = subprocess.Popen(
        [*COMMAND, *APPLY],
        cwd=slow.folder,
        env=clean(slow.folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert process.stdout is not None
    with process:
        try:
            beat = rf"^\.\.\. .*{NAMES[0]}: upload sealctl .*?, ([\d.]+)/95\.4 MiB, (\d+)%, [\d.]+ .iB/s, \d+[sm] left"
            found = lines_until(process.stderr, beat)
            assert 0 < int(found[2]) < 100
            assert abs(int(found[2]) - 100 * float(found[1]) / 95.4) < 1.1
            process.send_signal(signal.SIGINT)
            lines_until(
                process.stderr, r"^stopping\.\.\. what runs has 2\.5s to end; press Ctrl-C again to end now$"
            )
            lines_until(process.stderr, "^ending now$")
            sent = lines_until(process.stdout, r"([\d.]+) MiB sent")
            assert float(sent[1]) >= 3 * float(found[1]) * 0.5
            assert process.wait(20) == 130
        finally:
            process.kill()
