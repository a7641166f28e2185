"""A controller that kills itself: `kill_kit.py ROOT CALL WHEN` applies a small plan over a local session."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from sealboot.engine.options import ApplyOptions
from sealboot.engine.run import Engine
from sealboot.model.host import BecomeSettings, Host
from sealboot.model.plan import Action, Plan, PlannedStep, PlannedWave
from sealboot.model.report import ApplyReport
from sealboot.model.secret import Redactor
from sealboot.model.steps import PathExists, ReadSecret, Run, Step, Upload, WriteFile
from sealboot.transport.local import LocalSession

#: Seconds into a call at which the controller dies while the host is at work.
MIDWAY = 0.012


def plan(root: Path) -> Plan:
    """Everything that can be cut off: a binary, files, a follower, a secret, a detached job, a removal."""
    source = root / "source"
    data = source.read_bytes()
    live = root / "live"
    common: dict[str, Any] = {"host": "n1", "timeout": 30.0}
    first: tuple[Step, ...] = (
        Upload(
            id="up",
            title="ship",
            source=str(source),
            sha256=hashlib.sha256(data).hexdigest(),
            size=len(data),
            dest=str(live / "bin/tool"),
            smoke='"$1"',
            smoke_expects=("v2",),
            **common,
        ),
        WriteFile(id="conf", title="configure", dest=str(live / "conf"), content="a: 1\n", **common),
        Run(
            id="restart",
            title="restart",
            script=f"echo r >>'{live}/restarts'",
            only_after=("up", "conf"),
            **common,
        ),
    )
    second: tuple[Step, ...] = (
        Run(
            id="long",
            title="a long one",
            detached=True,
            script=f"echo begun >>'{live}/long'; sleep 0.05; echo end >'{live}/long-done'",
            check=PathExists(f"{live}/long-done"),
            **common,
        ),
        ReadSecret(id="read", title="read", script="echo K10secret", into="token", **common),
        WriteFile(
            id="join",
            title="join",
            dest=str(live / "join"),
            content="t: {{ secret.token }}\n",
            secrets=("token",),
            **common,
        ),
    )
    waves = tuple(
        PlannedWave(name, name, tuple(PlannedStep(s, Action.CHANGE) for s in steps))
        for name, steps in (("one", first), ("two", second))
    )
    return Plan("lab", "phases", waves, ("n1",))


class Deadly(LocalSession):
    """Dies, with its whole process, at one call."""

    def __init__(self, host: Host, call: int, when: str) -> None:
        super().__init__(host)
        self.calls = 0
        self._call = call
        self._when = when

    def _count(self) -> None:
        self.calls += 1
        if self.calls != self._call:
            return
        if self._when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        threading.Timer(MIDWAY, os.kill, (os.getpid(), signal.SIGKILL)).start()

    async def run(self, *args: Any, **kwargs: Any) -> Any:
        self._count()
        return await super().run(*args, **kwargs)

    async def put(self, *args: Any, **kwargs: Any) -> Any:
        self._count()
        return await super().put(*args, **kwargs)

    async def stream(self, *args: Any, **kwargs: Any) -> Any:
        self._count()
        return await super().stream(*args, **kwargs)

    async def hold(self, *args: Any, **kwargs: Any) -> Any:
        self._count()
        return await super().hold(*args, **kwargs)


async def apply(root: Path, call: int, when: str) -> tuple[ApplyReport, int]:
    """Apply the plan in this process; returns the report and how many calls it took."""
    host = Host(
        "n1",
        "127.0.0.1",
        "node",
        paths={"state": str(root / "live/state")},
        become=BecomeSettings(method="none"),
    )
    session = Deadly(host, call, when)
    try:
        report = await Engine().apply(
            plan(root),
            {"n1": session},
            hosts={"n1": host},
            facts={},
            sink=lambda event: None,
            options=ApplyOptions(lock_timeout=20.0),
            redactor=Redactor(),
        )
    finally:
        await session.close()
    return report, session.calls


if __name__ == "__main__":
    asyncio.run(apply(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
