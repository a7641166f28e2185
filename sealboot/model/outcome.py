"""How a host ends a run: exactly one of six (promise P13)."""

from __future__ import annotations

from enum import StrEnum


class HostOutcome(StrEnum):
    """The final state of one host in one run."""

    OK = "ok"  # nothing was to be done
    CHANGED = "changed"
    FAILED = "failed"
    UNREACHABLE = "unreachable"  # before anything was changed
    SKIPPED = "skipped"  # never touched: another host's failure, --limit, an interrupt
    UNKNOWN = "unknown"  # the connection was lost while a step ran
