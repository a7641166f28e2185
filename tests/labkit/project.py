"""A project folder as an operator has it, and the `sealboot` command line run in it against lab machines."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.lab import Lab
from labkit.machines import Node

#: Seconds that any one command may take on a loaded machine.
LIMIT = 110.0


@dataclass(frozen=True, slots=True)
class Ran:
    """How one command ended. `seconds` is wall time, the interpreter's start included."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def document(self) -> Any:
        """What `--format json` printed: exactly one document."""
        return json.loads(self.out)

    @property
    def events(self) -> list[Any]:
        """What `--format jsonl` printed."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def codes(self) -> set[str]:
        """The codes of the findings in the JSON document."""
        return {d["code"] for d in self.document["diagnostics"]}

    @property
    def told(self) -> str:
        """Everything it printed, for the message of an assertion."""
        return f"exit {self.code} after {self.seconds:.1f} s\n{self.out}\n{self.err}"


class Project:
    """An inventory, a known_hosts and a folder of binaries, all for `nodes`."""

    def __init__(self, lab: Lab, folder: Path, nodes: Sequence[Node]) -> None:
        self.lab = lab
        self.folder = folder
        self.nodes = tuple(nodes)
        self.binaries = folder / "binaries"
        self.binaries.mkdir(parents=True)
        (folder / "home").mkdir()

    def inventory(self, **settings: Any) -> None:
        """Write the inventory and known_hosts; see `inventories.document`."""
        self.lab.inventory(self.folder / "inventory.yaml", self.nodes, **settings)

    def put(self, name: str, content: bytes) -> Path:
        """Put a file below `binaries/`."""
        path = self.binaries / name
        path.write_bytes(content)
        path.chmod(0o755)
        return path

    def _environment(self) -> Mapping[str, str]:
        # Nobody's keys, agents or settings play a part.
        home = str(self.folder / "home")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SEALBOOT_", "SSH_", "XDG_"))}
        return kept | {"HOME": home, "COLUMNS": "120"}

    def run(
        self,
        *arguments: str,
        format: str = "json",  # noqa: A002 (as the option is called)
        limit: float = LIMIT,
    ) -> Ran:
        """Run one command to its end, in the folder, without a terminal; `limit` is in seconds."""
        begun = time.monotonic()
        done = subprocess.run(
            [*self._command(arguments, format)],
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr, time.monotonic() - begun)

    @contextlib.contextmanager
    def running(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """A command under way whose events can be read line by line; killed at the end."""
        process = subprocess.Popen(
            self._command(arguments, "jsonl"),
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    @staticmethod
    def _command(arguments: Sequence[str], chosen: str) -> list[str]:
        return [sys.executable, "-m", "sealboot", *arguments, "--format", chosen]

    def listings(self) -> dict[str, str]:
        """The file systems of all machines."""
        return {node.name: self.lab.listing(node) for node in self.nodes}

    def differences(self, before: Mapping[str, str]) -> str:
        """What has changed on the machines since `before`."""
        return self.lab.differences(before, self.listings())

    def on(self, node: Node, script: str) -> str:
        """What a script prints on a machine; it must succeed."""
        done = self.lab.ssh(node, script)
        assert done.returncode == 0, (node.name, script, done.stderr.decode(errors="replace"))
        return done.stdout.decode()


def until_event(process: subprocess.Popen[str], event: str, **wanted: object) -> dict[str, Any]:
    """Read a running command's events up to the first that matches; fails when it ends before."""
    assert process.stdout
    seen = []
    for line in process.stdout:
        seen.append(line)
        if line.startswith("{"):
            one: dict[str, Any] = json.loads(line)
            if one["event"] == event and all(one.get(key) == value for key, value in wanted.items()):
                return one
    raise AssertionError(f"no {event} {wanted} in\n{''.join(seen)}")
