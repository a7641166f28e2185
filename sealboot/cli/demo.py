"""`sealboot demo`: the whole story on an embedded lab, in one folder, without root."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sealboot.cli.options import Output, takes


@takes(Output)
def demo(
    options: Output,
    *,
    folder: Annotated[Path, typer.Option("--folder", metavar="DIR", help="where everything is put")] = Path(
        ".demo"
    ),
    keep: Annotated[bool, typer.Option("--keep", help="leave the machines running until Ctrl-C")] = False,
) -> None:
    """Play the whole story on four machines of its own.

    Starts two x86-64 and two arm64 machines, finds a mislabelled binary, fixes it, applies, applies again.
    """
    from sealboot.cli import runtime
    from sealboot.cli.demo_story import tell
    from sealboot.cli.exits import Exit
    from sealboot.lab.embedded import EmbeddedLab

    view = runtime.view_of(options)
    trouble = EmbeddedLab.trouble()
    if trouble:
        view.message(
            f"error: {trouble}\n  hint: your own machines will do as well: sealboot init", always=True
        )
        runtime.leave(Exit.USAGE)
    runtime.leave(
        runtime.run_async(tell(view, folder, keep=keep), view, interrupted="The machines are gone.")
    )
