"""Faults end to end: real servers, the real command line, and what both look like afterwards.

A `Cluster` is a folder as an operator has one (inventory, known_hosts,
binaries) with nodes that are real SSH servers in namespaces of their own.
`told` runs a command twice, once for a machine and once for a person, and
hands back both; whatever a test does not look at (tracebacks, an exit code
that depends on the format) is checked for it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from proxykit import Proxy, proxied
from sshd_kit import HOST, Server, User, openssh

from sealboot.lab.tinyelf import make
from sealboot.model.arch import Arch

#: Seconds that no command of these tests may exceed; none is expected to come near.
DEADLINE = 60.0
#: The file that is shipped everywhere here, and where it becomes live.
DEST = "/opt/bin/tool"
CONF = "/opt/etc/tool.conf"
OLD = b"#!/bin/sh\necho tool v1\n"

Test = TypeVar("Test", bound=Callable[..., object])


@dataclass(frozen=True)
class Fault:
    """One row of docs/faults.md, declared on the test that shows it."""

    what: str
    codes: tuple[str, ...]
    exits: tuple[int, ...]
    state: str


def fault(what: str, *, codes: str, exits: int | tuple[int, ...], state: str) -> Callable[[Test], Test]:
    """Declare what a test shows; afterwards it must have shown these codes (`SB201 SB202`) and exit codes."""
    row = Fault(what, tuple(codes.split()), (exits,) if isinstance(exits, int) else exits, state)

    def declare(test: Test) -> Test:
        test.fault = row  # type: ignore[attr-defined]
        return test

    return declare


def until(condition: Callable[[], object], seconds: float = 20.0, what: str = "") -> None:
    """Wait for a condition; fail when it does not come true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:g} s for {what or condition}"
        time.sleep(0.01)


def _flat(text: str) -> str:
    """The words of a text; what was measured differs from run to run."""
    return re.sub(r"\d+\.\d+", "#", " ".join(text.split()))


@dataclass
class Ran:
    """What one command ended with. `document` is its JSON, `text` what a person read on both streams."""

    code: int
    document: dict[str, Any]
    text: str = ""
    seconds: float = 0.0

    def findings(self, code: str, host: str | None = None) -> list[dict[str, Any]]:
        """The findings of this code, about this host or any."""
        rows: list[dict[str, Any]] = self.document.get("diagnostics", [])
        return [d for d in rows if d["code"] == code and host in {None, d.get("host")}]

    def tells(self, code: str, host: str | None, *words: str, hint: str = "") -> dict[str, Any]:
        """One finding of that code about that host, with these words in it, to machines and people alike."""
        found = self.findings(code, host)
        assert len(found) == 1, (code, host, self.document.get("diagnostics"), self.text)
        (one,) = found
        whole = json.dumps(one, ensure_ascii=False)
        for word in words:
            assert word in whole, (word, one)
        if hint:
            assert any(hint in h for h in one.get("hints", ())), (hint, one)
        if self.text:
            heads = [row for row in self.text.splitlines() if row.startswith(f"{one['severity']}[{code}]: ")]
            assert heads, self.text
            assert host is None or any(host in row for row in heads), f"who? {self.text}"
            flat = _flat(self.text)
            for said in (one["summary"], *one.get("hints", ())):
                assert _flat(said) in flat, (said, self.text)
        return one

    def outcome(self, host: str) -> str:
        """How the host ended an apply, or its status in a check."""
        (row,) = [h for h in self.document["hosts"] if h["host"] == host]
        return str(row.get("outcome", row.get("status")))

    @property
    def errors(self) -> list[str]:
        """The codes of all errors, sorted."""
        return sorted(d["code"] for d in self.document.get("diagnostics", ()) if d["severity"] == "error")


class Live:
    """A command that is still running: its events as they come (`--format jsonl`)."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.events: list[dict[str, Any]] = []
        self.errors = b""
        self._plain: list[bytes] = []
        self._readers = [threading.Thread(target=f, daemon=True) for f in (self._events, self._errors)]
        for reader in self._readers:
            reader.start()

    def _events(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            if line.startswith(b"{"):
                self.events.append(json.loads(line))
            else:
                self._plain.append(line)

    def _errors(self) -> None:
        assert self.process.stderr
        self.errors = self.process.stderr.read()

    def event(self, name: str, **wanted: object) -> dict[str, Any]:
        """Wait for an event with these values."""

        def matching() -> list[dict[str, Any]]:
            return [
                e
                for e in tuple(self.events)
                if e["event"] == name and all(e.get(k) == v for k, v in wanted.items())
            ]

        def ready() -> bool:
            assert matching() or self.process.poll() is None, (name, wanted, self.events[-3:], self.errors)
            return bool(matching())

        until(ready, what=f"{name} {wanted}")
        return matching()[0]

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the command."""
        self.process.send_signal(number)

    def text(self) -> str:
        """Wait for the end and return what a person read."""
        self._wait(DEADLINE)
        return (b"".join(self._plain) + self.errors).decode()

    def end(self, seconds: float = DEADLINE) -> Ran:
        """Wait for the end: exit code and the final report."""
        started = time.monotonic()
        code = self._wait(seconds)
        took = time.monotonic() - started
        assert self.errors == b"", "a stream of events is all there is to read"
        reports = [e["report"] for e in self.events if e["event"] == "Report"]
        return Ran(code, reports[-1] if reports else {}, "", took)

    def _wait(self, seconds: float) -> int:
        code = self.process.wait(seconds)
        for reader in self._readers:
            reader.join(5)
        assert b"Traceback" not in self.errors, self.errors.decode()
        return code


@dataclass
class Node:
    """A server and its place in the inventory. `opt` is what the node has as /opt."""

    name: str
    server: Server
    opt: Path
    address: str = HOST
    port: int = 0
    ssh: dict[str, Any] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)

    def inside(self, path: str) -> Path:
        """A path of the node, its own mounts included, as this process can open it."""
        return Path(f"/proc/{self.server.pid}/root{path}")

    def sh(self, script: str) -> str:
        """Run something on the node behind the server's back."""
        return subprocess.run(
            ["nsenter", "-m", "-p", "-t", str(self.server.pid), "/bin/bash", "-ec", script],
            check=True,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        ).stdout

    def live(self) -> bytes | None:
        """The bytes at the live path."""
        path = self.inside(DEST)
        return path.read_bytes() if path.exists() else None

    def files(self) -> dict[str, str]:
        """Everything under /opt: name to kind, mode, size, time and digest."""
        return {str(p): _about(p) for p in sorted(self.inside("/opt").rglob("*"))}

    def leftovers(self) -> list[str]:
        """Staged files that nobody will ever make live."""
        return [p.name for p in self.inside("/opt").rglob("*") if ".sealboot-" in p.name]

    def journal(self) -> list[dict[str, str]]:
        """The lines of the journal."""
        path = self.inside("/opt/state/journal")
        text = path.read_text() if path.exists() else ""
        return [json.loads(line) for line in text.splitlines() if line]

    def sessions(self) -> list[int]:
        """The server's processes that serve connections."""
        return [pid for pid in self.server.session_pids() if _comm(pid) == "sshd"]

    def log(self) -> str:
        """The server's log."""
        return self.server.log_text()


def _about(path: Path) -> str:
    seen = path.lstat()
    digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
    return f"{seen.st_mode:o} {seen.st_uid} {seen.st_size if digest else 0} {seen.st_mtime_ns} {digest}"


def _comm(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def tool(text: str = "tool v2\n", size: int = 0, arch: Arch = Arch.AMD64) -> bytes:
    """A real static program that says `text`, made longer with bytes that nobody reads."""
    program = make(arch, text)
    return program + os.urandom(max(0, size - len(program)))


class Cluster:
    """An operator's folder. Everything in it may be changed until `run`."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.nodes: list[Node] = []
        #: Further hosts of the inventory, without a server.
        self.strangers: dict[str, dict[str, Any]] = {}
        self.phases = install()
        self.trust = ""
        self.connect_timeout = 5
        self.runs: list[Ran] = []
        self._stack = stack
        for name in ("binaries", "home/.ssh"):
            (folder / name).mkdir(parents=True)
        self.ship(tool())

    def ship(self, data: bytes, name: str = "tool") -> None:
        """Put a file where the inventory looks for candidates."""
        (self.folder / "binaries" / name).write_bytes(data)

    def node(
        self,
        name: str = "n1",
        *,
        config: str = "",
        setup: str = "",
        users: Sequence[User] = (),
        user: str = "root",
        keys: Sequence[str] = ("ed25519",),
        trusted: bool = True,
        ssh: dict[str, Any] | None = None,
        **more: Any,
    ) -> Node:
        """Start one more node; `setup` is shell that runs in its namespaces before its server does."""
        place = self.folder / name
        opt = place / "opt"
        (opt / "bin").mkdir(parents=True)
        prepare = (
            f"mount --bind '{opt}' /opt\nhostname_of={name}\n"
            # Nodes share this kernel; only their machine-ids tell them apart.
            f"echo {hashlib.md5(name.encode()).hexdigest()} >/run/machine-id\n"  # noqa: S324 (an id)
            "mount --bind /run/machine-id /etc/machine-id\n"
        )
        server = self._stack.enter_context(
            openssh(place, keys=keys, config=config, setup=prepare + setup, users=users)
        )
        made = Node(name, server, opt, port=server.port, more=more)
        made.ssh = {"user": user, "identity_file": str(server.identity), **(ssh or {})}
        self.nodes.append(made)
        if trusted:
            self.trust += server.known_hosts()
        return made

    def behind(self, node: Node, **settings: Any) -> Proxy:
        """Put a proxy before the node, which is reached through it from now on."""
        proxy = self._stack.enter_context(proxied(node.server.port, **settings))
        node.port = proxy.port
        self.trust += node.server.known_hosts(name=f"[{HOST}]:{proxy.port}")
        return proxy

    def write(self) -> None:
        """Write inventory and trust, as they are now."""
        hosts = {
            n.name: {"address": n.address, "role": "node", "ssh": {**n.ssh, "port": n.port}, **n.more}
            for n in self.nodes
        } | self.strangers
        tree = {
            "version": 1,
            "cluster": {"name": "lab", "driver": "phases"},
            "artifacts": {"tool": ["binaries/*"]},
            "defaults": {"ssh": {"connect_timeout": self.connect_timeout}, "paths": {"state": "/opt/state"}},
            "hosts": hosts,
            "phases": self.phases,
        }
        (self.folder / "inventory.yaml").write_text(json.dumps(tree, indent=1))
        (self.folder / "known_hosts").write_text(self.trust)

    def environment(self, more: dict[str, str] | None = None) -> dict[str, str]:
        """Nothing of the machine that runs the tests."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder / "home"),
            "COLUMNS": "400",
            "LC_ALL": "C.UTF-8",
            **{name: value for name, value in os.environ.items() if name == "PYTHONPATH"},
            **(more or {}),
        }

    def start(
        self, *arguments: str, env: dict[str, str] | None = None, within: str = "", kind: str = "jsonl"
    ) -> Live:
        """Start `sealboot` and watch it; `within` is shell that runs first, in namespaces of its own."""
        return Live(self._popen(arguments, env, within, kind))

    def told(
        self,
        *arguments: str,
        env: dict[str, str] | None = None,
        within: str = "",
        between: Callable[[], object] | None = None,
    ) -> Ran:
        """Run the command for a machine and then for a person: the same exit code, the same findings.

        `between` brings the fault back where the first run met it only once.
        """
        self.write()
        first = self.run(*arguments, env=env, within=within)
        if between is not None:
            between()
        second = self.run(*arguments, env=env, within=within, kind="plain")
        assert first.code == second.code, (first, second)
        first.text = second.text
        return first

    def ended(self, live: Live) -> Ran:
        """Wait for a command that was started."""
        ran = live.end()
        self.runs.append(ran)
        return ran

    def run_written(self, *arguments: str) -> Ran:
        """Write inventory and trust, and run once for a machine."""
        self.write()
        return self.run(*arguments)

    def run(
        self, *arguments: str, env: dict[str, str] | None = None, within: str = "", kind: str = "json"
    ) -> Ran:
        """Run the command once."""
        started = time.monotonic()
        live = self._popen(arguments, env, within, kind)
        out, err = live.communicate(timeout=DEADLINE)
        text = out.decode() + err.decode()
        assert "Traceback" not in text, text
        assert "SB901" not in text, text
        document = json.loads(out) if kind == "json" and out else {}
        ran = Ran(live.returncode, document, text if kind == "plain" else "", time.monotonic() - started)
        self.runs.append(ran)
        return ran

    def _popen(
        self, arguments: Sequence[str], env: dict[str, str] | None, within: str, kind: str
    ) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            self._command(arguments, within, kind),
            cwd=self.folder,
            env=self.environment(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._stack.callback(_ended, process)
        return process

    @staticmethod
    def _command(arguments: Sequence[str], within: str, kind: str) -> list[str]:
        command = [sys.executable, "-m", "sealboot", *arguments, "--format", kind]
        if not within:
            return command
        quoted = " ".join(f"'{word}'" for word in command)
        run = "" if "trap " in within else "exec "
        spaces = ["-n"] if "ip link" in within else []
        return ["unshare", "-m", *spaces, "sh", "-ec", f"{within}\n{run}{quoted}"]


def _ended(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
        process.wait()
    for stream in (process.stdout, process.stderr):
        if stream:
            stream.close()


def install(*more: dict[str, Any]) -> list[dict[str, Any]]:
    """The usual phases: ship the tool, configure it, and whatever else."""
    upload = {"artifact": "tool", "dest": DEST, "smoke": '"$1"', "expects": "tool v2"}
    steps: list[dict[str, Any]] = [
        {"name": "ship", "upload": upload},
        {"name": "configure", "write": {"dest": CONF, "content": "colour: green\n"}},
    ]
    return [{"name": "install", "steps": [*steps, *more]}]
