"""`sealboot lock status|release`."""

from __future__ import annotations

from typing import Annotated

import typer

from sealboot.cli.help import Command, Group
from sealboot.cli.options import Remote, takes

app = typer.Typer(
    help="Who works on these hosts right now.", cls=Group, rich_markup_mode=None, no_args_is_help=True
)


@app.command("status", cls=Command)
@takes(Remote)
def status(options: Remote) -> None:
    """Show the holder of each host's lock."""
    from sealboot.cli import runtime
    from sealboot.cli.exits import of_findings
    from sealboot.cli.locking import each_host
    from sealboot.engine.lock import Holder
    from sealboot.engine.lock import status as ask
    from sealboot.model.diagnostic import Diagnostic

    view = runtime.view_of(options)
    prepared = runtime.prepared_or_leave(options, view, "lock status")
    found = runtime.run_async(each_host(options, prepared, view, ask), view)
    wrong = [d for _, d in found if isinstance(d, Diagnostic)]
    rows = [
        (name, h.words if isinstance(h, Holder) else "free")
        for name, h in found
        if not isinstance(h, Diagnostic)
    ]
    view.rows("lock status", ("HOST", "LOCK"), rows, diagnostics=wrong)
    if wrong:
        runtime.leave(of_findings(wrong))


@app.command("release", cls=Command)
@takes(Remote)
def release(
    options: Remote,
    *,
    run: Annotated[str, typer.Argument(metavar="RUN", help="the run id that `lock status` shows")],
) -> None:
    """Release a lock whose owner is gone.

    The run must be named, so that no living run loses its own lock.
    """
    from sealboot.cli import runtime
    from sealboot.cli.exits import of_findings
    from sealboot.cli.locking import each_host
    from sealboot.engine.lock import release as let_go
    from sealboot.engine.shell import NodePaths
    from sealboot.model.diagnostic import Diagnostic
    from sealboot.transport.base import Session

    view = runtime.view_of(options)
    prepared = runtime.prepared_or_leave(options, view, "lock release")

    async def one(session: Session, paths: NodePaths) -> Diagnostic | None:
        return await let_go(session, paths, run)

    found = runtime.run_async(each_host(options, prepared, view, one), view)
    wrong = [d for _, d in found if isinstance(d, Diagnostic)]
    released = [(name, "released") for name, d in found if d is None]
    view.rows("lock release", ("HOST", "LOCK"), released, diagnostics=wrong)
    if wrong:
        runtime.leave(of_findings(wrong))
