"""`sealboot help [COMMAND]` and `sealboot version`: what other tools have as commands."""

from __future__ import annotations

from typing import Annotated

import typer

from sealboot import __version__


def help_(
    context: typer.Context,
    command: Annotated[
        list[str] | None, typer.Argument(metavar="COMMAND", help="a command, or two words: lock status")
    ] = None,
) -> None:
    """Show the help of a command."""
    from sealboot.cli.help import help_of

    typer.echo(help_of(context, command or []))


def version() -> None:
    """Print the version."""
    typer.echo(f"sealboot {__version__}")
