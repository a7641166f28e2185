"""What a command has to say at its end; `render` turns it into any of the formats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from sealboot.model.artifact import Artifact
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.outcome import HostOutcome
from sealboot.model.plan import Before, Plan
from sealboot.model.verdict import Verdict

CheckStatus: TypeAlias = Literal["ok", "failed", "not-reached"]


@dataclass(frozen=True, slots=True)
class HostRow:
    """One host in the report of `check`: `artifacts` maps each slot to the chosen file.

    `assumed`: its architecture is the inventory's word, because nobody could ask the host.
    """

    host: str
    role: str
    status: CheckStatus
    arch: str | None = None
    userland: str | None = None
    artifacts: Mapping[str, str] = field(default_factory=dict)
    assumed: bool = False


@dataclass(frozen=True, slots=True)
class CheckReport:
    """Everything that `check` found. `pairs` holds the chosen pairs, or all of them for `--matrix`."""

    source: str
    cluster: str
    driver: str
    release: str | None
    hosts: tuple[HostRow, ...]
    artifacts: tuple[Artifact, ...]
    pairs: tuple[Verdict, ...]
    diagnostics: tuple[Diagnostic, ...]
    matrix: bool = False
    seconds: float = 0.0
    command: str = "check"


@dataclass(frozen=True, slots=True)
class PlanReport:
    """A plan that was made, with the findings that came with it.

    `unfinished`: an earlier run left steps undone, so that an apply has work although nothing is to change.
    `before` has, by step id, what is in the files that would change, as far as it may be shown.
    """

    plan: Plan
    diagnostics: tuple[Diagnostic, ...] = ()
    seconds: float = 0.0
    command: str = "plan"
    unfinished: bool = False
    before: Mapping[str, Before] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AppliedHost:
    """How one host ended an apply."""

    host: str
    role: str
    outcome: HostOutcome
    changed: int = 0  # steps that changed something
    sent: int = 0  # artifact bytes sent
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ApplyReport:
    """How an apply ended."""

    cluster: str
    hosts: tuple[AppliedHost, ...]
    diagnostics: tuple[Diagnostic, ...]
    seconds: float = 0.0
    run_id: str = ""
    interrupted: str = ""  # the signal's name
    command: str = "apply"

    @property
    def changed(self) -> int:
        """Steps that changed something, over all hosts."""
        return sum(h.changed for h in self.hosts)

    @property
    def sent(self) -> int:
        """Artifact bytes sent, over all hosts."""
        return sum(h.sent for h in self.hosts)


@dataclass(frozen=True, slots=True)
class InspectReport:
    """What `inspect` read in the files it was given; `diagnostics` are about patterns that match none."""

    artifacts: tuple[Artifact, ...]
    diagnostics: tuple[Diagnostic, ...] = ()


@dataclass(frozen=True, slots=True)
class KubeconfigReport:
    """What `kubeconfig` wrote, without any of its secrets.

    `host` gave it, `server` is the URL in it, `until` (ISO 8601, UTC) is when the administrator's
    certificate ends. `backup` is the copy of what was in the file before, empty where none was made.
    """

    cluster: str
    host: str
    context: str
    server: str
    path: str
    state: Literal["created", "changed", "same"]
    until: str
    backup: str = ""
    merged: bool = False
    diagnostics: tuple[Diagnostic, ...] = ()
