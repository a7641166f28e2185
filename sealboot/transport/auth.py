"""The keys to log in with: files and agent, read once per run.

An agent is asked once, with a limit, before any host is: one that hangs would
otherwise take every connection down with it. Private keys that others can
read are refused as OpenSSH refuses them.
"""

from __future__ import annotations

import asyncio
import copy
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import asyncssh

from sealboot.model.diagnostic import Diagnostic, Location, Severity
from sealboot.model.secret import Secret, SecretRef, SecretSource
from sealboot.transport.endpoint import Endpoint
from sealboot.transport.knownhosts import HostKey

#: Seconds an agent may take to list its keys.
AGENT_LIMIT = 2.0
#: A larger file is no private key.
MAX_BYTES = 1 << 20
#: Key files that are tried where nothing is said, in OpenSSH's order of strength.
DEFAULT_NAMES = ("id_ed25519", "id_ecdsa", "id_rsa")


@dataclass(frozen=True, slots=True)
class Identity:
    """One key to offer: `blob` identifies it, `source` says where it came from."""

    pair: asyncssh.SSHKeyPair
    blob: bytes
    source: str

    @property
    def name(self) -> str:
        """Fingerprint and source, for the evidence of a refusal."""
        algorithm = self.pair.key_algorithm.decode("ascii", "replace")
        return f"{HostKey(algorithm, self.blob)} ({self.source})"

    def fresh(self) -> asyncssh.SSHKeyPair:
        """A copy for one connection: asyncssh notes the signature algorithm in the pair itself."""
        return copy.copy(self.pair)


@dataclass(frozen=True, slots=True)
class Locked:
    """A key file needs a passphrase that nobody named; `public` is its public part, where known."""

    public: bytes | None


_Loaded: TypeAlias = list[Identity] | Locked | Diagnostic


class Keyring:
    """All keys of this run, each read once."""

    def __init__(self, *, secrets: SecretSource, home: Path, base: Path, agent_path: str | None) -> None:
        self._secrets = secrets
        self._home = home
        self._base = base
        self._agent_path = agent_path
        self._files: dict[tuple[str, SecretRef | None, tuple[str, ...]], _Loaded] = {}
        self._agents: dict[str, asyncio.Task[list[Identity]]] = {}
        self._clients: list[asyncssh.SSHAgentClient] = []
        self.findings: list[Diagnostic] = []

    async def identities(self, endpoint: Endpoint) -> list[Identity] | Diagnostic:
        """The keys to offer to an endpoint, in order.

        A diagnostic means that keys were named and none of them can be used:
        then there is nothing to try, and the reason is worth more than a refusal.
        """
        named = endpoint.identities
        agent = await self._agent(endpoint)
        offered: list[Identity] = []
        problems: list[Diagnostic] = []
        default = tuple(str(self._home / ".ssh" / name) for name in DEFAULT_NAMES)
        for text in default if named is None else named:
            found = self._file(text, endpoint, optional=named is None)
            if isinstance(found, Locked):
                held = [i for i in agent if i.blob == found.public]
                offered += held
                if not held and named:
                    problems.append(_locked(text, endpoint))
            elif isinstance(found, Diagnostic):
                problems.append(found)
            else:
                offered += found
        offered = self._ordered(endpoint, offered, agent)
        if problems and not offered and endpoint.settings.password_from is None:
            return problems[0]
        self.findings += [w for p in problems if (w := _warning(p)) not in self.findings]
        return offered

    def _ordered(self, endpoint: Endpoint, files: list[Identity], agent: list[Identity]) -> list[Identity]:
        """OpenSSH's order: keys that were named first, else the agent's before the default files."""
        if endpoint.identities_only:
            everything = files
        elif endpoint.identities:
            everything = files + agent
        else:
            everything = agent + files
        unique = {(i.blob, i.pair.has_cert): i for i in reversed(everything)}
        wanted = set(map(id, unique.values()))
        return [i for i in everything if id(i) in wanted]

    def _file(self, text: str, endpoint: Endpoint, *, optional: bool) -> _Loaded:
        path = self._home / text[2:] if text.startswith("~/") else self._base / text
        key = (str(path), endpoint.settings.passphrase_from, endpoint.certificates)
        if key not in self._files:
            self._files[key] = self._load(path, *key[1:], optional=optional)
        return self._files[key]

    def _load(
        self, path: Path, passphrase: SecretRef | None, certificates: tuple[str, ...], *, optional: bool
    ) -> _Loaded:
        data = _read_private(path)
        if data is None:
            return [] if optional else _unusable(path, "there is no such file")
        if isinstance(data, Diagnostic):
            return data
        try:
            try:
                key = asyncssh.import_private_key(data)
            except (asyncssh.KeyEncryptionError, asyncssh.KeyImportError) as error:
                if "assphrase" not in str(error):
                    raise
                if passphrase is None:
                    return Locked(_public_part(path))
                key = asyncssh.import_private_key(data, self._secrets(passphrase).reveal())
        except LookupError as error:
            return _unusable(path, f"its passphrase cannot be had: {error}")
        except asyncssh.KeyEncryptionError:
            return _unusable(path, f"the passphrase from {passphrase} does not open it")
        except (asyncssh.Error, ValueError, OSError) as error:
            return _unusable(path, f"it is no private key that can be read ({error})")
        pairs = asyncssh.load_keypairs([key], certlist=_certificates((f"{path}-cert.pub", *certificates)))
        return [Identity(pair, key.public_data, str(path)) for pair in pairs]

    async def _agent(self, endpoint: Endpoint) -> list[Identity]:
        path = endpoint.agent or self._agent_path
        if not path or path == "none":
            return []
        task = self._agents.get(path)
        if task is None:
            task = self._agents[path] = asyncio.create_task(self._ask(path))
        return await asyncio.shield(task)

    async def _ask(self, path: str) -> list[Identity]:
        client = asyncssh.SSHAgentClient(path)
        self._clients.append(client)
        try:
            async with asyncio.timeout(AGENT_LIMIT):
                pairs = await client.get_keys()
        except TimeoutError:
            self._ignored(path, f"did not answer in {AGENT_LIMIT:g} s")
        except (asyncssh.Error, OSError, ValueError, EOFError) as error:
            self._ignored(path, str(error) or "could not be asked")
        else:
            return [Identity(pair, pair.key_public_data, "agent") for pair in pairs]
        client.close()
        return []

    def _ignored(self, path: str, why: str) -> None:
        self.findings.append(
            Diagnostic(
                "SB208",
                "the SSH agent is ignored in this run",
                Severity.WARNING,
                evidence=(("agent", path), ("reason", why)),
                hints=("correct or unset SSH_AUTH_SOCK, or name a key with `ssh.identity_file`",),
            )
        )

    def password(self, endpoint: Endpoint) -> Secret | Diagnostic | None:
        """The password of an endpoint, where one is named."""
        reference = endpoint.settings.password_from
        if reference is None:
            return None
        try:
            return self._secrets(reference)
        except LookupError as error:
            return Diagnostic(
                "SB204",
                f"the password for {endpoint} cannot be had",
                evidence=(("source", str(reference)), ("reason", str(error))),
                hints=("correct `ssh.password_from`",),
            )

    def close(self) -> None:
        """Hang up on the agents."""
        for task in self._agents.values():
            task.cancel()
        for client in self._clients:
            client.close()


def _read_private(path: Path) -> bytes | Diagnostic | None:
    """The bytes of a private key file that only its owner can read; `None` when there is none."""
    try:
        # A FIFO in the place of a key must not hang the run.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        return _unusable(path, f"it cannot be opened: {getattr(error, 'strerror', None) or error}")
    with os.fdopen(fd, "rb") as file:
        info = os.fstat(file.fileno())
        if not stat.S_ISREG(info.st_mode) or info.st_size > MAX_BYTES:
            return _unusable(path, "it is no regular file of a key's size")
        if info.st_uid == os.getuid() and info.st_mode & 0o077:
            return _unusable(
                path,
                f"its mode {stat.S_IMODE(info.st_mode):04o} lets others read it",
                hint=f"chmod 600 {path}",
            )
        return file.read()


def _public_part(path: Path) -> bytes | None:
    try:
        return asyncssh.read_public_key(f"{path}.pub").public_data
    except (asyncssh.Error, OSError, ValueError):
        return None


def _certificates(paths: tuple[str, ...]) -> list[asyncssh.SSHCertificate]:
    found: list[asyncssh.SSHCertificate] = []
    for path in paths:
        with suppress(asyncssh.Error, OSError, ValueError):
            found.append(asyncssh.read_certificate(path))
    return found


def _unusable(path: Path, why: str, *, hint: str = "correct `ssh.identity_file`") -> Diagnostic:
    return Diagnostic(
        "SB208",
        f"the private key {path} cannot be used: {why}",
        at=Location(str(path), 1),
        hints=(hint,),
    )


def _locked(text: str, endpoint: Endpoint) -> Diagnostic:
    return Diagnostic(
        "SB208",
        f"the private key {text} cannot be used: it needs a passphrase",
        evidence=(("for", str(endpoint)),),
        hints=("set `ssh.passphrase_from`, or load the key into your agent: `ssh-add`",),
    )


def _warning(diagnostic: Diagnostic) -> Diagnostic:
    return Diagnostic(
        diagnostic.code,
        diagnostic.summary,
        Severity.WARNING,
        at=diagnostic.at,
        evidence=diagnostic.evidence,
        hints=diagnostic.hints,
    )
