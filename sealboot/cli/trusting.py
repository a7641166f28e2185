"""What `sealboot trust` shows and asks for each host."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from sealboot.cli import runtime
from sealboot.cli.exits import Exit, of_findings, strongest
from sealboot.cli.options import Remote
from sealboot.model.diagnostic import Diagnostic
from sealboot.render.view import View
from sealboot.transport.trust import Change, Comparison, Looker, compare, record
from sealboot.workflow.prepare import Prepared

Found = Sequence[Comparison | Diagnostic]


async def compare_all(looker: Looker, prepared: Prepared) -> Found:
    """Look at all selected hosts at once."""
    return await asyncio.gather(*(compare(looker, host.name) for host in prepared.selected))


def _rows(found: Found) -> list[tuple[str, str, str, str]]:
    rows = []
    for one in found:
        if isinstance(one, Diagnostic):
            continue
        rows += [(one.host, "known", old.key.label, f"{old.key.fingerprint}  {old.at}") for old in one.known]
        rows += [(one.host, one.change.value, key.label, key.fingerprint) for key in one.offered]
    return rows


def decide(options: Remote, view: View, found: Found, project: Path, *, yes: bool) -> Exit:
    """Show everything, ask host by host, write what was accepted."""
    problems = [one for one in found if isinstance(one, Diagnostic)]
    headers = ("HOST", "STATE", "TYPE", "FINGERPRINT")
    view.rows("trust", headers, _rows(found), diagnostics=problems)
    codes = [of_findings(problems)]
    codes += [_one(options, view, c, project, yes=yes) for c in found if isinstance(c, Comparison)]
    return strongest(codes)


def _one(options: Remote, view: View, one: Comparison, project: Path, *, yes: bool) -> Exit:
    if one.change is Change.SAME:
        return Exit.OK
    if one.change is Change.REVOKED:
        view.message(
            f"{one.host}: the key it shows is revoked; it is never recorded. Give the host a new key."
        )
        return Exit.HOST_KEY
    if not (yes and one.change is Change.NEW):
        if not runtime.may_ask(options):
            why = "a changed key is recorded only when you confirm it" if yes else "no terminal to ask on"
            view.message(f"{one.host}: not recorded ({why})")
            return Exit.HOST_KEY if one.change is Change.CHANGED else Exit.REFUSED
        text = "REPLACE the known key" if one.change is Change.CHANGED else "Record this key"
        if not runtime.confirm(f"{one.host}: compared at its console? {text}?"):
            return Exit.REFUSED
    written = record(project, one.name, one.offered)
    if isinstance(written, Diagnostic):
        view.diagnostics("trust", [written])
        return Exit.USAGE
    view.message(f"{one.host}: recorded in {project}")
    return Exit.OK
