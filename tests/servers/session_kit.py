"""Logged-in sessions on the real servers of `sshd_kit`, and looking at what runs there."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import asyncssh
from sshd_kit import Server

from sealboot.model.host import BecomeSettings, Host, SshSettings
from sealboot.model.secret import Secret, SecretRef
from sealboot.transport.session import SshSession


def no_secret(reference: SecretRef) -> Secret:
    """A source that has nothing."""
    raise LookupError(f"{reference} is not set")


@asynccontextmanager
async def session(
    server: Server,
    user: str = "root",
    *,
    become: BecomeSettings | None = None,
    secrets: Callable[[SecretRef], Secret] = no_secret,
    ciphers: tuple[str, ...] = ("aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com", "aes128-ctr"),
) -> AsyncIterator[SshSession]:
    """Log in with the server's test key and verified host key."""
    host = Host("node", server.host, "any", ssh=SshSettings(user=user), become=become or BecomeSettings())
    connection = await asyncssh.connect(
        server.host,
        server.port,
        username=user,
        client_keys=[str(server.identity)],
        known_hosts=asyncssh.import_known_hosts(server.known_hosts()),
        config=None,
        agent_path=None,
        encryption_algs=list(ciphers),
        compression_algs=None,
    )
    opened = SshSession(host, connection, secrets=secrets, login_user=user)
    try:
        yield opened
    finally:
        await opened.close()


def command_lines(server: Server) -> dict[int, bytes]:
    """The command line of every process inside the server, by process id."""
    found = {}
    for pid in server.session_pids():
        try:
            found[pid] = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
    return found


def running(server: Server, marker: str) -> list[int]:
    """The processes inside the server whose command line holds the marker."""
    return [pid for pid, line in command_lines(server).items() if marker.encode() in line]


def parent_of(pid: int) -> int:
    """The parent of a process (proc(5), the fourth field of stat)."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


async def eventually(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait until the condition holds; fail when it does not in time."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 (a process has no event to wait for)
            await asyncio.sleep(0.02)


@contextmanager
def folder() -> Iterator[Path]:
    """A folder for a server with users of its own.

    Not pytest's: every run of pytest closes its common folder to other users,
    those of a server that another run started included.
    """
    with tempfile.TemporaryDirectory(prefix="sealboot-server-", ignore_cleanup_errors=True) as made:
        Path(made).chmod(0o755)
        yield Path(made)
