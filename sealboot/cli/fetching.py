"""What `sealboot kubeconfig` does: ask, write, tell."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from sealboot.cli import runtime
from sealboot.cli.exits import Exit, of_findings
from sealboot.cli.options import Remote
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.report import KubeconfigReport
from sealboot.render.view import View
from sealboot.workflow.kubeconfig import Fetched, fetch, ways_of
from sealboot.workflow.kubeconfig_file import Wish, save
from sealboot.workflow.kubeconfig_text import name_fault, text
from sealboot.workflow.prepare import Prepared

COMMAND = "kubeconfig"


@dataclass(frozen=True, slots=True)
class Place:
    """Where it goes (`None`: standard output), and what the operator wants otherwise than it is."""

    target: Path | None
    server: str
    context: str
    merge: bool
    force: bool


async def fetch_and_save(options: Remote, prepared: Prepared, view: View, place: Place) -> Exit:
    """Everything from the first connection to the exit code."""
    ways = ways_of(prepared)
    name = place.context or prepared.inventory.name
    if isinstance(ways, Diagnostic):
        return _refused(view, (ways,))
    if name_fault(name):
        why = f"the cluster's name cannot be a context's: {name_fault(name)}"
        return _refused(view, (Diagnostic("SB682", why, hints=("--context gives another name",)),))
    async with runtime.connected(options, prepared, view) as (connector, _, redactor):
        fetched = await fetch(connector, ways, redactor)
    if isinstance(fetched, tuple):
        return _refused(view, fetched)
    server = place.server or fetched.server
    if place.target is None:
        if fetched.diagnostics:
            view.diagnostics(COMMAND, fetched.diagnostics)
        view.close()
        sys.stdout.write(text(fetched.access, name, server))
        sys.stdout.flush()
        return Exit.OK
    wish = Wish(place.target, name, server, merge=place.merge, force=place.force)
    return _save(view, prepared, wish, fetched)


def _save(view: View, prepared: Prepared, wish: Wish, fetched: Fetched) -> Exit:
    saved = save(wish, fetched)
    if isinstance(saved, Diagnostic):
        return _refused(view, (*fetched.diagnostics, saved))
    view.kubeconfig(
        KubeconfigReport(
            cluster=prepared.inventory.name,
            host=fetched.host,
            context=wish.name,
            server=wish.server,
            path=saved.path,
            state=saved.state,
            until=fetched.access.until.strftime("%Y-%m-%dT%H:%M:%SZ"),
            backup=saved.backup,
            merged=wish.merge,
            diagnostics=fetched.diagnostics,
        )
    )
    return Exit.OK


def _refused(view: View, found: tuple[Diagnostic, ...]) -> Exit:
    view.diagnostics(COMMAND, found)
    return of_findings(found)
