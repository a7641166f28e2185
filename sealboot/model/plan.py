"""A plan: typed steps in waves, and how each step knows that it is already done.

A driver writes the desired state as steps; each step carries a read-only
`check`. Observing all checks on the hosts turns desired steps into actions:
`=` already so, `+` to be made, `~` to be changed, `-` to be removed. The same
check is asked again by the engine right before and right after a step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from sealboot.model.feed import Feed
from sealboot.model.steps import Run, Step, Upload, WriteDisk


@dataclass(frozen=True, slots=True)
class Wave:
    """Steps between two barriers.

    The steps of one host run in order. `parallel` is how many hosts work at
    once (`None`: all; 1: one after the other, in the order of `steps`).
    `part` names what several waves together do, for runs of one part only.
    """

    id: str
    title: str
    steps: tuple[Step, ...]
    parallel: int | None = None
    part: str = ""

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts of this wave in first-seen order."""
        return tuple(dict.fromkeys(step.host for step in self.steps))

    def of(self, host: str) -> tuple[Step, ...]:
        """The steps of one host, in order."""
        return tuple(step for step in self.steps if step.host == host)


class Action(StrEnum):
    """What applying a step will do, in the marks of the plan's text."""

    CREATE = "+"
    CHANGE = "~"
    REMOVE = "-"
    NONE = "="
    DEPENDS = "?"  # done only if another step of this run changes something


@dataclass(frozen=True, slots=True)
class Observation:
    """The answer of a host to one step's check, before anything was changed.

    same: the check holds. absent: nothing is there. differs: something else
    is. unknown: could not be asked (text in `detail`).
    """

    state: Literal["same", "absent", "differs", "unknown"]
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Before:
    """What a host has in the file that a step would change: its text, or why that is not told."""

    text: str | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step and what applying it will do."""

    step: Step
    action: Action
    detail: str = ""


@dataclass(frozen=True, slots=True)
class PlannedWave:
    """A wave of planned steps."""

    id: str
    title: str
    steps: tuple[PlannedStep, ...]
    parallel: int | None = None

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts of this wave in first-seen order."""
        return tuple(dict.fromkeys(planned.step.host for planned in self.steps))

    def of(self, host: str) -> tuple[PlannedStep, ...]:
        """The steps of one host, in order."""
        return tuple(planned for planned in self.steps if planned.step.host == host)


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything `apply` will do, and what it was decided from.

    `fingerprints` digest each host's facts, `artifacts` map each file that is
    shipped to its SHA-256, `inventory_sha256` digests the resolved inventory:
    a plan whose world moved is refused (SB504).
    """

    cluster: str
    driver: str
    waves: tuple[PlannedWave, ...]
    hosts: tuple[str, ...]
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    artifacts: Mapping[str, str] = field(default_factory=dict)
    inventory_sha256: str = ""
    format: int = 1

    @property
    def changes(self) -> int:
        """How many steps will act for certain."""
        return sum(p.action in _ACTING for w in self.waves for p in w.steps)

    @property
    def upload_bytes(self) -> int:
        """How many bytes of artifacts will be sent, before compression."""
        return sum(sent_bytes(p.step) for w in self.waves for p in w.steps if p.action in _ACTING)

    @property
    def destroyed(self) -> tuple[WriteDisk | Run, ...]:
        """The steps that overwrite disks, in order; each says in `destroys` which."""
        return tuple(
            p.step
            for w in self.waves
            for p in w.steps
            if isinstance(p.step, (WriteDisk, Run)) and p.step.destroys and p.action in _ACTING
        )


def sent_bytes(step: Step) -> int:
    """How many bytes of an artifact the step sends."""
    match step:
        case Upload(size=size) | WriteDisk(size=size) | Run(feed=Feed(size=size)):
            return size
        case _:
            return 0


_ACTING = frozenset({Action.CREATE, Action.CHANGE, Action.REMOVE})
