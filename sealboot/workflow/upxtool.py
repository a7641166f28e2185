"""The `upx` program, where it is installed: always on a private copy, with bounds, never on the operator's file."""

from __future__ import annotations

import contextlib
import re
import resource
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

#: Debian's package is `upx-ucl`, and so is its program; everybody else's is `upx`.
NAMES = ("upx", "upx-ucl")
#: Seconds for one file: UPX packs some 5 MB in a second, and unpacks ten times as much.
LIMIT = 900.0
#: Bytes of memory that it may take; it keeps the whole file in memory, some times over.
_MEMORY = 8 << 30
#: Bytes that it may write: its format has 32-bit sizes.
_WRITTEN = 4 << 30
_SAID = 300


@dataclass(frozen=True, slots=True)
class Tool:
    """Where it is, and its version as it tells (`4.2.4`)."""

    path: str
    version: str

    def pack(self, source: Path, target: Path) -> str:
        """Write `source` packed to `target`, a new file; why not, in words, or nothing."""
        return self._run("-q", "-o", str(target), str(source))

    def unpack(self, source: Path, target: Path) -> str:
        """Write `source` unpacked to `target`, a new file; why not, in words, or nothing."""
        return self._run("-d", "-q", "-o", str(target), str(source))

    def _run(self, *arguments: str) -> str:
        ran = _started((self.path, *arguments), LIMIT)
        if isinstance(ran, str):
            return ran
        code, said = ran
        if code == 0:
            return ""
        # `upx: NAME: NotCompressibleException`: the last line, without the name of our own copy.
        lines = [line.strip() for line in said.splitlines() if line.startswith("upx:")] or [said.strip()]
        return lines[-1].rpartition(": ")[2][:_SAID] or f"exit status {code}"


def find() -> Tool | None:
    """The `upx` on the PATH; `None` without one that answers."""
    for name in NAMES:
        path = shutil.which(name)
        ran = _started((path, "--version"), 10.0) if path else ""
        version = re.match(r"upx(?:-ucl)? (\d[\w.]*)", ran[1]) if isinstance(ran, tuple) else None
        if path and version:
            return Tool(path, version[1])
    return None


def _started(command: tuple[str, ...], seconds: float) -> tuple[int, str] | str:
    """Exit status and output; or why there is none. Standard input is closed."""
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="backslashreplace", env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
        )  # fmt: skip
    except OSError as error:
        return (error.strerror or "cannot be started").lower()
    with process:
        for limit, most in ((resource.RLIMIT_AS, _MEMORY), (resource.RLIMIT_FSIZE, _WRITTEN)):
            with contextlib.suppress(OSError, ValueError):  # already gone, or a limit below ours
                resource.prlimit(process.pid, limit, (most, most))
        try:
            said, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            return f"no end within {seconds:g} s"
    return process.returncode, said
