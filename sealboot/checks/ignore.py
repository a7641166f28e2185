"""Findings that an operator accepted on a host, with a reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sealboot.diagnostics.promises import NEVER_IGNORED
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.host import Host


def apply_ignores(hosts: Sequence[Host], diagnostics: Sequence[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Turn accepted findings into notes that carry the operator's reason; order is kept.

    A finding about several hosts is accepted only where every one of them
    says so. What is in NEVER_IGNORED is never accepted.
    """
    reasons = {(host.name, ignore.code): ignore.reason for host in hosts for ignore in host.ignore}
    return tuple(_accepted(diagnostic, reasons) for diagnostic in diagnostics)


def _accepted(diagnostic: Diagnostic, reasons: dict[tuple[str, str], str]) -> Diagnostic:
    named = [name for name in (diagnostic.host, *diagnostic.also) if name is not None]
    if diagnostic.code in NEVER_IGNORED or not named or diagnostic.severity is Severity.NOTE:
        return diagnostic
    if any((name, diagnostic.code) not in reasons for name in named):
        return diagnostic
    given = dict.fromkeys(reasons[name, diagnostic.code] for name in named)
    notes = tuple(f"accepted in the inventory: {reason}" for reason in given)
    return replace(diagnostic, severity=Severity.NOTE, notes=(*diagnostic.notes, *notes))
