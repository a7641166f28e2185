"""What happens while sealboot works: one frozen value for each event.

`at` is seconds since the run began (monotonic). The `jsonl` format prints
them as they come; live tables are drawn from nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from sealboot.model.diagnostic import Diagnostic
from sealboot.model.outcome import HostOutcome

Stage: TypeAlias = Literal["connect", "probe", "observe", "lock", "apply"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """A command began to work on these hosts."""

    at: float
    command: str
    cluster: str
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageStarted:
    """A stage began for one host."""

    at: float
    host: str
    stage: Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class HostConnected:
    """Logged in; the host key was verified against `trusted_by` (a file and line)."""

    at: float
    host: str
    address: str
    key: str  # SHA256:… of the host key
    trusted_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FactsGathered:
    """The probe of one host was parsed."""

    at: float
    host: str
    arch: str
    userland: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A finding, as soon as it is known."""

    at: float
    diagnostic: Diagnostic


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveStarted:
    """The barrier before this wave was passed."""

    at: float
    wave: str
    title: str
    index: int  # from 1
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStarted:
    """The engine began a step."""

    at: float
    host: str
    step: str
    title: str
    wave: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepProgress:
    """Bytes sent of an upload so far (`total` bytes in all)."""

    at: float
    host: str
    step: str
    done: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepVerifying:
    """The last byte of an upload left; the host stores it, hashes it, and tries it or works on it."""

    at: float
    host: str
    step: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFinished:
    """A step ended: changed something, was already so, failed, or nobody knows."""

    at: float
    host: str
    step: str
    title: str
    wave: str
    result: Literal["changed", "same", "failed", "unknown", "skipped"]
    seconds: float
    sent: int = 0  # artifact bytes that went to the host


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFinished:
    """The host has its final outcome."""

    at: float
    host: str
    outcome: HostOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """Nothing ended for a while; these hosts are at work on these steps."""

    at: float
    busy: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStopping:
    """The run was told to stop: no step begins any more, and those that run may end within `grace` seconds.

    `now`: that time is over, or a second signal came; what still runs is cut off.
    """

    at: float
    signal: str  # its name; empty where it was no signal
    grace: float
    now: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished:
    """The command is done."""

    at: float
    exit_code: int


Event: TypeAlias = (
    RunStarted
    | StageStarted
    | HostConnected
    | FactsGathered
    | Found
    | WaveStarted
    | StepStarted
    | StepProgress
    | StepVerifying
    | StepFinished
    | HostFinished
    | Heartbeat
    | RunStopping
    | RunFinished
)

#: Receives every event in order; must not raise and must not block.
Sink: TypeAlias = Callable[[Event], None]
