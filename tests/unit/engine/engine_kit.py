"""A session onto this very machine's /bin/sh, with the faults of a network built in, and an engine around it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sealboot.engine.context import SecretStore, Sources, Work
from sealboot.engine.desk import Desk
from sealboot.engine.options import ApplyOptions
from sealboot.engine.run import Engine
from sealboot.engine.shell import NodePaths
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.events import Event
from sealboot.model.host import Host
from sealboot.model.plan import Action, Plan, PlannedStep, PlannedWave
from sealboot.model.report import ApplyReport
from sealboot.model.secret import Redactor, Secret
from sealboot.model.steps import Step
from sealboot.transport.base import OUTPUT_LIMIT, Hold, Knock, Progress, PutResult, Result, Session


class ShHold:
    """A held script; `release` closes its stdin."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @property
    def alive(self) -> bool:
        return self.process.returncode is None

    async def release(self) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()
        await self.process.wait()


@dataclass
class ShSession:
    """Runs scripts with the local /bin/sh. `before` may end the connection or let a call hang."""

    host: str
    lost: Diagnostic | None = None
    path: str = os.environ["PATH"]
    calls: int = 0
    sent: int = 0
    scripts: list[str] = field(default_factory=list)
    holds: list[ShHold] = field(default_factory=list)
    #: Called with the number of each call and its script; may return how it ends instead of running.
    before: Callable[[int, str], Result | None] = lambda number, script: None
    after: Callable[[int, str], None] = lambda number, script: None
    corrupt: int = 0  # how many transfers arrive damaged
    hang: asyncio.Event | None = None
    shell: tuple[str, ...] = ("/bin/sh",)

    def drop(self, why: str = "the network went away") -> None:
        self.lost = Diagnostic("SB506", why, host=self.host)
        for hold in self.holds:
            if hold.process.stdin is not None:
                hold.process.stdin.close()

    @property
    def is_gone(self) -> bool:
        return self.lost is not None

    def gone(self) -> Result:
        return Result("lost", None, diagnostic=self.lost)

    async def run(
        self,
        script: str,
        *,
        args: Sequence[str] = (),
        env: Mapping[str, str | Secret] | None = None,
        stdin: bytes = b"",
        become: bool = False,
        timeout: float,  # noqa: ASYNC109 (the protocol's)
        limit: int = OUTPUT_LIMIT,
    ) -> Result:
        self.calls += 1
        self.scripts.append(script)
        if self.lost is not None:
            return self.gone()
        if self.hang is not None:
            await self.hang.wait()
        instead = self.before(self.calls, script)
        if instead is not None:
            return instead
        values = {k: v.reveal() if isinstance(v, Secret) else v for k, v in (env or {}).items()}
        process = await asyncio.create_subprocess_exec(
            *self.shell,
            "-c",
            script,
            "sh",
            *args,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": self.path, "HOME": os.environ.get("HOME", "/"), **values},
            start_new_session=True,
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(stdin), timeout)
        except TimeoutError:
            return Result("timeout", None, seconds=timeout)
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        self.after(self.calls, script)
        if self.is_gone:
            return self.gone()
        return Result("exited", process.returncode, out[:limit], err[:limit])

    async def put(
        self,
        source: Path | bytes,
        dest: str,
        *,
        mode: int = 0o600,
        become: bool = False,
        stall: float = 60.0,
        progress: Progress | None = None,
    ) -> PutResult:
        self.calls += 1
        instead = self.before(self.calls, f"put {dest}") if self.lost is None else self.gone()
        if instead is not None:
            return PutResult(instead, "", 0)
        data = source if isinstance(source, bytes) else source.read_bytes()
        try:
            descriptor = os.open(dest, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            arrived = data
            if self.corrupt:
                self.corrupt -= 1
                arrived = data[:-1] + bytes([data[-1] ^ 1])
            with os.fdopen(descriptor, "wb") as file:
                file.write(arrived)
        except OSError as error:
            return PutResult(Result("exited", 1, b"", str(error).encode()), "", 0)
        Path(dest).chmod(mode)
        self.sent += len(data)
        if progress is not None:
            progress(len(data))
        self.after(self.calls, f"put {dest}")
        if self.is_gone:
            return PutResult(self.gone(), "", len(data))
        return PutResult(Result("exited", 0), hashlib.sha256(arrived).hexdigest(), len(data))

    async def stream(
        self,
        pieces: Iterator[bytes],
        size: int,
        script: str,
        *,
        args: Sequence[str] = (),
        become: bool = False,
        stall: float = 60.0,
        progress: Progress | None = None,
    ) -> Result:
        data = b"".join(pieces)
        assert len(data) == size
        if self.corrupt:
            self.corrupt -= 1
            data = data[:-1] + bytes([data[-1] ^ 1])
        if progress is not None:
            progress(size)
        return await self.run(script, args=args, become=become, stdin=data, timeout=stall)

    async def hold(
        self,
        script: str,
        *,
        args: Sequence[str] = (),
        become: bool = False,
        ready: str,
        timeout: float,  # noqa: ASYNC109 (the protocol's)
    ) -> Hold | Result:
        self.calls += 1
        if self.lost is not None:
            return self.gone()
        process = await asyncio.create_subprocess_exec(
            *self.shell,
            "-c",
            script,
            "sh",
            *args,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": self.path, "SSH_CONNECTION": "192.0.2.7 50000 192.0.2.8 22"},
            start_new_session=True,
        )
        assert process.stdout is not None
        said = b""
        while line := await asyncio.wait_for(process.stdout.readline(), timeout):
            if line.decode().strip() == ready:
                hold = ShHold(process)
                self.holds.append(hold)
                return hold
            said += line
        return Result("exited", await process.wait(), said)

    async def close(self) -> None:
        self.drop("closed")


@dataclass
class Node:
    """A directory that stands for a host."""

    root: Path
    host: Host
    paths: NodePaths
    session: ShSession

    def path(self, name: str) -> str:
        return str(self.root / name)

    def leftovers(self) -> list[str]:
        """Staged files that nobody removed."""
        return [str(p) for p in self.root.rglob("*sealboot-*")]

    def fresh(self) -> ShSession:
        """A new connection."""
        self.session = ShSession(self.host.name, path=self.session.path, shell=self.session.shell)
        return self.session


def work_for(node: Node, redactor: Redactor | None = None) -> Work:
    return Work(
        session=node.session,
        paths=node.paths,
        run="run1",
        secrets=SecretStore(redactor or Redactor()),
        sources=Sources(),
        uploads=asyncio.Semaphore(4),
        progress=lambda step, done, total: None,
    )


def planned(*waves: Sequence[Step], parallel: int | None = None) -> Plan:
    """A plan in which every step is to act."""
    made = tuple(
        PlannedWave(f"w{n}", f"wave {n}", tuple(PlannedStep(s, Action.CHANGE) for s in steps), parallel)
        for n, steps in enumerate(waves)
    )
    hosts = tuple(dict.fromkeys(s.host for steps in waves for s in steps))
    return Plan("lab", "phases", made, hosts)


@dataclass
class Rig:
    """An engine with everything around it."""

    engine: Engine = field(default_factory=Engine)
    events: list[Event] = field(default_factory=list)
    redactor: Redactor = field(default_factory=Redactor)

    async def apply(
        self,
        plan: Plan,
        *nodes: Node,
        options: ApplyOptions | None = None,
        secrets: Mapping[str, Secret] | None = None,
        reconnect: Callable[[str], object] | None = None,
        knock: Knock | None = None,
        desk: Desk | None = None,
        silent: Sequence[Host] = (),
    ) -> ApplyReport:
        """`silent` are hosts of the plan without a session."""
        by_name = {node.host.name: node for node in nodes}

        async def again(name: str) -> Session | Diagnostic:
            made = reconnect(name) if reconnect is not None else by_name[name].fresh()
            assert isinstance(made, (ShSession, Diagnostic))
            return made

        return await self.engine.apply(
            plan,
            {name: node.session for name, node in by_name.items()},
            hosts={
                **{name: node.host for name, node in by_name.items()},
                **{host.name: host for host in silent},
            },
            facts={},
            sink=self.events.append,
            options=options or ApplyOptions(reconnect_timeout=0.0, reconnect_pause=0.01),
            redactor=self.redactor,
            secrets=secrets,
            reconnect=again,
            knock=knock,
            desk=desk,
        )


SYSTEMCTL = """#!/bin/sh
echo "$*" >>"$D/log"
verb=; name=; want=
while [ $# -gt 0 ]; do
  case $1 in -p) want="$want $2"; shift;; -*) ;; *) [ -n "$verb" ] && name=$1 || verb=$1;; esac
  shift
done
f=$D/$name
case $verb in
  show)
    for p in $want; do
      case $p in
        LoadState) if [ -e "$f.unit" ]; then echo LoadState=loaded; else echo LoadState=not-found; fi;;
        ActiveState) echo "ActiveState=$(cat "$f.active" 2>/dev/null || echo inactive)";;
        UnitFileState) echo "UnitFileState=$(cat "$f.enabled" 2>/dev/null || echo disabled)";;
        Job) n=$(cat "$f.queue" 2>/dev/null || echo 0)
          if [ "$n" -gt 0 ]; then echo Job=42; echo $((n - 1)) >"$f.queue"; else cat "$f.becomes" >"$f.active"; fi;;
        ExecMainStatus|NRestarts) echo "$p=$(cat "$f.$p" 2>/dev/null || echo 0)";;
      esac
    done;;
  start|restart)
    [ -e "$f.queue" ] && exit 0
    [ -e "$f.broken" ] && { echo "Job for $name failed." >&2; echo failed >"$f.active"; exit 1; }
    echo active >"$f.active";;
  stop) echo inactive >"$f.active";;
  enable) echo enabled >"$f.enabled";;
  disable) echo disabled >"$f.enabled";;
  is-active) [ "$(cat "$f.active" 2>/dev/null)" = active ];;
esac
"""


@dataclass
class FakeSystemd:
    """A systemctl whose units are files."""

    folder: Path

    def unit(self, name: str, *, active: str = "inactive", enabled: str = "disabled") -> None:
        (self.folder / f"{name}.unit").touch()
        (self.folder / f"{name}.active").write_text(active + "\n")
        (self.folder / f"{name}.enabled").write_text(enabled + "\n")

    def breaks(self, name: str) -> None:
        (self.folder / f"{name}.broken").touch()

    def queues(self, name: str, becomes: str, **shows: int) -> None:
        """A start is queued for a while; then the unit is in the state `becomes` and shows these properties."""
        (self.folder / f"{name}.queue").write_text("2\n")
        (self.folder / f"{name}.becomes").write_text(becomes + "\n")
        for what, value in shows.items():
            (self.folder / f"{name}.{what}").write_text(f"{value}\n")

    def state(self, name: str) -> tuple[str, str]:
        words = [(self.folder / f"{name}.{what}").read_text().strip() for what in ("active", "enabled")]
        return words[0], words[1]

    @property
    def log(self) -> str:
        file = self.folder / "log"
        return file.read_text() if file.exists() else ""
