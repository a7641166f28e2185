"""The engine over real OpenSSH: a whole apply, a second one, kills, drops and two at once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import pytest
from requires import requires
from session_kit import eventually, session
from sshd_kit import Server, User, openssh

from sealboot.engine.lock import Claim, Holder, status, take
from sealboot.engine.options import ApplyOptions
from sealboot.engine.run import Engine
from sealboot.engine.shell import NodePaths, node_paths
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.host import Host
from sealboot.model.plan import Action, Plan, PlannedStep, PlannedWave
from sealboot.model.report import ApplyReport
from sealboot.model.secret import Redactor
from sealboot.model.steps import PathExists, Run, Step, Upload, WriteFile
from sealboot.transport.session import SshSession


@dataclass
class Site:
    """One server, sessions onto it, and a place there for everything that is written."""

    server: Server
    root: Path
    stack: AsyncExitStack
    sessions: list[SshSession] = field(default_factory=list)

    @property
    def host(self) -> Host:
        return Host("node", self.server.host, "node", paths={"state": str(self.root / "state")})

    @property
    def paths(self) -> NodePaths:
        return node_paths("lab", self.host)

    async def session(self, _name: str = "") -> SshSession:
        made = await self.stack.enter_async_context(session(self.server))
        self.sessions.append(made)
        return made

    async def apply(self, plan: Plan, first: SshSession | None = None, **more: float) -> ApplyReport:
        return await Engine().apply(
            plan,
            {"node": first or await self.session()},
            hosts={"node": self.host},
            facts={},
            sink=lambda event: None,
            options=ApplyOptions(reconnect_timeout=20.0, reconnect_pause=0.05, **more),  # type: ignore[arg-type]
            redactor=Redactor(),
            reconnect=self.session,
        )

    def step(self, name: str, script: str, **more: object) -> Run:
        return Run(id=name, host="node", title=name, script=script, **more)  # type: ignore[arg-type]


def plan(*steps: Step) -> Plan:
    acting = tuple(PlannedStep(step, Action.CHANGE) for step in steps)
    return Plan("lab", "phases", (PlannedWave("w", "w", acting),), ("node",))


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    (tmp_path / "root").mkdir()
    with openssh(tmp_path / "sshd") as server:
        async with AsyncExitStack() as stack:
            yield Site(server, tmp_path / "root", stack)


def drop(server: Server) -> None:
    """End every session of the server as a lost network would: its sshd children die."""
    for pid in server.session_pids():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended by itself meanwhile
            if Path(f"/proc/{pid}/comm").read_text().strip().startswith("sshd"):
                os.kill(pid, signal.SIGKILL)


async def there(path: Path) -> None:
    await eventually(path.exists)


async def test_an_apply_and_then_nothing_to_do(site: Site, tmp_path: Path) -> None:
    source = tmp_path / "tool"
    source.write_bytes(b"#!/bin/sh\necho v2\n" + b"#" * 3_000_000)
    data = source.read_bytes()
    whole = plan(
        Upload(
            id="up",
            host="node",
            title="ship",
            source=str(source),
            sha256=sha256(data).hexdigest(),
            size=len(data),
            dest=str(site.root / "bin/tool"),
            smoke='"$1"',
            smoke_expects=("v2",),
        ),
        WriteFile(id="conf", host="node", title="conf", dest=str(site.root / "conf"), content="a\n"),
        site.step("go", f"echo r >>{site.root}/log", only_after=("up",)),
    )
    first = await site.apply(whole)
    assert [row.outcome.value for row in first.hosts] == ["changed"], first.diagnostics
    assert first.sent == len(data)
    assert (site.root / "bin/tool").read_bytes() == data
    second = await site.apply(whole)
    assert [row.outcome.value for row in second.hosts] == ["ok"], second.diagnostics
    assert (second.sent, second.changed, second.diagnostics) == (0, 0, ())
    assert not list(site.root.rglob("*sealboot-*"))


async def test_the_lock_frees_itself_when_its_connection_is_killed(site: Site) -> None:
    held = await take(await site.session(), site.paths, Claim("r1", "ops@desk, pid 7", "apply"))
    assert not isinstance(held, (Holder, Diagnostic))
    second = await site.session()
    refused = await take(second, site.paths, Claim("r2", "eve@lap, pid 9", "apply"))
    assert isinstance(refused, Holder)
    assert (refused.run, refused.from_address) == ("r1", "127.0.0.1")
    drop(site.server)

    async def free() -> bool:
        return await status(await site.session(), site.paths) is None

    async with asyncio.timeout(10):
        while not await free():  # noqa: ASYNC110 (the host decides)
            await asyncio.sleep(0.05)


async def test_two_applies_at_once(site: Site) -> None:
    work = plan(site.step("go", f"echo x >>{site.root}/log; sleep 0.1"))
    reports = await asyncio.gather(site.apply(work), site.apply(work))
    assert sorted(r.hosts[0].outcome.value for r in reports) == ["changed", "skipped"]
    assert [d.code for r in reports for d in r.diagnostics] == ["SB505"]
    assert (site.root / "log").read_text() == "x\n"


@pytest.mark.parametrize("detached", [True, False])
async def test_a_dropped_connection_in_the_middle_of_a_step(site: Site, detached: bool) -> None:
    gate, begun, done = (site.root / name for name in ("gate", "begun", "done"))
    os.mkfifo(gate)
    script = f"echo x >>{begun}; read -r x <{gate}; touch {done}"
    step = site.step("long", script, detached=detached, check=PathExists(str(done)), timeout=30.0)
    going = asyncio.create_task(site.apply(plan(step)))
    await there(begun)
    connections = len(site.sessions)
    drop(site.server)
    await eventually(lambda: len(site.sessions) > connections)
    # Opened for both, so that a writer never waits for a reader that was killed with its session.
    descriptor = os.open(gate, os.O_RDWR)
    try:
        os.write(descriptor, b"go\n" * 2)
        report = await asyncio.wait_for(going, 25)
    finally:
        os.close(descriptor)
    assert [row.outcome.value for row in report.hosts] == ["changed"], report.diagnostics
    lines = begun.read_text().count("x")
    assert lines == 1 if detached else lines in {1, 2}
    assert await status(await site.session(), site.paths) is None


async def test_an_apply_that_is_stopped_on_a_frozen_server_ends_in_time(site: Site) -> None:
    begun = site.root / "begun"
    engine = Engine()
    work = plan(site.step("hang", f"touch {begun}; sleep 300"))
    going = asyncio.create_task(
        engine.apply(
            work,
            {"node": await site.session()},
            hosts={"node": site.host},
            facts={},
            sink=lambda event: None,
            options=ApplyOptions(),
            redactor=Redactor(),
        )
    )
    await there(begun)
    frozen = site.server.session_pids()
    _each(frozen, signal.SIGSTOP)
    try:
        engine.stop("SIGINT")
        report = await asyncio.wait_for(going, 5.0)
    finally:
        _each(frozen, signal.SIGCONT)
    assert [row.outcome.value for row in report.hosts] == ["unknown"]
    assert report.interrupted == "SIGINT"


async def test_a_user_who_is_not_root_becomes_root_for_every_byte(tmp_path: Path) -> None:
    requires("sudo")
    setup = (
        "cat >/run/sudoers <<'EOF'\nroot ALL=(ALL:ALL) ALL\nfree ALL=(ALL:ALL) NOPASSWD: ALL\nEOF\n"
        "chmod 440 /run/sudoers\nmount --bind /run/sudoers /etc/sudoers\n"
    )
    (tmp_path / "root").mkdir()
    (tmp_path / "tool").write_bytes(b"#!/bin/sh\nid -u\n")
    with openssh(tmp_path / "sshd", users=(User("free", "pw"),), setup=setup) as server:
        async with AsyncExitStack() as stack, session(server, "free") as login:
            site = Site(server, tmp_path / "root", stack)
            dest = site.root / "bin/tool"
            step = Upload(
                id="up",
                host="node",
                title="ship",
                source=str(tmp_path / "tool"),
                sha256=sha256(b"#!/bin/sh\nid -u\n").hexdigest(),
                size=16,
                dest=str(dest),
                smoke='"$1"',
                smoke_expects=("0",),
            )
            mine = site.step("me", f"id -un >{site.root}/who; chmod 777 {site.root}", become=True)
            plain = site.step("plain", f"id -un >{site.root}/plain", become=False)
            report = await site.apply(plan(step, mine, plain), login)
    assert [row.outcome.value for row in report.hosts] == ["changed"], report.diagnostics
    assert (dest.stat().st_uid, (site.root / "state").stat().st_mode & 0o777) == (0, 0o700)
    assert (site.root / "who").read_text() == "root\n"
    assert (site.root / "plain").read_text() == "free\n"


def _each(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
