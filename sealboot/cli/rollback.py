"""`sealboot rollback`: put the kept previous program back."""

from __future__ import annotations

from typing import Annotated

import typer

from sealboot.cli import complete
from sealboot.cli.options import Changing, examples, takes


@examples(
    "sealboot rollback --dry-run         what would be put back where",
    "sealboot rollback --limit ctl1      on one host",
    "sealboot rollback --slot k3s -y     one of several programs, unasked",
)
@takes(Changing)
def rollback(
    options: Changing,
    *,
    slot: Annotated[
        list[str] | None,
        typer.Option(
            "--slot", metavar="NAME", help="only this file; repeatable", autocompletion=complete.slots
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="do not ask")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show the plan and stop")] = False,
) -> None:
    """Put back the files that the last apply replaced.

    Programs, and data that `phases` ships. Byte for byte what was there, or refused with a reason; then whatever runs from them restarts, as
    the driver says. A second time changes nothing: to go forward again, apply.
    """
    from sealboot.cli import runtime
    from sealboot.cli.applying import Wishes
    from sealboot.cli.rolling import roll_back

    view = runtime.view_of(options)
    prepared = runtime.prepared_or_leave(options, view, "rollback")
    wishes = Wishes(
        yes=yes,
        ready_only=options.ready_only,
        max_failures=options.max_failures,
        lock_timeout=options.lock_timeout,
        command="rollback",
        dry=dry_run,
    )
    work = roll_back(options, prepared, view, wishes, tuple(slot or ()))
    runtime.leave(runtime.run_async(work, view))
