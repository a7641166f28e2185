"""`sealboot apply [PLANFILE]`: check, plan, confirm, run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from sealboot.cli import complete
from sealboot.cli.options import Changing, IgnoreOption, takes


@takes(Changing)
def apply(
    options: Changing,
    *,
    planfile: Annotated[
        Path | None,
        typer.Argument(metavar="PLANFILE", help="a plan saved by `plan -o`; refused when stale"),
    ] = None,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="do not ask")] = False,
    uploads: Annotated[int, typer.Option("--uploads", metavar="N", min=1, help="uploads at once")] = 8,
    accept_new: Annotated[
        bool, typer.Option("--accept-new", help="pin unknown host keys (changed ones are always refused)")
    ] = False,
    confirm_disk: Annotated[
        list[str] | None,
        typer.Option(
            "--confirm-disk",
            metavar="HOST",
            help="overwrite its disk without asking; repeatable",
            autocompletion=complete.hosts,
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only", metavar="PART", help="only this part or wave; repeatable", autocompletion=complete.parts
        ),
    ] = None,
    ignore: IgnoreOption = None,
) -> None:
    """Bring every host to the desired state.

    Checks, plans, asks, runs. Safe to stop at any instant and to run again.
    """
    from sealboot.cli import runtime
    from sealboot.cli.applying import Wishes, carry_out

    view = runtime.view_of(options)
    accepted = runtime.accepted_codes(ignore)
    prepared = replace(runtime.prepared_or_leave(options, view, "apply"), only=tuple(only or ()))
    wishes = Wishes(
        planfile=planfile,
        yes=yes,
        ready_only=options.ready_only,
        max_failures=options.max_failures,
        uploads=uploads,
        lock_timeout=options.lock_timeout,
        accept_new=accept_new,
        disks=tuple(confirm_disk or ()),
        ignore=accepted,
    )
    runtime.leave(carry_out(options, prepared, view, wishes))
