"""The command line as a process of its own, with nothing of this machine's settings, and a small lab for it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import select
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from sealboot.cli.app import make_app
from sealboot.cli.demo_story import MACHINES, _furnish, _put
from sealboot.lab.embedded import EmbeddedLab
from sealboot.model.arch import Arch

COMMAND = (sys.executable, "-m", "sealboot")


def clean(folder: Path, **more: str) -> dict[str, str]:
    """An environment in which only `folder` is anybody's home."""
    kept = {k: v for k, v in os.environ.items() if k in {"PATH", "LANG", "LC_ALL", "PYTHONPATH"}}
    return {**kept, "HOME": str(folder / "home"), "PYTHONUNBUFFERED": "1", **more}


@dataclass(frozen=True)
class Ran:
    """How one command ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """Standard output as the one JSON document that it must be."""
        made = json.loads(self.out)
        assert isinstance(made, dict)
        return made

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Standard output as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def codes(self) -> set[str]:
        """The codes of the findings in the document."""
        return {d["code"] for d in self.document["diagnostics"]}


def run(folder: Path, *arguments: str, env: Mapping[str, str] | None = None, stdin: str | None = None) -> Ran:
    """Run sealboot in `folder`; whatever happens, no traceback and no raw escape may be seen."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder,
        env=clean(folder, **(env or {})),
        input="" if stdin is None else stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return Ran(done.returncode, done.stdout, done.stderr)


def quick(
    folder: Path, *arguments: str, env: Mapping[str, str] | None = None, stdin: str | None = None
) -> Ran:
    """The same without a process, for commands that reach no host."""
    theirs: dict[str, str | None] = dict.fromkeys(os.environ)
    with contextlib.chdir(folder):
        done = CliRunner(env={**theirs, **clean(folder, **(env or {}))}).invoke(
            make_app(), list(arguments), input=stdin or "", catch_exceptions=False
        )
    return Ran(done.exit_code, done.stdout, done.stderr)


@dataclass
class Terminal:
    """A command on a terminal of its own: what it showed so far, and its process."""

    process: subprocess.Popen[bytes]
    handle: int
    shown: bytes = b""
    typed: int = 0  # how much was shown when something was typed last

    def until(self, words: bytes, seconds: float = 20.0, *, anew: bool = False) -> None:
        """Read until these words are on the screen; `anew`: since something was typed."""
        deadline = time.monotonic() + seconds
        while words not in self.shown[self.typed if anew else 0 :]:
            assert time.monotonic() < deadline, self.shown
            assert self.read(0.5), self.shown

    def read(self, seconds: float) -> bool:
        """Read what there is; false once the terminal was closed."""
        if select.select([self.handle], [], [], seconds)[0]:
            try:
                data = os.read(self.handle, 65536)
            except OSError:
                return False
            self.shown += data
            return bool(data)
        return True

    def type(self, text: str) -> None:
        """Type on it."""
        self.typed = len(self.shown)
        os.write(self.handle, text.encode())

    def end(self) -> int:
        """Read to the end; the exit code."""
        while self.read(0.5) or self.process.poll() is None:
            pass
        return self.process.wait(timeout=20)


@contextmanager
def terminal(
    folder: Path,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    size: tuple[int, int] = (100, 24),
    command: Sequence[str] = COMMAND,
) -> Iterator[Terminal]:
    """Run sealboot on a pseudo-terminal of so many columns and lines."""
    mine, its = pty.openpty()
    termios.tcsetwinsize(its, (size[1], size[0]))
    process = subprocess.Popen(
        [*command, *arguments],
        cwd=folder,
        env=clean(folder, TERM="xterm", **(env or {})),
        stdin=its,
        stdout=its,
        stderr=its,
        start_new_session=True,
    )
    os.close(its)
    try:
        yield Terminal(process, mine)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(mine)


@dataclass
class Lab:
    """The demo's machines and folder, as `sealboot demo --keep` would leave them."""

    folder: Path
    embedded: EmbeddedLab

    def run(self, *arguments: str, env: Mapping[str, str] | None = None, stdin: str | None = None) -> Ran:
        """Run a command in the folder."""
        return run(self.folder, *arguments, env=env, stdin=stdin)

    def put(self, name: str, arch: Arch, size: int = 0) -> None:
        """Put a build of sealctl for `arch` into binaries/, so many bytes large."""
        _put(self.embedded, name, arch, size)

    def edit(self, old: str, new: str) -> None:
        """Change the inventory."""
        path = self.folder / "inventory.yaml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))


@contextmanager
def lab(
    folder: Path, *, machines: Sequence[tuple[str, Arch]] = MACHINES, speed: float = 0.0
) -> Iterator[Lab]:
    """Start the machines on a thread of their own; both builds are right."""
    made = EmbeddedLab(folder, speed=speed)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(made.start(machines), loop).result(30)
        _furnish(made)
        _put(made, "sealctl-linux-amd64", Arch.AMD64)
        _put(made, "sealctl-linux-arm64", Arch.ARM64)
        yield Lab(folder, made)
        asyncio.run_coroutine_threadsafe(made.stop(), loop).result(30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()
