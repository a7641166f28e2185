"""`sealboot explain CODE`: the page of a code; without one, the list."""

from __future__ import annotations

from typing import Annotated

import typer

from sealboot.cli import complete
from sealboot.cli.options import Output, takes

#: Letters that stand for digits where codes are read off a screen.
_MISREAD = str.maketrans("OIL", "011")


@takes(Output)
def explain(
    options: Output,
    *,
    code: Annotated[
        str | None,
        typer.Argument(
            metavar="CODE", help="SB101, or its name: arch-mismatch", autocompletion=complete.codes
        ),
    ] = None,
) -> None:
    """Explain a code such as SB101.

    What happened, why it matters, how to fix it, how to check it yourself.
    """
    from sealboot.cli import runtime
    from sealboot.cli.exits import Exit
    from sealboot.diagnostics import codes, name_of, page
    from sealboot.model.names import closest

    view = runtime.view_of(options)
    names = {name_of(c): c for c in codes()}
    if code is None:
        view.rows("explain", ("CODE", "NAME"), [(c, name_of(c)) for c in codes()])
        return
    known = names.get(code.lower(), code.upper())
    try:
        found = page(known)
    except KeyError:
        near = closest(known.translate(_MISREAD), codes()) or closest(code.lower(), names)
        more = f"; did you mean {near}?" if near else ""
        view.message(
            f"error: there is no code {code!r}{more}\n  hint: `sealboot explain` lists them", always=True
        )
        runtime.leave(Exit.USAGE)
    view.page("explain", found.text)
