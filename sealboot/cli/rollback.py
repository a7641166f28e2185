"""`sealboot rollback`: put the kept previous program back."""

from __future__ import annotations

from typing import Annotated

import typer

from sealboot.cli.options import Reading, examples, takes


@examples(
    "sealboot rollback --dry-run         what would be put back where",
    "sealboot rollback --limit ctl1      on one host",
    "sealboot rollback --slot k3s -y     one of several programs, unasked",
)
@takes(Reading)
def rollback(
    options: Reading,
    *,
    slot: Annotated[
        list[str] | None, typer.Option("--slot", metavar="NAME", help="only this program; repeatable")
    ] = None,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="do not ask")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show the plan and stop")] = False,
    ready_only: Annotated[
        bool, typer.Option("--ready-only", help="leave out hosts with errors, by name")
    ] = False,
    max_failures: Annotated[
        int,
        typer.Option("--max-failures", metavar="N", min=0, help="failed hosts to bear"),
    ] = 0,
    lock_timeout: Annotated[
        float,
        typer.Option("--lock-timeout", metavar="SECONDS", min=0, help="seconds to wait for the lock"),
    ] = 0.0,
) -> None:
    """Put back the programs that the last apply replaced.

    Byte for byte what was there, or refused with a reason; then whatever runs from them restarts, as
    the driver says. A second time changes nothing: to go forward again, apply.
    """
    from sealboot.cli import runtime
    from sealboot.cli.applying import Wishes
    from sealboot.cli.rolling import roll_back

    view = runtime.view_of(options)
    prepared = runtime.prepared_or_leave(options, view, "rollback")
    wishes = Wishes(
        yes=yes,
        ready_only=ready_only,
        max_failures=max_failures,
        lock_timeout=lock_timeout,
        command="rollback",
        dry=dry_run,
    )
    work = roll_back(options, prepared, view, wishes, tuple(slot or ()))
    runtime.leave(runtime.run_async(work, view))
