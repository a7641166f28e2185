"""An operator's folder and the real command line, for attacks on the promises.

`Room` writes an inventory and runs `python -m sealboot` in it, as a process of
its own, with nothing of this machine's home folder. Servers come from
`sshd_kit`, or are hostile ones made with `hostile`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh
from sshd_kit import Server

from sealboot.lab.tinyelf import make
from sealboot.model.arch import Arch

#: Seconds that no command here may exceed.
DEADLINE = 40.0
#: Bytes that no terminal may be given: all controls but line feed and (in progress lines) none.
CONTROLS = frozenset(range(0x20)) - {0x0A} | {0x7F}

Process = asyncssh.SSHServerProcess[bytes]
Handler = Callable[[Process], Awaitable[None]]


@dataclass(frozen=True)
class Ran:
    """How one command ended."""

    code: int
    out: bytes
    err: bytes

    @property
    def all(self) -> bytes:
        """Everything that was printed."""
        return self.out + self.err

    @property
    def document(self) -> dict[str, Any]:
        """Standard output as one JSON document."""
        made: dict[str, Any] = json.loads(self.out)
        return made

    @property
    def codes(self) -> list[str]:
        """The codes of the document's errors, sorted."""
        return sorted(d["code"] for d in self.document["diagnostics"] if d["severity"] == "error")


@dataclass
class Room:
    """A folder with an inventory, binaries and a known_hosts file."""

    folder: Path
    hosts: dict[str, dict[str, Any]] = field(default_factory=dict)
    phases: list[dict[str, Any]] = field(default_factory=list)
    defaults: dict[str, Any] = field(default_factory=dict)
    known: str = ""
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("binaries", "home/.ssh"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "binaries/tool").write_bytes(make(Arch.AMD64, "tool v2\n"))

    def add(self, name: str, server: Server, *, state: Path | None = None, **ssh: Any) -> None:
        """Put a real server into the inventory and trust its keys."""
        login = {"port": server.port, "user": "root", "identity_file": str(server.identity)} | ssh
        self.hosts[name] = {
            "address": server.host,
            "role": "node",
            "ssh": login,
            "paths": {"state": str(state or server.folder / "state")},
        }
        self.known += server.known_hosts()

    def write(self) -> None:
        """Write inventory and trust as they are now."""
        tree = {
            "version": 1,
            "cluster": {"name": "lab", "driver": "phases"},
            "artifacts": {"tool": ["binaries/*"]},
            "defaults": self.defaults,
            "hosts": self.hosts,
            "phases": self.phases
            or [{"name": "nothing", "steps": [{"name": "x", "run": "true", "unless": "true"}]}],
        }
        (self.folder / "inventory.yaml").write_text(json.dumps(tree))
        if not (self.folder / "known_hosts").exists():
            (self.folder / "known_hosts").write_text(self.known)

    async def start(self, *arguments: str, **more: Any) -> asyncio.subprocess.Process:
        """Start a command; its output comes through pipes."""
        self.write()
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "sealboot",
            *arguments,
            cwd=self.folder,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.folder / "home"),
                "COLUMNS": "200",
                "LC_ALL": "C.UTF-8",
                **self.env,
            },
            **{
                "stdin": asyncio.subprocess.DEVNULL,
                "stdout": asyncio.subprocess.PIPE,
                "stderr": asyncio.subprocess.PIPE,
                **more,
            },
        )

    async def run(self, *arguments: str, deadline: float = DEADLINE, **more: Any) -> Ran:
        """Run a command to its end; no traceback, no crash page, in any of them."""
        process = await self.start(*arguments, **more)
        return await ended(process, deadline)


async def ended(process: asyncio.subprocess.Process, deadline: float = DEADLINE) -> Ran:
    """Wait for the end of a command."""
    try:
        out, err = await asyncio.wait_for(process.communicate(), deadline)
    except BaseException:
        process.kill()
        await process.wait()
        raise
    assert process.returncode is not None
    text = (out or b"") + (err or b"")
    assert b"Traceback" not in text, text.decode(errors="replace")
    assert b"SB901" not in text, text.decode(errors="replace")
    return Ran(process.returncode, out or b"", err or b"")


class _AnyPassword(asyncssh.SSHServer):
    def __init__(self, tries: list[str], right: str | None) -> None:
        self._tries = tries
        self._right = right

    def begin_auth(self, username: str) -> bool:
        del username
        return self._right is not None

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        del username
        self._tries.append(password)
        return password == self._right


@asynccontextmanager
async def hostile(
    room: Room, name: str, handler: Handler, *, password: str | None = None, banner: str = ""
) -> AsyncIterator[list[str]]:
    """A server whose every exec request is answered by `handler`; yields the passwords it was given.

    Without `password` everybody is let in.
    """
    key = asyncssh.generate_private_key("ssh-ed25519")
    tries: list[str] = []

    async def serve(process: Process) -> None:
        try:
            await handler(process)
        except (OSError, asyncssh.Error):
            process.close()

    server = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_host_keys=[key],
        server_factory=lambda: _AnyPassword(tries, password),
        process_factory=serve,
        encoding=None,
        server_version="x",
    )
    del banner
    port = server.get_port()
    room.hosts[name] = {"address": "127.0.0.1", "role": "node", "ssh": {"port": port, "user": "ops"}}
    room.known += f"[127.0.0.1]:{port} {key.export_public_key().decode().strip()}\n"
    try:
        yield tries
    finally:
        server.close()
        await server.wait_closed()


async def first_lines(process: Process, until: bytes = b'exit "$sb_s"') -> bytes:
    """What the controller sends, up to the end of its script."""
    data = b""
    while until not in data:
        part = await process.stdin.read(1 << 16)
        if not part:
            break
        data += part
    return data


def nonce_of(script: bytes) -> bytes:
    """The nonce of the frame that a script asks for."""
    return script.split(b"sb_n=", 1)[1].split(b"\n", 1)[0]
