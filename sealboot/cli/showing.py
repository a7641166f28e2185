"""The view, and the way out: all that a command needs which reaches no host. Imports nothing but what shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import typer

from sealboot.cli.exits import Exit, of_findings
from sealboot.cli.options import Output
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.secret import Redactor
from sealboot.render.masked import MaskedView
from sealboot.render.view import View, make_view


def view_of(options: Output) -> View:
    """The view that the options ask for."""
    made = make_view(options.format.value, color=options.color.value, verbosity=options.verbosity)
    return MaskedView(made, Redactor())


def leave(code: Exit) -> NoReturn:
    """End the command with this exit code."""
    raise typer.Exit(int(code))


def refuse(view: View, command: str, diagnostics: Sequence[Diagnostic], code: Exit | None = None) -> NoReturn:
    """Show why there is no result, and leave with the code these findings call for."""
    view.diagnostics(command, diagnostics)
    leave(code or of_findings(diagnostics))
