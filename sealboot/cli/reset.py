"""`sealboot reset`: take the cluster down, with all that it kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from sealboot.cli.options import Changing, Reading, examples, takes


@examples(
    "sealboot reset --dry-run        what would go, and nothing more",
    "sealboot reset --limit pi07     one node, before it is taken away",
    "sealboot reset --confirm lab    all of cluster lab, without being asked",
)
@takes(Changing)
def reset(
    options: Changing,
    *,
    confirm: Annotated[
        str | None,
        typer.Option("--confirm", metavar="NAME", help="the cluster's name, instead of typing it"),
    ] = None,
    yes: Annotated[
        bool, typer.Option("-y", "--yes", help="do not ask; needs --confirm, because this destroys")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show the plan and stop")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="even a server that hosts outside of --limit need")
    ] = False,
) -> None:
    """Take the cluster down, with all its data.

    Shows the plan, has you type the cluster's name, and does what `options: {state: absent}` would.
    The inventory stays as it is: the next apply begins anew. Safe to stop and to run again.
    """
    from sealboot.cli import runtime
    from sealboot.cli.applying import Wishes, carry_out
    from sealboot.cli.exits import Exit
    from sealboot.model.diagnostic import Severity
    from sealboot.workflow.reset import absent, orphans

    view = runtime.view_of(options)
    prepared = runtime.prepared_or_leave(options, view, "reset")
    name = prepared.inventory.name
    if confirm is not None and confirm != name:
        view.message(f"--confirm {confirm}: this cluster is called {name}. Nothing was changed.", always=True)
        runtime.leave(Exit.REFUSED)
    going = absent(prepared)
    if isinstance(going, tuple):
        runtime.refuse(view, "reset", going)
    left = orphans(going)
    if left is not None and not force:
        runtime.refuse(view, "reset", [left])

    def consent(options: Reading) -> str:
        if confirm is not None:
            return ""
        if yes or not runtime.may_ask(options):
            return f"Nothing was changed. To destroy without being asked, say --confirm {name}."
        answer = runtime.typed(f"Type the cluster's name ({name}) to destroy it on these hosts:")
        return "" if answer == name else "That is not its name. Nothing was changed."

    wishes = Wishes(
        ready_only=options.ready_only,
        max_failures=options.max_failures,
        lock_timeout=options.lock_timeout,
        command="reset",
        dry=dry_run,
        consent=consent,
        notes=() if left is None else (replace(left, severity=Severity.WARNING, hints=()),),
    )
    runtime.leave(carry_out(options, going, view, wishes))
