"""Shared options, the environment, the settings file, and which of them wins."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from cli_kit import run
from typer.main import get_command
from typer.models import OptionInfo
from typer.testing import CliRunner

from sealboot.cli.app import COMMANDS, GROUPS, make_app
from sealboot.cli.options import TASTE, Common, Output, Remote, config_file, takes, taste


def registered() -> Iterator[tuple[str, Any]]:
    for command in COMMANDS:
        yield command.__name__, command
    for group, app in GROUPS.items():
        for info in app.registered_commands:
            yield f"{group} {info.name}", info.callback


def options_of(command: Any) -> Iterator[tuple[str, OptionInfo]]:
    for parameter in inspect.signature(command).parameters.values():
        for meta in getattr(parameter.annotation, "__metadata__", ()):
            if isinstance(meta, OptionInfo):
                spelt = [s for s in (meta.default, *(meta.param_decls or ())) if isinstance(s, str)]
                yield next(s for s in spelt if s.startswith("--")).partition("/")[0], meta


@pytest.mark.parametrize(("name", "command"), list(registered()), ids=[n for n, _ in registered()])
def test_every_option_has_its_variable_and_its_help(name: str, command: Any) -> None:
    for option, info in options_of(command):
        variables = [info.envvar] if isinstance(info.envvar, str) else info.envvar
        assert variables, (name, option)
        assert variables[0] == "SEALBOOT_" + option[2:].replace("-", "_").upper(), (name, option)
        assert info.help, (name, option)


@pytest.mark.parametrize(("name", "command"), list(registered()), ids=[n for n, _ in registered()])
def test_help_fits_eighty_columns(name: str, command: Any) -> None:
    shown = CliRunner().invoke(make_app(), [*name.split(), "--help"], terminal_width=80)
    assert shown.exit_code == 0
    assert max(map(len, shown.output.splitlines())) <= 80
    for option, _ in options_of(command):
        assert option in shown.output
    assert "..." not in re.sub(r"[A-Z]\.\.\.", "", shown.output)


def probe(kind: type[Output], *arguments: str, **settings: Any) -> Output:
    """What a command that takes `kind` gets for this command line; `env` and `default_map` as they are."""
    seen: list[Output] = []

    @takes(kind)
    def command(options: Output) -> None:
        """See."""
        seen.append(options)

    app = typer.Typer()
    app.command()(command)
    done = CliRunner().invoke(app, list(arguments), catch_exceptions=False, **settings)
    assert done.exit_code == 0, done.output
    (one,) = seen
    return one


def test_defaults() -> None:
    options = probe(Remote)
    assert isinstance(options, Remote)
    assert options == Remote()
    assert (options.sources, options.verbosity, options.jobs, options.timeout) == (
        ("inventory.yaml",),
        0,
        128,
        60.0,
    )


def test_spellings() -> None:
    line = ("-i", "a.yaml", "-i", "-", "-l", "pi*", "--no-input", "-j", "7", "--timeout", "2.5", "-q")
    options = probe(Remote, *line, "--known-hosts", "k", "--format", "jsonl", "--color", "never")
    assert options == Remote(
        inventory=["a.yaml", "-"],
        limit="pi*",
        no_input=True,
        jobs=7,
        timeout=2.5,
        quiet=True,
        known_hosts="k",
        format=options.format,
        color=options.color,
    )
    assert (options.format, options.color, options.verbosity) == ("jsonl", "never", -1)


def test_the_environment_speaks_for_every_option() -> None:
    env = {
        "SEALBOOT_INVENTORY": "a.yaml b.yaml",
        "SEALBOOT_LIMIT": "pi*",
        "SEALBOOT_NO_INPUT": "1",
        "SEALBOOT_JOBS": "7",
        "SEALBOOT_TIMEOUT": "2.5",
        "SEALBOOT_KNOWN_HOSTS": "k",
        "SEALBOOT_FORMAT": "json",
        "SEALBOOT_COLOR": "always",
        "SEALBOOT_VERBOSE": "true",
    }
    options = probe(Remote, env=env)
    assert isinstance(options, Remote)
    assert (options.inventory, options.limit, options.no_input) == (["a.yaml", "b.yaml"], "pi*", True)
    assert (options.jobs, options.timeout, options.known_hosts) == (7, 2.5, "k")
    assert (options.format, options.color, options.verbosity) == ("json", "always", 1)


def test_the_line_wins_over_the_environment_and_that_over_taste() -> None:
    settings = {"jobs": 1, "timeout": 11}
    assert probe(Remote, default_map=settings) == Remote(jobs=1, timeout=11.0)
    options = probe(Remote, default_map=settings, env={"SEALBOOT_JOBS": "2"})
    assert options == Remote(jobs=2, timeout=11.0)
    options = probe(Remote, "--jobs", "3", default_map=settings, env={"SEALBOOT_JOBS": "2"})
    assert options == Remote(jobs=3, timeout=11.0)


def test_narrowing_adds_to_a_limit() -> None:
    assert Common().narrowed("a").limit == "a"
    assert Common(limit="@pis").narrowed("a").limit == "@pis,a"


@pytest.mark.parametrize("value", ["0", "1025", "x", "1.5", "-1"])
def test_jobs_out_of_range_are_usage(tmp_path: Path, value: str) -> None:
    ran = run(tmp_path, "check", "--jobs", value)
    assert ran.code == 2
    assert "--jobs" in ran.err


def test_there_is_no_way_to_skip_host_keys() -> None:
    names = {option for _, command in registered() for option, _ in options_of(command)}
    assert not [n for n in names if any(w in n for w in ("insecure", "strict", "no-check", "password"))]
    assert get_command(make_app()).name == "sealboot"


def settings_file(folder: Path, text: bytes) -> Path:
    path = folder / "home" / ".config" / "sealboot" / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text)
    return path


def test_where_the_settings_lie() -> None:
    assert config_file({"HOME": "/h"}) == Path("/h/.config/sealboot/config.toml")
    assert config_file({"HOME": "/h", "XDG_CONFIG_HOME": "/x"}) == Path("/x/sealboot/config.toml")
    assert config_file({"HOME": "/h", "XDG_CONFIG_HOME": ""}) == Path("/h/.config/sealboot/config.toml")


def test_a_missing_file_is_no_taste(tmp_path: Path) -> None:
    assert taste(tmp_path / "none") == {}


def test_all_of_taste(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('format = "json"\ncolor = "never"\njobs = 4\nuploads = 2\ntimeout = 9.5\n')
    assert set(taste(path)) == set(TASTE)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b'fomat = "json"', "unknown setting 'fomat'"),
        (b"jobs = ", "Invalid value"),
        (b"\xff\xfe", "decode"),
        (b'format = "yaml"', "format = 'yaml'"),
        (b'color = "red"', "color = 'red'"),
        (b"color = [1]", "color = [1]"),
        (b'jobs = "many"', "jobs = 'many'"),
        (b"jobs = 0", "jobs = 0"),
        (b"jobs = true", "jobs = True"),
        (b"uploads = 1.5", "uploads = 1.5"),
        (b"timeout = nan", "timeout = nan"),
        (b"[hosts]\na = 1", "unknown setting 'hosts'"),
        (b'insecure = "yes"', "unknown setting 'insecure'"),
        (b"jobs = " + b"[" * 100_000, "nested too deeply"),
        (b"jobs = " + b"9" * 5000, "Exceeds the limit"),
    ],
    ids=lambda value: str(value)[:24],
)
@pytest.mark.parametrize("command", [("explain", "SB101"), ("inventory", "schema")])
def test_a_wrong_settings_file_is_named(
    tmp_path: Path, text: bytes, why: str, command: tuple[str, ...]
) -> None:
    path = settings_file(tmp_path, text)
    ran = run(tmp_path, *command)
    assert (ran.code, ran.out) == (2, "")
    assert str(path) in ran.err
    assert why in ran.err
    assert "hint:" in ran.err


def test_an_unreadable_settings_file_is_named(tmp_path: Path) -> None:
    settings_file(tmp_path, b"").unlink()
    path = tmp_path / "home" / ".config" / "sealboot" / "config.toml"
    path.mkdir()
    ran = run(tmp_path, "explain", "SB101")
    assert ran.code == 2
    assert str(path) in ran.err


def test_taste_reaches_commands_and_groups(tmp_path: Path) -> None:
    settings_file(tmp_path, b'format = "json"\n')
    assert run(tmp_path, "explain", "SB101").document["command"] == "explain"
    run(tmp_path, "init", "--driver", "phases", "a")
    assert run(tmp_path, "inventory", "show").document["command"] == "inventory show"
    assert run(tmp_path, "inventory", "show", "--format", "plain").out.startswith("HOST")


def test_hostile_text_in_the_settings_moves_no_cursor(tmp_path: Path) -> None:
    settings_file(tmp_path, b'"a\\u001b[2Jb" = 1\n')
    ran = run(tmp_path, "explain")
    assert ran.code == 2
    assert "\x1b" not in ran.err
