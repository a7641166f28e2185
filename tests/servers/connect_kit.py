"""Connectors over the servers of `sshd_kit`, with nothing read from this machine's home folder."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import asyncssh
from sshd_kit import HOST, Server

from sealboot.model.diagnostic import Diagnostic
from sealboot.model.events import Event
from sealboot.model.host import Host, SshSettings
from sealboot.model.secret import Secret, SecretRef, SecretSource
from sealboot.transport.base import Session
from sealboot.transport.connect import SshConnector
from sealboot.transport.knownhosts import HostKey


@dataclass
class Raw:
    """What stands where a session would: the connection itself."""

    host: Host
    connection: asyncssh.SSHClientConnection
    user: str

    async def output(self, command: str) -> str:
        """Standard output of a command."""
        return str((await self.connection.run(command, check=True)).stdout)


@dataclass
class Rig:
    """A connector, the events it sent, and short cuts to its answers."""

    connector: SshConnector
    events: list[Event] = field(default_factory=list)

    async def raw(self, name: str) -> Raw:
        """The connection to a host that must be reached."""
        session = await self.connector.connect(name)
        assert not isinstance(session, Diagnostic), session
        return cast("Raw", session)

    async def refusal(self, name: str) -> Diagnostic:
        """The diagnostic of a host that must not be reached."""
        found = await self.connector.connect(name)
        assert isinstance(found, Diagnostic), found
        return found


def key(seed: int, algorithm: str = "ssh-ed25519") -> HostKey:
    """A well-formed public key that nobody has the other half of."""
    name = algorithm.encode()
    body = seed.to_bytes(32, "big")
    blob = len(name).to_bytes(4, "big") + name + len(body).to_bytes(4, "big") + body
    return HostKey(algorithm, blob)


A, B, ECDSA = key(1), key(2), key(3, "ecdsa-sha2-nistp256")


def no_secrets(reference: SecretRef) -> Secret:
    """A source for tests that need none."""
    raise LookupError(f"{reference} is not set")


def secrets_from(values: dict[str, str]) -> SecretSource:
    """A source for `env:NAME` references."""

    def source(reference: SecretRef) -> Secret:
        if reference.name not in values:
            raise LookupError(f"{reference} is not set")
        return Secret(values[reference.name])

    return source


def host_of(server: Server, name: str = "n1", **settings: Any) -> Host:
    """An inventory host at a server, logging in with its accepted key unless told otherwise."""
    ssh = SshSettings(user=server.user, port=server.port, identity_files=(str(server.identity),))
    return Host(name=name, address=HOST, role="node", ssh=replace(ssh, **settings))


@contextlib.asynccontextmanager
async def rig(
    folder: Path, hosts: Iterable[Host], *, trust: str | bytes = "", **options: Any
) -> AsyncIterator[Rig]:
    """A connector whose project trusts the known_hosts text `trust`."""
    home = folder / "home"
    (home / ".ssh").mkdir(parents=True, exist_ok=True)
    project = folder / "known_hosts"
    if trust:
        project.write_bytes(trust.encode() if isinstance(trust, str) else trust)
    events: list[Event] = []
    settings: dict[str, Any] = {
        "known_hosts": project,
        "secrets": no_secrets,
        "user_known_hosts": (),
        "sink": events.append,
        "agent_path": "",
        "home": home,
        "base": folder,
        "wrap": cast("Callable[..., Session]", _raw),
    }
    connector = SshConnector({h.name: h for h in hosts}, **(settings | options))
    try:
        yield Rig(connector, events)
    finally:
        await connector.close()


def _raw(host: Host, connection: asyncssh.SSHClientConnection, secrets: SecretSource, user: str) -> Raw:
    return Raw(host, connection, user)
