"""The demo from beginning to end: as whoever, with and without an emulator, and nothing outside its folder."""

from __future__ import annotations

import os
import re
import shutil
import signal
import site
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_kit import COMMAND, clean, quick, terminal
from requires import inapplicable

from sealboot.lab import embedded, ptrace


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that any user may enter."""
    made = Path(tempfile.mkdtemp(prefix="sealboot-demo-"))
    made.chmod(0o755)
    (made / "home").mkdir()
    (made / "work").mkdir()
    yield made
    shutil.rmtree(made)


def listing(folder: Path) -> dict[str, int]:
    return {str(p.relative_to(folder)): p.lstat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


def play(folder: Path, *before: str, python: str = sys.executable, **env: str) -> str:
    done = subprocess.run(
        [*before, python, "-m", "sealboot", "demo"],
        cwd=folder / "work",
        env=clean(folder, PYTHONDONTWRITEBYTECODE="1", **env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return done.stdout


def runs(folder: Path, *before: str, python: str, **env: str) -> bool:
    """Whether this Python can load sealboot from a child process of its own."""
    again = f"import subprocess; subprocess.run([{python!r}, '-c', 'import sealboot.cli.app'], check=True)"
    return not subprocess.run(
        [*before, python, "-c", again], cwd=folder, env=clean(folder, **env), capture_output=True, check=False
    ).returncode


def the_story(shown: str) -> None:
    """The four scenes, in order."""
    parts = re.split(r"^\$ sealboot (.*)$", shown, flags=re.MULTILINE)
    assert parts[1::2] == ["check", "inspect binaries/sealctl-linux-arm64", "apply --yes", "apply --yes"]
    check, inspect, first, second = parts[2::2]
    assert "error[SB101]" in check
    assert "Nothing was changed" in check
    assert "SB111" in inspect
    assert "4 changed. 10 steps changed something" in first
    assert "0 changes, 0 bytes sent" in second


def test_nothing_is_written_outside_the_folder(folder: Path) -> None:
    before = listing(folder), listing(Path("/var/tmp")), set(Path.home().iterdir())
    shown = play(folder)
    the_story(shown)
    assert {p.name for p in (folder / "work").iterdir()} == {".demo"}
    outside = {k: v for k, v in listing(folder).items() if not k.startswith("work/.demo/")}
    assert (outside, listing(Path("/var/tmp")), set(Path.home().iterdir())) == before
    play(folder)  # and again in the same folder


def test_without_an_emulator_the_lab_has_its_own(folder: Path) -> None:
    (folder / "bin").mkdir()
    shown = play(folder, PATH=str(folder / "bin"))
    assert "aarch64 programs by the lab's own interpreter" in shown
    the_story(shown)


@pytest.mark.requires("root")
def test_as_an_unprivileged_user(folder: Path) -> None:
    become = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs", "--")
    paths = os.pathsep.join([str(Path(__file__).parents[3]), *site.getsitepackages()])
    # This Python may lie in a home folder that nobody may enter; the system's, of the same version, will do.
    known = (Path(sys.executable).resolve(), Path("/usr/bin") / f"python3.{sys.version_info.minor}")
    usable = [str(p) for p in known if runs(folder, *become, python=str(p), PYTHONPATH=paths)]
    if not usable:
        inapplicable("nobody may not read this checkout, or has no Python of this version")
    for path in (folder / "work", folder / "home"):
        os.chown(path, 65534, 65534)
    the_story(play(folder, *become, python=usable[0], PYTHONPATH=paths))
    owners = {p.lstat().st_uid for p in (folder / "work").rglob("*")}
    assert owners == {65534}


def test_where_the_lab_cannot_run_it_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ptrace, "SUPPORTED", False)
    ran = quick(folder, "demo", "-q")
    assert (ran.code, ran.out) == (2, "")
    assert embedded.EmbeddedLab.trouble() in ran.err
    assert "sealboot init" in ran.err
    assert not (folder / ".demo").exists()


def test_keep_leaves_the_machines_until_ctrl_c(folder: Path) -> None:
    with terminal(folder / "work", "demo", "--keep", env={"HOME": str(folder / "home")}) as screen:
        screen.until(b"What next:", 100)
        done = subprocess.run(
            [*COMMAND, "check", "-q"],
            cwd=folder / "work/.demo",
            env=clean(folder),
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        screen.process.send_signal(signal.SIGINT)
        screen.end()
