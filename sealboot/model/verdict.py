"""What a kernel will do with a file."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sealboot.model.diagnostic import Diagnostic


class Outcome(StrEnum):
    """The three things that can happen when a host is asked to execute a file."""

    RUNS = "runs"
    EMULATED = "runs-emulated"
    CANNOT = "cannot-run"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One artifact on one host: what happens, the one reason (a code) and the findings that show it.

    `reason` is `None` exactly when the file runs natively. `usable` also asks
    whether the host's settings accept the outcome: emulation must be allowed.
    """

    host: str
    artifact: str
    outcome: Outcome
    usable: bool
    reason: str | None = None
    diagnostics: tuple[Diagnostic, ...] = ()
