"""`sealboot inspect FILE...`: what is this file? Offline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sealboot.cli.options import Output, takes


@takes(Output)
def inspect(
    options: Output,
    *,
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="files or folders, under any name")],
    deep: Annotated[
        bool, typer.Option("--deep", help="inflate what programs carry, and compare every checksum")
    ] = False,
) -> None:
    """Say what a file is, by its bytes.

    What would run it, what it needs, what is wrong with it. Offline.
    """
    from sealboot.artifacts import collect
    from sealboot.cli import runtime
    from sealboot.cli.exits import of_findings, strongest
    from sealboot.model.report import InspectReport

    view = runtime.view_of(options)
    artifacts, wrong = collect(files, Path(), deep=deep)
    view.inspected(InspectReport(artifacts, wrong))
    runtime.leave(strongest([of_findings(wrong), *(of_findings(a.diagnostics) for a in artifacts)]))
