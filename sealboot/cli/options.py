"""The options that many commands share, said once, and the settings file that holds taste."""

from __future__ import annotations

import copy
import functools
import inspect
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self, TypeAlias, get_type_hints

import typer
from typer.models import OptionInfo, ParameterInfo

from sealboot.cli import complete
from sealboot.diagnostics.promises import NEVER_IGNORED

#: What `~/.config/sealboot/config.toml` may hold: taste. Hosts and trust are never read from there.
TASTE = ("format", "color", "jobs", "uploads", "timeout")


#: `--ignore`, of every command that stops at findings.
IgnoreOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--ignore",
        metavar="CODE",
        help=f"accept this finding; repeatable (never {', '.join(sorted(NEVER_IGNORED))})",
        autocompletion=complete.codes,
    ),
]


class Format(StrEnum):
    """Output formats; `auto` is rich on a terminal and plain elsewhere."""

    AUTO = "auto"
    RICH = "rich"
    PLAIN = "plain"
    JSON = "json"
    JSONL = "jsonl"


class Color(StrEnum):
    """When to colour."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """How a command shows what it has to say."""

    format: Annotated[
        Format, typer.Option("--format", metavar="NAME", help="auto, rich, plain, json, jsonl")
    ] = Format.AUTO
    color: Annotated[Color, typer.Option("--color", metavar="WHEN", help="auto, always, never")] = Color.AUTO
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="results only, no progress")] = False
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="every event, and steps already done")] = (
        False
    )

    @property
    def verbosity(self) -> int:
        """-1, 0 or 1."""
        return -1 if self.quiet else int(self.verbose)


@dataclass(frozen=True, slots=True, kw_only=True)
class Common(Output):
    """What every command that reads the inventory takes."""

    inventory: Annotated[
        list[str] | None,
        typer.Option(
            "-i",
            "--inventory",
            metavar="FILE",
            help="inventory file, - for stdin; repeatable [default: inventory.yaml]",
        ),
    ] = None
    limit: Annotated[
        str | None,
        typer.Option(
            "-l",
            "--limit",
            metavar="HOSTS",
            help="'pi[01-04],!pi03,@agents'",
            autocompletion=complete.limits,
        ),
    ] = None
    no_input: Annotated[bool, typer.Option("--no-input", help="never ask anything")] = False

    def narrowed(self, limit: str) -> Self:
        """The same options for fewer hosts."""
        return replace(self, limit=f"{self.limit},{limit}" if self.limit else limit)

    @property
    def sources(self) -> tuple[str, ...]:
        """The inventory files to read."""
        return tuple(self.inventory or ("inventory.yaml",))


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote(Common):
    """What every command that connects takes."""

    jobs: Annotated[int, typer.Option("-j", "--jobs", metavar="N", min=1, max=1024, help="hosts at once")] = (
        128
    )
    timeout: Annotated[
        float,
        typer.Option("--timeout", metavar="SECONDS", min=1, help="seconds for each host's probe"),
    ] = 60.0
    known_hosts: Annotated[
        str,
        typer.Option("--known-hosts", metavar="FILE", help="the project's own trust file"),
    ] = "known_hosts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading(Remote):
    """What every command that connects and reads artifacts takes."""

    no_cache: Annotated[bool, typer.Option("--no-cache", help="read every file anew")] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Changing(Reading):
    """What every command that changes hosts takes."""

    ready_only: Annotated[bool, typer.Option("--ready-only", help="leave out hosts with errors, by name")] = (
        False
    )
    max_failures: Annotated[
        int,
        typer.Option(
            "--max-failures", metavar="N", min=0, help="go on while no more hosts than this have failed"
        ),
    ] = 0
    lock_timeout: Annotated[
        float,
        typer.Option("--lock-timeout", metavar="SECONDS", min=0, help="seconds to wait for the lock"),
    ] = 0.0


def _from_environment(parameter: inspect.Parameter) -> inspect.Parameter:
    """The same parameter; an option `--some-name` is also read from `SEALBOOT_SOME_NAME`."""
    (option,) = [m for m in parameter.annotation.__metadata__ if isinstance(m, ParameterInfo)]
    if not isinstance(option, OptionInfo):
        return parameter
    spelt = (option.default, *(option.param_decls or ()))  # typer keeps the first spelling there
    longs = [s.partition("/")[0] for s in spelt if isinstance(s, str) and s.startswith("--")]
    named = copy.copy(option)
    variables = [f"SEALBOOT_{long[2:].replace('-', '_').upper()}" for long in longs]
    named.envvar, named.show_envvar = variables if len(variables) > 1 else variables[0], False
    return parameter.replace(annotation=Annotated[parameter.annotation.__origin__, named])


def takes(kind: type[Output]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command one option for each field of `kind`; it gets them as one value, `options`.

    The command's own parameters come first in its help.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command, eval_str=True).parameters
        hints = get_type_hints(kind, include_extras=True)
        shared = {f.name: f for f in fields(kind)}

        @functools.wraps(command)
        def run(**given: Any) -> None:
            options = kind(**{name: given.pop(name) for name in shared})
            command(options=options, **given)

        parameters = [_from_environment(p) for name, p in own.items() if name != "options"]
        parameters += [
            _from_environment(
                inspect.Parameter(
                    f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=hints[f.name]
                )
            )
            for f in shared.values()
        ]
        keyword = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
        run.__signature__ = inspect.Signature(keyword)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in keyword}
        return run

    return decorate


def examples(*lines: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Show command lines at the end of a command's help, as they are written (click keeps the lines of such a paragraph)."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        shown = "\n".join(f"  {line}" for line in lines)
        command.__doc__ = f"{inspect.cleandoc(command.__doc__ or '')}\n\n\b\nExamples:\n{shown}"
        return command

    return decorate


def config_file(env: Mapping[str, str] | None = None) -> Path:
    """The settings file by the XDG base directory specification."""
    env = os.environ if env is None else env
    base = env.get("XDG_CONFIG_HOME") or str(Path(env.get("HOME", "~")).expanduser() / ".config")
    return Path(base) / "sealboot" / "config.toml"


def taste(path: Path) -> dict[str, Any]:
    """The settings in that file; a missing file is empty. Raises `ValueError` that says what is wrong."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: {error}") from error
    try:
        settings = tomllib.loads(text)
    except ValueError as error:  # no TOML, or a number of thousands of digits
        raise ValueError(f"{path}: {error}") from error
    except RecursionError:
        raise ValueError(f"{path}: nested too deeply") from None
    unknown = sorted(set(settings) - set(TASTE))
    if unknown:
        raise ValueError(f"{path}: unknown setting {unknown[0]!r}; this file may hold {', '.join(TASTE)}")
    for name, value in settings.items():
        wanted = _unfit(name, value)
        if wanted:
            raise ValueError(f"{path}: {name} = {value!r} is none of its values: {wanted}")
    return settings


def _unfit(name: str, value: object) -> str:
    """What the value of this setting must be; empty when it is."""
    words: dict[str, type[StrEnum]] = {"format": Format, "color": Color}
    if name in words:
        return "" if value in list(words[name]) else ", ".join(words[name])
    number = isinstance(value, int | float) and not isinstance(value, bool) and value >= 1
    if name == "timeout":
        return "" if number else "seconds, at least 1"
    return "" if number and isinstance(value, int) and value <= 1024 else "a whole number from 1 to 1024"
