"""`sealboot repack FILE`: what would make this file smaller, what must not, and the smaller file."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from sealboot.cli.options import Output, takes

#: Deflating an archive anew makes some 15 MB in a second.
_LARGE = 64 << 20


@takes(Output)
def repack(
    options: Output,
    *,
    file: Annotated[str, typer.Argument(metavar="FILE", help="a program, whatever its name; never changed")],
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", metavar="FILE", help="write the smaller, or restored, file here"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="replace the file of -o where it exists")] = False,
    pack: Annotated[
        bool, typer.Option("--pack", help="pack the program with UPX, its payload behind it (needs upx)")
    ] = False,
) -> None:
    """Say what a program's file could save, or write it.

    What is written is smaller, and proven to be the same program. A file packed with UPX is restored instead. What cannot be proven is not kept.
    """
    from sealboot.cli import showing
    from sealboot.cli.exits import of_findings
    from sealboot.workflow import upxtool
    from sealboot.workflow.repack import repack as work
    from sealboot.workflow.repack_job import Wish

    if output == "":  # a variable of a script that is not set: nothing would be written, and nothing said
        raise typer.BadParameter("it is empty: name the file to write", param_hint="--output")
    view = showing.view_of(options)
    path = Path(file).expanduser() if file.startswith("~/") else Path(file)
    with contextlib.suppress(OSError, ValueError):
        if path.stat().st_size > _LARGE:
            view.message(f"Rewriting a copy of {file} and comparing it: that may take a minute or two.")
    report = work(path, file, Wish(output or "", force, pack), upxtool.find())
    view.repacked(report)
    showing.leave(of_findings(report.diagnostics))
