"""What only a process shows: bugs, broken pipes, signals."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_kit import COMMAND, clean, terminal

from sealboot.cli import app

SECRET = "hunter2 \x1b[2J from a host"


def test_a_bug_is_ours_and_tells_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> None:
        raise RuntimeError(SECRET) from ValueError(SECRET)

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr(app, "make_app", broken)
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert ended.value.code == 70
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "error[SB901]" in shown.err
    assert "RuntimeError" in shown.err
    assert "hint:" in shown.err
    kept = tmp_path / "sealboot" / "crash.txt"
    assert str(kept) in shown.err
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    for text in (shown.err, kept.read_text()):
        assert "hunter2" not in text
        assert "\x1b" not in text
    assert "Traceback" not in shown.err
    assert "test_cli_process.py" in kept.read_text()


def test_a_bug_without_a_place_for_it_is_told_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> None:
        raise KeyError(SECRET)

    (tmp_path / "sealboot").mkdir()
    (tmp_path / "sealboot" / "crash.txt").symlink_to(tmp_path / "elsewhere")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    monkeypatch.setattr(app, "make_app", broken)
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert ended.value.code == 70
    assert "SB901" in capsys.readouterr().err
    assert not (tmp_path / "elsewhere").exists()  # no link is followed


@pytest.mark.parametrize(
    "line", ["explain SB101", "explain", "inventory schema", "explain --format json", "--help"]
)
def test_a_closed_pipe_is_no_error(tmp_path: Path, line: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as gone:
        done = subprocess.run(
            [*COMMAND, *line.split()],
            cwd=tmp_path,
            env=clean(tmp_path),
            stdin=subprocess.DEVNULL,
            stdout=gone,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    assert done.stderr == b""
    assert done.returncode in {0, 1}  # click itself ends a broken pipe with 1


@pytest.fixture
def mute(tmp_path: Path) -> Iterator[Path]:
    """A folder whose one host accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as server:
        port = server.getsockname()[1]
        (tmp_path / "inventory.yaml").write_text(
            "version: 1\ncluster: {name: lab, driver: phases}\n"
            "phases: [{name: one, steps: [{run: 'true', creates: /x}]}]\n"
            f"hosts: {{mute: {{address: 127.0.0.1, role: x, ssh: {{port: {port}, connect_timeout: 60}}}}}}\n"
        )
        yield tmp_path


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("command", ["check", "facts", "apply --yes", "trust", "lock status"])
def test_an_interrupt_is_answered_at_once(mute: Path, command: str, number: int, code: int) -> None:
    process = subprocess.Popen(
        [*COMMAND, *command.split(), "--verbose"],
        cwd=mute,
        env=clean(mute),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        connected(process.pid)
        process.send_signal(number)
        _, said = process.communicate(timeout=30)  # the host would be waited for for a minute
    finally:
        process.kill()
    assert process.returncode == code, said
    assert b"Nothing was changed" in said
    assert b"Traceback" not in said


def connected(pid: int) -> None:
    """Wait until the process has a TCP connection of its own."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        inodes = set()
        for handle in Path(f"/proc/{pid}/fd").iterdir():
            try:
                found = re.fullmatch(r"socket:\[(\d+)\]", str(handle.readlink()))
            except OSError:
                continue
            if found:
                inodes.add(found[1])
        rows = Path("/proc/net/tcp").read_text().splitlines()[1:]
        if any(r.split()[3] == "01" and r.split()[9] in inodes for r in rows):
            return
        time.sleep(0.02)
    raise AssertionError("it never connected")


def test_ctrl_c_on_a_terminal_leaves_it_clean(mute: Path) -> None:
    with terminal(mute, "check") as screen:
        connected(screen.process.pid)
        screen.process.send_signal(signal.SIGINT)
        assert screen.end() == 130
    assert b"Interrupted. Nothing was changed." in screen.shown
    assert screen.shown.count(b"\x1b[?25l") == screen.shown.count(b"\x1b[?25h")  # the cursor is back
