"""The two consoles, results on stdout and progress on stderr, and the few styles there are."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Literal, TypeAlias

from rich.console import Console
from rich.theme import Theme

ColorChoice: TypeAlias = Literal["auto", "always", "never"]

#: Colour only repeats what a word or mark already says. Rich's own styles stay: what it draws asks for them.
THEME = Theme(
    {
        "sb.error": "bold red",
        "sb.warning": "bold yellow",
        "sb.note": "bold cyan",
        "sb.ok": "green",
        "sb.dim": "bright_black",
        "sb.head": "bold",
        "sb.add": "green",
        "sb.change": "yellow",
        "sb.remove": "red",
        "sb.hint": "cyan",
    }
)


#: Columns of a stream that is no terminal: a row is a line, so that `grep` finds the whole of it.
UNBOUNDED = 1_000_000


@dataclass(frozen=True, slots=True)
class Consoles:
    """Where results and progress go. `live` is whether the cursor may be moved on `err`."""

    out: Console
    err: Console
    live: bool


def _console(stream: IO[str], *, color: ColorChoice, plain: bool, env: Mapping[str, str]) -> Console:
    terminal = stream.isatty()
    wants_color = color == "always" or (
        color == "auto" and not plain and "NO_COLOR" not in env and (terminal or "FORCE_COLOR" in env)
    )
    columns = env.get("COLUMNS", "")
    width = int(columns) if columns.isascii() and columns.isdigit() and 20 <= int(columns) <= 1000 else None
    return Console(
        file=stream,
        theme=THEME,
        force_terminal=wants_color or (terminal and not plain),
        no_color=not wants_color,
        color_system="auto" if not wants_color else ("standard" if not terminal else "auto"),
        width=width or (None if terminal else UNBOUNDED),
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
        _environ={k: v for k, v in env.items() if k not in {"NO_COLOR", "FORCE_COLOR"}},
    )


def make_consoles(
    *,
    color: ColorChoice = "auto",
    plain: bool = False,
    out: IO[str] | None = None,
    err: IO[str] | None = None,
    env: Mapping[str, str] | None = None,
) -> Consoles:
    """Consoles for these streams (default: the process's own).

    Honours `NO_COLOR`, `FORCE_COLOR` and `COLUMNS`; on a stream that is no
    terminal nothing is wrapped unless `COLUMNS` says otherwise. With `plain`
    nothing is coloured (unless `color` is `always`) and nothing moves.
    """
    env = os.environ if env is None else env
    out, err = out or sys.stdout, err or sys.stderr
    told = _console(err, color=color, plain=plain, env=env)
    return Consoles(
        out=_console(out, color=color, plain=plain, env=env),
        err=told,
        live=err.isatty() and not plain and not told.is_dumb_terminal,
    )
