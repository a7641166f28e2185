"""Over real OpenSSH: a host that leaves for an API, one that stays, and a disk whose writer is cut off."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from api_kit import Identity, api, identity
from requires import requires
from session_kit import eventually, session
from sshd_kit import Server, openssh

from sealboot.engine.options import ApplyOptions
from sealboot.engine.run import Engine
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.host import Host
from sealboot.model.outcome import HostOutcome
from sealboot.model.plan import Action, Plan, PlannedStep, PlannedWave
from sealboot.model.report import ApplyReport
from sealboot.model.secret import Redactor
from sealboot.model.steps import Handover, Step, WriteDisk
from sealboot.transport.base import Greeting, Session
from sealboot.transport.knock import knock
from sealboot.transport.resolve import Resolver

MIB = 1 << 20


@dataclass
class Machine:
    """A server that may be replaced by an API, as a kexec replaces a system."""

    folder: Path
    server: Server
    stack: AsyncExitStack
    port: int = 0
    who: Identity = field(default_factory=identity)
    gone: bool = False

    @property
    def host(self) -> Host:
        return Host("node", self.server.host, "node", paths={"state": str(self.folder / "state")})

    async def session(self, _name: str = "") -> Session | Diagnostic:
        if self.gone:
            return Diagnostic("SB201", "node cannot be reached: connection refused", host="node")
        return await self.stack.enter_async_context(session(self.server))

    async def knock(self, _name: str, port: int, alpn: tuple[str, ...] | None) -> Greeting | str:
        return await knock(Resolver(), self.server.host, port, alpn)

    async def apply(self, *steps: Step) -> ApplyReport:
        first = await self.session()
        assert not isinstance(first, Diagnostic)
        acting = tuple(PlannedStep(step, Action.CHANGE) for step in steps)
        return await Engine().apply(
            Plan("lab", "talos", (PlannedWave("w", "w", acting),), ("node",)),
            {"node": first},
            hosts={"node": self.host},
            facts={},
            sink=lambda event: None,
            options=ApplyOptions(reconnect_timeout=0.5, reconnect_pause=0.05),
            redactor=Redactor(),
            reconnect=self.session,
            knock=self.knock,
        )

    def power_off(self) -> None:
        """Everything of the old system ends at once; nobody says goodbye."""
        self.gone = True
        for pid in (*self.server.session_pids(), self.server.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def comes_up(self) -> None:
        """The new system answers."""
        self.stack.enter_context(api(self.folder, who=self.who, port=self.port))


@pytest.fixture
async def machine(tmp_path: Path, unused_tcp_port: int) -> AsyncIterator[Machine]:
    with openssh(tmp_path / "sshd") as server:
        async with AsyncExitStack() as stack:
            yield Machine(tmp_path, server, stack, unused_tcp_port)


def leave(machine: Machine, script: str, timeout: float = 30.0) -> Handover:
    return Handover(
        id="h",
        host="node",
        title="leave",
        script=script,
        port=machine.port,
        alpn=("h2",),
        timeout=timeout,
    )


async def test_a_machine_that_leaves_for_its_api(machine: Machine) -> None:
    begun = machine.folder / "begun"
    going = asyncio.create_task(machine.apply(leave(machine, f"touch {begun}; sleep 300")))
    await eventually(begun.exists)
    machine.power_off()
    machine.comes_up()
    report = await asyncio.wait_for(going, 30)
    assert [row.outcome for row in report.hosts] == [HostOutcome.CHANGED], report.diagnostics
    (told,) = report.diagnostics
    assert (told.code, dict(told.evidence)) == ("SB522", {"key": f"SHA256:{machine.who.key}"})


async def test_a_machine_that_stays_is_a_failure_with_its_words(machine: Machine) -> None:
    report = await machine.apply(leave(machine, "echo 'kexec failed: Operation not permitted' >&2; exit 1"))
    assert [row.outcome for row in report.hosts] == [HostOutcome.FAILED]
    (told,) = report.diagnostics
    assert told.code == "SB520"
    assert ("log", "kexec failed: Operation not permitted") in told.evidence


async def test_a_machine_that_opens_the_port_and_stays_is_no_success(machine: Machine) -> None:
    machine.comes_up()
    report = await machine.apply(leave(machine, "true", timeout=1.5))
    assert [row.outcome for row in report.hosts] == [HostOutcome.FAILED], report.diagnostics


async def test_a_machine_that_is_never_seen_again_is_unknown(machine: Machine) -> None:
    begun = machine.folder / "begun"
    step = leave(machine, f"touch {begun}; sleep 300", timeout=4.0)
    going = asyncio.create_task(machine.apply(step))
    await eventually(begun.exists)
    machine.power_off()
    report = await asyncio.wait_for(going, 30)
    assert [row.outcome for row in report.hosts] == [HostOutcome.UNKNOWN], report.diagnostics
    assert [d.code for d in report.diagnostics] == ["SB521"]


# -- disks ------------------------------------------------------------------------------------------


@pytest.fixture
def device(tmp_path: Path) -> Iterator[str]:
    requires("loop devices")
    file = tmp_path / "disk"
    file.write_bytes(bytes(64 * MIB))
    made = subprocess.run(["losetup", "-f", "--show", str(file)], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    yield made.stdout.strip()
    subprocess.run(["losetup", "-d", made.stdout.strip()], check=True)


async def test_a_writer_that_is_cut_off_is_told_and_the_next_run_writes_all(
    machine: Machine, device: str, tmp_path: Path
) -> None:
    raw = os.urandom(24 * MIB)
    source = tmp_path / "image"
    source.write_bytes(raw)
    digest = hashlib.sha256(raw).hexdigest()
    step = WriteDisk(
        id="d",
        host="node",
        title="write",
        source=str(source),
        sha256=digest,
        size=len(raw),
        raw_sha256=digest,
        raw_size=len(raw),
        device=device,
        destroys="all of it",
    )

    def begun() -> bool:
        with Path(device).open("rb", buffering=0) as disk:
            return disk.read(4096) == raw[:4096]

    going = asyncio.create_task(machine.apply(step))
    await eventually(begun)
    machine.gone = True
    for pid in machine.server.session_pids():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if Path(f"/proc/{pid}/comm").read_text().startswith("sshd"):
                os.kill(pid, signal.SIGKILL)
    report = await asyncio.wait_for(going, 60)
    assert [row.outcome for row in report.hosts] == [HostOutcome.UNKNOWN], report.diagnostics
    (told,) = report.diagnostics
    assert (told.code, "half written" in told.summary) == ("SB524", True)
    machine.gone = False
    report = await machine.apply(step)
    assert [row.outcome for row in report.hosts] == [HostOutcome.CHANGED], report.diagnostics
    assert [d.code for d in report.diagnostics] == ["SB512"]
    with Path(device).open("rb", buffering=0) as disk:
        assert hashlib.sha256(disk.read(len(raw))).hexdigest() == digest
