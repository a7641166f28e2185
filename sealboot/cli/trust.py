"""`sealboot trust HOST...`: show old and new fingerprints, ask, record."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sealboot.cli import complete
from sealboot.cli.options import Remote, takes


@takes(Remote)
def trust(
    options: Remote,
    *,
    hosts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="HOST", help="inventory names or patterns; default: all", autocompletion=complete.limits
        ),
    ] = None,
    yes: Annotated[
        bool, typer.Option("-y", "--yes", help="record new keys unasked (never changed ones)")
    ] = False,
) -> None:
    """Compare and record the host keys.

    Shows the keys that hosts offer beside the known ones and records what you accept. No login is tried.
    """
    from sealboot.cli import runtime
    from sealboot.cli.exits import Exit
    from sealboot.cli.trusting import compare_all, decide

    if hosts:
        options = options.narrowed(",".join(hosts))
    view = runtime.view_of(options)
    prepared = runtime.prepared_or_leave(options, view, "trust")

    async def main() -> Exit:
        async with runtime.connected(options, prepared, view) as (connector, _, _):
            found = await compare_all(connector, prepared)
        return decide(options, view, found, Path(options.known_hosts), yes=yes)

    runtime.leave(runtime.run_async(main(), view))
