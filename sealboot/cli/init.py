"""`sealboot init`: a starter inventory that says what can be written where."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from sealboot.cli.options import Output, takes


@takes(Output)
def init(
    options: Output,
    *,
    hosts: Annotated[list[str] | None, typer.Argument(metavar="HOST", help="addresses to begin with")] = None,
    driver: Annotated[str, typer.Option("--driver", metavar="NAME", help="sealos or phases")] = "sealos",
    output: Annotated[
        Path, typer.Option("-o", "--out", metavar="FILE", help="where to write; never overwritten")
    ] = Path("inventory.yaml"),
) -> None:
    """Write a commented starter inventory."""
    from sealboot.cli import runtime
    from sealboot.cli.exits import Exit
    from sealboot.drivers.registry import driver_names
    from sealboot.inventory.starter import starter
    from sealboot.model.names import closest

    view = runtime.view_of(options)
    if driver not in driver_names():
        near = closest(driver, driver_names())
        known = ", ".join(driver_names())
        raise typer.BadParameter(
            f"there is no driver {driver!r}" + (f"; did you mean {near}?" if near else f"; there are {known}")
        )
    text = starter(driver, hosts or [])
    try:
        handle = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except OSError as error:
        view.message(
            f"error: {output} cannot be written: {(error.strerror or str(error)).lower()}\n"
            "  note: nothing was written; what is there is never replaced\n"
            "  hint: choose another place with -o FILE",
            always=True,
        )
        runtime.leave(Exit.USAGE)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    view.message(f"Wrote {output}. Next: edit it, then\n  sealboot trust HOST...\n  sealboot check")
