"""How commands show their help and refuse what they do not know: the one class for commands, the one for groups.

typer writes the types of Python into the help (`HOST <list[str]>`); here an argument is called what its metavar says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

#: Options that go by another name now, and are still understood: no help names them.
FORMER: Final = frozenset({"--out"})

#: What people type who come from other tools, and what they look for.
ELSEWHERE: Final[Mapping[str, str]] = {
    "config": "`sealboot inventory show` shows what holds for each host",
    "delete": "`sealboot reset` takes a cluster, or the hosts of --limit, down",
    "destroy": "`sealboot reset` takes a cluster, or the hosts of --limit, down",
    "diff": "`sealboot plan` shows what would change",
    "install": "`sealboot apply` brings hosts to the desired state",
    "join": "`sealboot apply` adds the hosts that the inventory has and the cluster has not",
    "run": "`sealboot apply` brings hosts to the desired state",
    "status": "`sealboot plan` tells whether hosts are as they should be, `sealboot lock status` who works on them",
    "uninstall": "`sealboot reset` takes a cluster, or the hosts of --limit, down",
    "up": "`sealboot apply` brings hosts to the desired state",
    "upgrade": "`sealboot apply` upgrades, with the files and the `release` of the new version",
    "validate": "`sealboot check` looks at inventory, files and hosts",
}


def _drivers() -> str:
    from sealboot.drivers.registry import driver_names

    return ", ".join(driver_names())


#: What stands in braces in the help of an option and is known only when the help is shown.
_LATE: Final[Mapping[str, Callable[[], str]]] = {"{drivers}": _drivers}


def metavar(parameter: Any) -> str:
    """What an argument is called where it is used: `HOST`, `FILE...`, `[PLANFILE]`."""
    name = parameter.metavar or parameter.name.upper()
    name += "..." if parameter.nargs == -1 else ""
    return name if parameter.required else f"[{name}]"


def records(command: Any, context: Any) -> Iterator[tuple[str, str, str]]:
    """Kind, name and help of everything a command takes."""
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is None:
            continue
        name, words = record
        for key, late in _LATE.items():
            words = words.replace(key, late()) if key in words else words
        if parameter.param_type_name == "argument":
            name = parameter.metavar or parameter.name.upper()
        for former in FORMER:
            name = re.sub(rf", {former}(?=[ ,]|$)", "", name)
        yield parameter.param_type_name, name, re.sub(r" *\[required\]$", "", words)


def _write(command: Any, context: Any, formatter: Any) -> None:
    found = list(records(command, context))
    for kind, title in (("argument", "Arguments"), ("option", "Options")):
        rows = [(name, words) for of, name, words in found if of == kind]
        if rows:
            with formatter.section(title):
                formatter.write_dl(rows)


class Command(TyperCommand):
    """A command."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Arguments, then options."""
        _write(self, ctx, formatter)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """`[OPTIONS] HOST... [FILE]`."""
        arguments = [p for p in self.get_params(ctx) if p.param_type_name == "argument"]
        return ["[OPTIONS]", *(metavar(p) for p in arguments)]


class Group(TyperGroup):
    """Commands below a command, and all of them."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Options, then commands."""
        _write(self, ctx, formatter)
        self.format_commands(ctx, formatter)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command; what other tools have is answered with what does it here."""
        if args[0] in ELSEWHERE and self.get_command(ctx, args[0]) is None:
            ctx.fail(f"There is no command {args[0]!r}: {ELSEWHERE[args[0]]}.")
        return super().resolve_command(ctx, args)


def help_of(context: typer.Context, words: list[str]) -> str:
    """The help of the command that these words name; ends the command with 2 where there is none."""
    root: Any = context.find_root()
    command: Any = root.command
    for word in words:
        found = command.get_command(root, word) if isinstance(command, TyperGroup) else None
        if found is None:
            # The group's own words: what was meant, or what does it here.
            if isinstance(command, TyperGroup):
                command.resolve_command(root, [word])
            root.fail(f"{' '.join(words)!r} is no command; `sealboot help` lists them.")
        root = type(root)(found, info_name=word, parent=root)
        command = found
    return str(command.get_help(root))
