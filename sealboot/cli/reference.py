"""The reference of all commands as Markdown, made of the application itself: docs/commands-reference.md.

`python -m sealboot.cli.reference > docs/commands-reference.md` writes it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

import typer
from typer.main import get_command

from sealboot.cli.app import make_app
from sealboot.cli.help import metavar, records
from sealboot.cli.options import TASTE

_HEAD = """\
# Commands

Every command with all that it takes. This page is made of the program (`make reference`); what commands do is told in
[commands.md](commands.md), in the pages of the [drivers](README.md), and by `sealboot explain`.

Each option is also read from the environment, as `SEALBOOT_` and its name in capitals: `SEALBOOT_KNOWN_HOSTS` for
`--known-hosts`; several values have a space between them. `{taste}` can stand in the [settings file](commands.md#settings).
The command line wins over the environment, and that over the file.
"""


def pages() -> Iterator[str]:
    """The page, block by block."""
    root: Any = get_command(make_app())
    context = typer.Context(root, info_name="sealboot")
    yield _HEAD.format(taste="`, `".join(TASTE))
    found = list(_commands(root, context))
    yield "\n".join(f"- [`{name}`](#{_anchor(name)}): {_first(command)}" for name, command, _ in found) + "\n"
    for name, command, inner in found:
        yield f"## {name}\n"
        yield from _about(name, command, inner)


def _commands(group: Any, context: Any) -> Iterator[tuple[str, Any, Any]]:
    for name, command in group.commands.items():
        inner = type(context)(command, info_name=name, parent=context)
        if hasattr(command, "commands"):
            yield from ((f"{name} {below}", c, x) for below, c, x in _commands(command, inner))
        elif not command.hidden:
            yield name, command, inner


def _anchor(name: str) -> str:
    return name.replace(" ", "-")


def _first(command: Any) -> str:
    return (command.help or "").strip().splitlines()[0]


def _about(name: str, command: Any, context: Any) -> Iterator[str]:
    text, _, lines = (command.help or "").partition("\b")
    yield re.sub(r"\n{3,}", "\n\n", text.strip()) + "\n"
    takes = [metavar(p) for p in command.get_params(context) if p.param_type_name == "argument"]
    examples = [line.strip() for line in lines.splitlines() if line.strip() not in {"", "Examples:"}]
    usage = " ".join(["sealboot", name, *takes, "[OPTIONS]"])
    yield "```text\n" + "\n".join([usage, *([""] if examples else []), *examples]) + "\n```\n"
    rows = [(what, words) for _, what, words in records(command, context) if "--help" not in what]
    if rows:
        table = [f"| `{what}` | {_cell(words)} |" for what, words in rows]
        yield "\n".join(["| Takes | |", "|---|---|", *table]) + "\n"


def _cell(words: str) -> str:
    return words.replace("|", "\\|").replace("  [", " [").replace("<=x<=", " to ").replace("x>=", "at least ")


def text() -> str:
    """The whole page."""
    return "\n".join(pages())


def main() -> None:
    """Write it to standard output."""
    sys.stdout.write(text())


if __name__ == "__main__":
    main()
