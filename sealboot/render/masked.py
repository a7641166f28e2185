"""A view that masks every known secret in whatever it is given to show (promise P5).

Hosts repeat what they were told: a shell that echoes, a script that prints its
configuration, a service whose log holds its token. All of it is quoted in
findings, so the last step before a view is the one place that sees every text.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

from sealboot.model.secret import Redactor

if TYPE_CHECKING:
    from sealboot.model.diagnostic import Diagnostic
    from sealboot.model.events import Event
    from sealboot.model.facts import Facts
    from sealboot.model.repack import RepackReport
    from sealboot.model.report import ApplyReport, CheckReport, InspectReport, KubeconfigReport, PlanReport
    from sealboot.render.view import View

T = TypeVar("T")


def mask(value: T, redactor: Redactor) -> T:
    """The same value with every text in it masked; what holds no secret is returned as it is."""
    return _mask(value, redactor) if redactor.knows_any else value


def _mask(value: Any, redactor: Redactor) -> Any:
    if isinstance(value, Enum) or value is None:
        return value
    if isinstance(value, str):
        return redactor(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        old = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        changed = {k: new for k, v in old.items() if (new := _mask(v, redactor)) is not v and new != v}
        return dataclasses.replace(value, **changed) if changed else value
    if isinstance(value, Mapping):
        return {_mask(k, redactor): _mask(v, redactor) for k, v in value.items()}
    if isinstance(value, tuple):
        return tuple(_mask(v, redactor) for v in value)
    if isinstance(value, list):
        return [_mask(v, redactor) for v in value]
    if isinstance(value, frozenset):
        return frozenset(_mask(v, redactor) for v in value)
    return value


class MaskedView:
    """Shows through another view, secrets masked. `redactor` may learn more at any time."""

    def __init__(self, view: View, redactor: Redactor) -> None:
        self._view = view
        self.redactor = redactor

    def _masked(self, value: T) -> T:
        return mask(value, self.redactor)

    def event(self, event: Event) -> None:
        """See `View.event`."""
        self._view.event(self._masked(event))

    def check(self, report: CheckReport, *, final: bool = True) -> None:
        """See `View.check`."""
        self._view.check(self._masked(report), final=final)

    def plan(self, report: PlanReport, *, full: bool = False, final: bool = True) -> None:
        """See `View.plan`."""
        self._view.plan(self._masked(report), full=full, final=final)

    def applied(self, report: ApplyReport, *, told: Sequence[Diagnostic] = ()) -> None:
        """See `View.applied`."""
        self._view.applied(self._masked(report), told=self._masked(tuple(told)))

    def inspected(self, report: InspectReport) -> None:
        """See `View.inspected`."""
        self._view.inspected(self._masked(report))

    def repacked(self, report: RepackReport) -> None:
        """See `View.repacked`."""
        self._view.repacked(self._masked(report))

    def kubeconfig(self, report: KubeconfigReport) -> None:
        """See `View.kubeconfig`."""
        self._view.kubeconfig(self._masked(report))

    def facts(self, facts: Sequence[Facts], diagnostics: Sequence[Diagnostic], *, details: bool) -> None:
        """See `View.facts`."""
        self._view.facts(self._masked(tuple(facts)), self._masked(tuple(diagnostics)), details=details)

    def diagnostics(self, command: str, diagnostics: Sequence[Diagnostic], *, final: bool = True) -> None:
        """See `View.diagnostics`."""
        self._view.diagnostics(command, self._masked(tuple(diagnostics)), final=final)

    def rows(
        self,
        command: str,
        headers: Sequence[str],
        rows: Iterable[Sequence[str]],
        *,
        diagnostics: Sequence[Diagnostic] = (),
    ) -> None:
        """See `View.rows`."""
        masked = [self._masked(tuple(row)) for row in rows]
        self._view.rows(command, headers, masked, diagnostics=self._masked(tuple(diagnostics)))

    def page(self, command: str, text: str) -> None:
        """See `View.page`."""
        self._view.page(command, self._masked(text))

    def message(self, text: str, *, always: bool = False) -> None:
        """See `View.message`."""
        self._view.message(self._masked(text), always=always)

    def close(self) -> None:
        """See `View.close`."""
        self._view.close()
