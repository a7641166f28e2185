"""What the operator may set about an apply, and what all hosts of one run share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from sealboot.engine.bus import Bus
from sealboot.engine.context import Reconnect, SecretStore, Sources
from sealboot.engine.lock import Claim
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.steps import ReadSecret
from sealboot.transport.base import Knock


@dataclass(frozen=True, slots=True)
class ApplyOptions:
    """Settings of one apply; all times in seconds.

    `max_failures` must be exceeded to stop the run: 0 stops at the first
    failed host. `jobs` hosts work at once, `uploads` of them send files.
    `grace` is how long running steps may take to end after a stop; it leaves
    room to answer an interrupt within 5 s in all. `reconnect_timeout` is how
    long a host may stay away (a reboot) before its state counts as unknown.
    `planned_since` is the time (seconds since the epoch) after which the files
    of the plan were read; 0 where the plan is older than this process.
    `base` is the folder that the plan's files are relative to.
    `settles`: coming to this plan's end ends what an earlier run left undone;
    a plan of something else leaves that for the next apply.
    """

    max_failures: int = 0
    jobs: int = 32
    uploads: int = 4
    lock_timeout: float = 0.0
    reconnect_timeout: float = 120.0
    reconnect_pause: float = 1.0
    grace: float = 2.5
    heartbeat: float = 10.0
    command: str = "apply"
    who: str = ""
    run_id: str = ""
    planned_since: float = 0.0
    base: Path = Path()
    settles: bool = True


@dataclass(slots=True)
class Shared:
    """What the hosts of one run have in common."""

    bus: Bus
    options: ApplyOptions
    claim: Claim
    secrets: SecretStore
    sources: Sources
    uploads: asyncio.Semaphore
    reconnect: Reconnect | None
    knock: Knock | None = None
    found: list[Diagnostic] = field(default_factory=list)
    #: Reads that the plan thought nobody needs, by the secret's name, done after all if somebody does.
    readers: dict[str, tuple[str, ReadSecret]] = field(default_factory=dict)
    busy: dict[str, str] = field(default_factory=dict)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    failures: int = 0

    @property
    def halted(self) -> bool:
        """Whether no new step may start: an interrupt, or more failed hosts than allowed."""
        return self.stopping.is_set() or self.failures > self.options.max_failures
