"""The application: every command in one table, and the last line of defence."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from sealboot import __version__
from sealboot.cli import inventory as inventory_commands
from sealboot.cli import lock as lock_commands
from sealboot.cli.about import help_, version
from sealboot.cli.apply import apply
from sealboot.cli.check import check
from sealboot.cli.demo import demo
from sealboot.cli.doctor import doctor
from sealboot.cli.exits import Exit
from sealboot.cli.explain import explain
from sealboot.cli.facts import facts
from sealboot.cli.help import Command, Group
from sealboot.cli.init import init
from sealboot.cli.inspect import inspect
from sealboot.cli.kubeconfig import kubeconfig
from sealboot.cli.options import config_file, taste
from sealboot.cli.plan import plan
from sealboot.cli.repack import repack
from sealboot.cli.reset import reset
from sealboot.cli.rollback import rollback
from sealboot.cli.trust import trust
from sealboot.render.text import safe

#: In the order in which an operator meets them.
COMMANDS: tuple[Callable[..., None], ...] = (
    demo,
    init,
    trust,
    check,
    plan,
    apply,
    rollback,
    kubeconfig,
    reset,
    inspect,
    repack,
    facts,
    explain,
    doctor,
    version,
)

#: Commands that have commands of their own.
GROUPS: dict[str, typer.Typer] = {"inventory": inventory_commands.app, "lock": lock_commands.app}


def _version(value: bool) -> None:
    if value:
        sys.stdout.write(f"sealboot {__version__}\n")
        raise typer.Exit


def _root(
    context: typer.Context,
    told: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="as behind the command")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="as behind the command")] = False,
) -> None:
    """Bring up a cluster over SSH on machines whose processors differ.

    The bytes decide, never the name; the host key is never ignored.

    Every option is also read from the environment: SEALBOOT_JOBS for --jobs.
    """
    del told
    said = {name: True for name, given in (("quiet", quiet), ("verbose", verbose)) if given}
    taste_of_all = (context.default_map or {}).get(COMMANDS[0].__name__, {})
    context.default_map = _everywhere({**taste_of_all, **said})


def make_app() -> typer.Typer:
    """The application, made anew (tests call it as often as they like)."""
    app = typer.Typer(
        name="sealboot",
        cls=Group,
        context_settings={"help_option_names": ["-h", "--help"]},
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        no_args_is_help=True,
    )
    app.callback()(_root)
    for command in COMMANDS:
        app.command(command.__name__, cls=Command)(command)
    app.command("help", cls=Command)(help_)
    for name, group in GROUPS.items():
        app.add_typer(group, name=name)
    return app


def _everywhere(settings: dict[str, Any]) -> dict[str, Any]:
    """These settings for every command, in the shape of a default map."""
    groups = {
        group: dict.fromkeys((c.name or "" for c in app.registered_commands), settings)
        for group, app in GROUPS.items()
    }
    return {**{command.__name__: settings for command in COMMANDS}, **groups}


def _defaults() -> dict[str, Any]:
    """The operator's taste as defaults for every command."""
    try:
        settings = taste(config_file())
    except ValueError as error:
        sys.stderr.write(f"error: {safe(str(error))}\n  hint: correct that file or take it away\n")
        raise SystemExit(int(Exit.USAGE)) from error
    return _everywhere(settings)


def _crashed(error: BaseException) -> int:
    """Say that this is our bug, and keep what a report needs in a private file."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path("~/.local/state").expanduser())
    where = Path(base) / "sealboot" / "crash.txt"
    kept = ""
    try:
        where.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(where, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            # The stack and the error's type only: its text may quote what a host said, or a secret.
            file.write("".join(traceback.format_tb(error.__traceback__)) + type(error).__name__ + "\n")
        kept = f"\n  note: where it happened is kept in {where}; please send it along"
    except OSError:
        pass
    sys.stderr.write(
        f"error[SB901]: a bug in sealboot ({type(error).__name__}), not your doing{kept}\n"
        "  hint: what was under way on hosts is safe to repeat: run the same command again\n"
    )
    return int(Exit.BUG)


def main() -> None:
    """Run the command line; never shows a traceback."""
    try:
        completing = "_SEALBOOT_COMPLETE" in os.environ  # a shell asks, and nobody reads what is wrong
        make_app()(default_map={} if completing else _defaults())
    except KeyboardInterrupt:
        raise SystemExit(int(Exit.SIGINT)) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(int(Exit.OK)) from None
    except Exception as error:  # noqa: BLE001 (the one place that catches everything)
        raise SystemExit(_crashed(error)) from None
