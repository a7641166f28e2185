"""Exit codes: stable across releases, and one rule for when several apply."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import TYPE_CHECKING

from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.outcome import HostOutcome

if TYPE_CHECKING:
    from sealboot.model.report import ApplyReport


class Exit(IntEnum):
    """What the shell gets."""

    OK = 0
    FINDINGS = 1  # nothing was changed
    USAGE = 2  # usage, or an invalid inventory
    PARTIAL = 3  # apply stopped part-way
    NOT_REACHED = 4  # hosts not reached, or their state unknown
    REFUSED = 5  # lock held, answer no, no terminal and no --yes
    HOST_KEY = 8
    INTEGRITY = 9
    CHANGES = 10  # plan --detailed-exitcode
    BUG = 70
    SIGINT = 130
    SIGTERM = 143


#: The strongest first.
_PRECEDENCE = (
    Exit.BUG,
    Exit.HOST_KEY,
    Exit.INTEGRITY,
    Exit.PARTIAL,
    Exit.FINDINGS,
    Exit.REFUSED,
    Exit.NOT_REACHED,
)

_BY_CODE = {
    "SB202": Exit.HOST_KEY,
    "SB203": Exit.HOST_KEY,
    "SB206": Exit.HOST_KEY,
    "SB209": Exit.USAGE,  # an error only where this machine cannot write its own known_hosts
    "SB207": Exit.HOST_KEY,
    "SB406": Exit.INTEGRITY,
    "SB417": Exit.INTEGRITY,
    "SB418": Exit.REFUSED,
    "SB502": Exit.INTEGRITY,
    "SB505": Exit.REFUSED,
    "SB506": Exit.NOT_REACHED,
    "SB521": Exit.NOT_REACHED,
    "SB525": Exit.INTEGRITY,
    "SB682": Exit.REFUSED,
    "SB683": Exit.USAGE,
    "SB684": Exit.REFUSED,
}


def of_code(code: str) -> Exit:
    """The exit code that an error of this code calls for."""
    if code in _BY_CODE:
        return _BY_CODE[code]
    return {"SB0": Exit.USAGE, "SB2": Exit.NOT_REACHED, "SB9": Exit.BUG}.get(code[:3], Exit.FINDINGS)


def strongest(codes: Iterable[Exit]) -> Exit:
    """The one that is told when several apply: 8 > 9 > 3 > 1 > 5 > 4."""
    given = set(codes)
    return next(
        (code for code in _PRECEDENCE if code in given), Exit.USAGE if Exit.USAGE in given else Exit.OK
    )


def of_findings(diagnostics: Iterable[Diagnostic]) -> Exit:
    """The exit code of a command that changed nothing."""
    return strongest(of_code(d.code) for d in diagnostics if d.severity is Severity.ERROR)


def of_apply(report: ApplyReport) -> Exit:
    """The exit code of an apply that got as far as running its plan."""
    if report.interrupted:
        return Exit.SIGTERM if report.interrupted == "SIGTERM" else Exit.SIGINT
    outcomes = {h.outcome for h in report.hosts}
    codes = {of_code(d.code) for d in report.diagnostics if d.severity is Severity.ERROR}
    codes &= {Exit.HOST_KEY, Exit.INTEGRITY, Exit.REFUSED, Exit.NOT_REACHED, Exit.BUG}
    if outcomes & {HostOutcome.FAILED} or (
        HostOutcome.SKIPPED in outcomes and HostOutcome.CHANGED in outcomes
    ):
        codes.add(Exit.PARTIAL)
    if outcomes & {HostOutcome.UNKNOWN, HostOutcome.UNREACHABLE}:
        codes.add(Exit.PARTIAL if HostOutcome.CHANGED in outcomes else Exit.NOT_REACHED)
    return strongest(codes)
