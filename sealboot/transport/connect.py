"""The connector: from a name in the inventory to a verified, logged-in session.

Each host gets one connection, each chain of jump hosts one that all hosts
behind it share. known_hosts, ssh_config, keys and agent are read once per
run. Nothing raises for what hosts or files do: the answer is a diagnostic.
"""

from __future__ import annotations

import asyncio
import getpass
import logging
import os
import time
import warnings
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path

import asyncssh

from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.events import Found, HostConnected, Sink
from sealboot.model.host import Host
from sealboot.model.secret import SecretSource
from sealboot.transport.algorithms import types_to_ask
from sealboot.transport.auth import Keyring
from sealboot.transport.base import Greeting, Session
from sealboot.transport.client import Client, Login, Onlooker
from sealboot.transport.endpoint import Endpoint, Routes
from sealboot.transport.errors import Failure, Stage, unreadable_revocation
from sealboot.transport.handshake import certificate_failed
from sealboot.transport.knock import knock
from sealboot.transport.knownhosts import HostKey, read_known_hosts, spelled
from sealboot.transport.loopguard import LoopGuard
from sealboot.transport.reach import Reach
from sealboot.transport.resolve import Resolver
from sealboot.transport.session import SshSession
from sealboot.transport.sshconfig import SshConfig
from sealboot.transport.trust import Offered, pin
from sealboot.transport.verdict import Trust, Verdict, judge

#: Hosts that are being connected to at one time: latency decides, not processors.
JOBS = 128
#: Makes a session of a connection that is logged in.
Wrap = Callable[[Host, asyncssh.SSHClientConnection, SecretSource, str], Session]


def user_trust(home: Path) -> tuple[Path, ...]:
    """The known_hosts files that are read beside the project's own, and never written."""
    return (home / ".ssh/known_hosts", home / ".ssh/known_hosts2", Path("/etc/ssh/ssh_known_hosts"))


class SshConnector:
    """Implements `transport.base.Connector` for real hosts.

    `known_hosts` is the project's file: the only one that is written, and only
    with `accept_new`. `base` is the folder that relative identity files start
    from. `sink` receives `HostConnected` and `Found`; `clock` gives the
    seconds since the run began.
    """

    def __init__(
        self,
        hosts: Mapping[str, Host],
        *,
        known_hosts: Path,
        secrets: SecretSource,
        user_known_hosts: tuple[Path, ...] | None = None,
        accept_new: bool = False,
        sink: Sink | None = None,
        clock: Callable[[], float] = time.monotonic,
        ssh_config: Path | None = None,
        agent_path: str | None = None,
        jobs: int = JOBS,
        home: Path | None = None,
        base: Path | None = None,
        resolver: Resolver | None = None,
        wrap: Wrap | None = None,
    ) -> None:
        home = home or Path.home()
        local_user = _local_user()
        self._hosts = hosts
        self._secrets = secrets
        self._project = known_hosts
        self._known = read_known_hosts(
            (known_hosts, *(user_trust(home) if user_known_hosts is None else user_known_hosts))
        )
        config = None
        if any(host.ssh.config for host in hosts.values()):
            config = SshConfig(ssh_config or home / ".ssh/config", home=home, local_user=local_user)
        self._routes = Routes(hosts, config, local_user)
        self._config_findings = config.findings if config else []
        self._keyring = Keyring(
            secrets=secrets,
            home=home,
            base=base or Path.cwd(),
            agent_path=agent_path if agent_path is not None else os.environ.get("SSH_AUTH_SOCK"),
        )
        self._accept_new = accept_new
        self._sink = sink
        self._clock = clock
        self._resolver = resolver or Resolver()
        self._reacher = Reach(self._resolver)
        self._wrap = wrap or _session
        self._jobs = asyncio.Semaphore(jobs)
        self._hops: dict[tuple[Endpoint, ...], asyncio.Task[asyncssh.SSHClientConnection | Failure]] = {}
        self._open: weakref.WeakSet[asyncssh.SSHClientConnection] = weakref.WeakSet()
        self._told: list[Diagnostic] = []
        self._heard: dict[int, int] = {}
        self._guard = LoopGuard()
        # asyncssh logs commands, environment and its own tracebacks; none of that may reach a terminal.
        logging.getLogger("asyncssh").setLevel(logging.CRITICAL + 1)
        # asyncio counts every write into a dead connection aloud; the connection's end is told by us.
        logging.getLogger("asyncio").setLevel(logging.CRITICAL + 1)
        # Old servers know no better exchange than a finite-field one; the operator cannot act on this.
        warnings.filterwarnings("ignore", message="Diffie-Hellman over finite fields", category=UserWarning)
        self._tell()

    @property
    def findings(self) -> tuple[Diagnostic, ...]:
        """Warnings about files and the agent, so far; each was also sent to the sink."""
        self._tell()
        # Told here and not as each host is met: lines that several hosts share make one finding.
        for finding in self._routes.told():
            self._found(finding)
        return tuple(self._told)

    async def connect(self, name: str) -> Session | Diagnostic:
        """Log in to the inventory host `name`; raises `KeyError` for a name that is not in the inventory."""
        self._guard.install()
        host = self._hosts[name]
        route = self._routes.route(name)
        if isinstance(route, Diagnostic):
            return route
        async with self._jobs:
            outcome = await self._reach(route, announce=True)
        self._tell()
        if isinstance(outcome, Failure):
            return outcome.diagnostic(host)
        return self._wrap(host, outcome, self._secrets, route[-1].user)

    async def offered_keys(self, name: str) -> Offered | Diagnostic:
        """All the keys a host offers, one connection for each type; no login is tried."""
        self._guard.install()
        host = self._hosts[name]
        route = self._routes.route(name)
        if isinstance(route, Diagnostic):
            return route
        endpoint = route[-1]
        tunnel = await self._tunnel(route)
        if isinstance(tunnel, Failure):
            return tunnel.diagnostic(host)
        keys: list[HostKey] = []
        failure: Failure | None = None
        for types in types_to_ask(legacy=endpoint.settings.legacy_crypto):
            looker = Onlooker()
            outcome = await self._reacher.attempts(endpoint, tunnel, looker.itself, algorithms=types)
            if looker.offered is not None:
                keys.append(looker.offered)
            elif isinstance(outcome, Failure) and outcome.stage is not Stage.KEY_EXCHANGE:
                return outcome.diagnostic(host)
            elif isinstance(outcome, Failure):
                failure = outcome
        self._tell()
        if not keys and failure is not None:
            return failure.diagnostic(host)
        known = self._known.lookup(endpoint.trust_name, endpoint.trust_port)
        return Offered(endpoint.trust_name, endpoint.trust_port, known, tuple(keys))

    async def knock(self, name: str, port: int, alpn: tuple[str, ...] | None) -> Greeting | str:
        """See `Knock`. Asked directly, without jump hosts: whatever is to be used there must reach it so."""
        route = self._routes.route(name)
        if isinstance(route, Diagnostic):
            return route.summary
        return await knock(self._resolver, route[-1].address, port, alpn)

    async def close(self) -> None:
        """End every connection, jump hosts included; waits for nobody."""
        for task in self._hops.values():
            task.cancel()
        for connection in list(self._open):
            connection.abort()
        self._hops.clear()
        self._keyring.close()
        self._reacher.close()
        self._guard.remove()

    async def _reach(
        self, route: tuple[Endpoint, ...], *, announce: bool = False
    ) -> asyncssh.SSHClientConnection | Failure:
        tunnel = await self._tunnel(route)
        if isinstance(tunnel, Failure):
            return tunnel
        return await self._log_in(route[-1], tunnel, announce=announce)

    async def _tunnel(self, route: tuple[Endpoint, ...]) -> asyncssh.SSHClientConnection | Failure | None:
        """The shared connection to the last hop before the target, made when first needed."""
        hops = route[:-1]
        if not hops:
            return None
        task = self._hops.get(hops)
        if task is None or _ended(task):
            task = self._hops[hops] = asyncio.create_task(self._reach(hops))
        # Shielded: the host that asked first may give up while others still wait.
        return await asyncio.shield(task)

    async def _log_in(
        self, endpoint: Endpoint, tunnel: asyncssh.SSHClientConnection | None, *, announce: bool
    ) -> asyncssh.SSHClientConnection | Failure:
        known = self._known.lookup(endpoint.trust_name, endpoint.trust_port)
        if known.unreadable:
            return unreadable_revocation(endpoint, known)
        identities = await self._keyring.identities(endpoint)
        password = self._keyring.password(endpoint)
        for part in (identities, password):
            if isinstance(part, Diagnostic):
                return _as_failure(endpoint, part)
        assert not isinstance(identities, Diagnostic)  # noqa: S101 (for the type checker: the loop returned)
        assert not isinstance(password, Diagnostic)  # noqa: S101
        login = Login(identities, password)
        client: Client | None = None
        problems: list[Diagnostic] = []

        def fresh() -> Client:
            nonlocal client
            client = Client(known, login, pin=self._pinner(endpoint, problems) if self._accept_new else None)
            return client

        outcome = await self._reacher.attempts(endpoint, tunnel, fresh)
        if isinstance(outcome, Failure) and certificate_failed(outcome, known):
            plain = await self._reacher.attempts(endpoint, tunnel, fresh, certificates=False)
            outcome = outcome if isinstance(plain, Failure) else plain
        if isinstance(outcome, Failure):
            return _as_failure(endpoint, problems[0]) if problems else outcome
        self._open.add(outcome)
        if announce and client is not None:
            self._connected(endpoint, client, outcome)
        return outcome

    def _pinner(self, endpoint: Endpoint, problems: list[Diagnostic]) -> Callable[[HostKey], Verdict | None]:
        name = spelled(endpoint.trust_name, endpoint.trust_port)

        def record(key: HostKey) -> Verdict | None:
            # Another connection may have recorded a key since this one began: first come, first known.
            now = judge(self._known.lookup(endpoint.trust_name, endpoint.trust_port), key)
            if now.trust is not Trust.UNKNOWN:
                return now
            line = pin(self._project, name, key)
            if isinstance(line, Diagnostic):
                problems.append(line)
                return None
            self._known.pin(name, key, line.at)
            self._found(
                Diagnostic(
                    "SB203",
                    f"the host key of {endpoint.label} was not known and is now recorded",
                    Severity.NOTE,
                    host=endpoint.label,
                    at=line.at,
                    evidence=(("recorded", str(key)),),
                )
            )
            return Verdict(Trust.TRUSTED, key, (line,))

        return record

    def _connected(
        self, endpoint: Endpoint, client: Client, connection: asyncssh.SSHClientConnection
    ) -> None:
        verdict = client.verdict
        if self._sink is None or verdict is None or verdict.offered is None:
            return
        peer = connection.get_extra_info("peername")
        at = verdict.lines[0].at
        self._sink(
            HostConnected(
                at=self._clock(),
                host=endpoint.label,
                address=f"{peer[0]}:{endpoint.port}" if peer else f"{endpoint.address}:{endpoint.port}",
                key=verdict.offered.fingerprint,
                trusted_by=f"{at.file}:{at.line}",
            )
        )

    def _tell(self) -> None:
        """Send on what the readers of files have found since the last time."""
        sources = (
            self._known.findings,
            self._config_findings,
            self._keyring.findings,
        )
        for number, findings in enumerate(sources):
            for finding in findings[self._heard.get(number, 0) :]:
                self._found(finding)
            self._heard[number] = len(findings)

    def _found(self, finding: Diagnostic) -> None:
        self._told.append(finding)
        if self._sink is not None:
            self._sink(Found(at=self._clock(), diagnostic=finding))


def _local_user() -> str:
    """Who runs this; a user without a name (a container's, say) is given one, which asyncssh insists on."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return os.environ.setdefault("LOGNAME", f"uid{os.getuid()}")


def _ended(task: asyncio.Task[asyncssh.SSHClientConnection | Failure]) -> bool:
    """Whether a hop was connected and is gone; one that refused us stays refused (promise P16)."""
    if not task.done():
        return False
    if task.cancelled():
        return True
    outcome = task.result()
    return not isinstance(outcome, Failure) and outcome.is_closed()


def _as_failure(endpoint: Endpoint, problem: Diagnostic) -> Failure:
    return Failure(
        endpoint,
        problem.code,
        Stage.LOGIN,
        f"is not connected to: {problem.summary}",
        evidence=problem.evidence,
        hints=problem.hints,
        at=problem.at,
    )


def _session(
    host: Host, connection: asyncssh.SSHClientConnection, secrets: SecretSource, user: str
) -> Session:
    return SshSession(host, connection, secrets=secrets, login_user=user)
