"""What the help says, how it is asked for, and what is answered to those who type another tool's words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_kit import quick as run
from typer.main import get_command

from sealboot import __version__
from sealboot.cli.app import make_app
from sealboot.cli.help import ELSEWHERE, FORMER, Command, Group
from sealboot.cli.ignoring import unknown_codes
from sealboot.diagnostics.promises import NEVER_IGNORED
from sealboot.drivers.registry import driver_names

ROOT = Path(__file__).parents[3]
#: What an option or an argument takes is one of these words; a new one is thought about once.
METAVARS = {
    "CODE", "COMMAND", "DIR", "FILE", "HOST", "HOSTS", "KEY", "N", "NAME", "PART", "PLANFILE", "RUN", "SECONDS",
    "SEVERITY", "URL", "VERSION", "WHEN", "WORD",
}  # fmt: skip


def commands(command: Any = None, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command and group, with the words that name it."""
    command = command or get_command(make_app())
    yield words, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, (*words, name))


ALL = list(commands())
NAMES = [" ".join(words) or "sealboot" for words, _ in ALL]


@pytest.mark.parametrize(("words", "command"), ALL, ids=NAMES)
def test_every_command_is_of_the_one_class(words: tuple[str, ...], command: Any) -> None:
    assert isinstance(command, Group | Command), words


@pytest.mark.parametrize(("words", "command"), ALL, ids=NAMES)
def test_every_help_is_clean(tmp_path: Path, words: tuple[str, ...], command: Any) -> None:
    shown = run(tmp_path, *words, "--help", env={"COLUMNS": "80"})
    assert (shown.code, shown.err) == (0, "")
    assert not re.search(r"<\w|\[str|Optional|\bPath\b|\{drivers\}", shown.out)
    assert "[required]" not in shown.out
    assert not any(re.search(rf"{former}(?![a-z])", shown.out) for former in FORMER)
    # The sentences in the list of commands are whole.
    assert not re.search(r"[a-z],?\.\.\.$", shown.out, re.MULTILINE)
    rows = re.findall(
        r"^  (?:-[^ ]|--)[^ ]*(?:, --[^ ]+)*(?: / --[^ ]+)?(?: ([A-Z][^ \n]*))?(?:  |$)",
        shown.out,
        re.MULTILINE,
    )
    usage = re.findall(r"\[?([A-Z]{2,})\.{0,3}\]?", shown.out.splitlines()[0].replace("[OPTIONS]", ""))
    assert ({row for row in rows if row} | set(usage) - {"ARGS"}) <= METAVARS


@pytest.mark.parametrize(("words", "command"), ALL, ids=NAMES)
def test_h_and_help_say_the_same(tmp_path: Path, words: tuple[str, ...], command: Any) -> None:
    del command
    wanted = run(tmp_path, *words, "--help").out
    assert run(tmp_path, *words, "-h").out == wanted
    assert run(tmp_path, "help", *words).out.rstrip() == wanted.rstrip()


def test_version_is_a_command_too(tmp_path: Path) -> None:
    assert run(tmp_path, "version").out == run(tmp_path, "--version").out == f"sealboot {__version__}\n"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("chek", "check"),
        ("lock relase x", "release"),
        ("help chek", "check"),
        ("help lock relase", "release"),
        ("help check it", "'check it' is no command"),
        ("status", "sealboot lock status"),
        ("lock install", "sealboot apply"),
        ("help status", "sealboot plan"),
    ],
)
def test_an_unknown_command_is_answered(tmp_path: Path, line: str, words: str) -> None:
    ran = run(tmp_path, *line.split())
    assert (ran.code, ran.out) == (2, "")
    assert words in ran.err


@pytest.mark.parametrize("word", ELSEWHERE)
def test_other_tools_words_are_answered_with_commands_that_there_are(tmp_path: Path, word: str) -> None:
    ran = run(tmp_path, word)
    assert ran.code == 2
    named = re.findall(r"`sealboot ([a-z ]+)`", ELSEWHERE[word])
    assert named
    assert {tuple(name.split()) for name in named} <= {words for words, _ in ALL}


@pytest.mark.parametrize("line", ["explain SB101", "inventory show", "lock status", "facts"])
@pytest.mark.parametrize(
    ("option", "quiet"), [("-q", True), ("--quiet", True), ("-v", False), ("--verbose", False)]
)
def test_quiet_and_verbose_stand_before_the_command_too(
    tmp_path: Path, line: str, option: str, quiet: bool
) -> None:
    before, behind = run(tmp_path, option, *line.split()), run(tmp_path, *line.split(), option)
    assert (before.code, before.out, before.err) == (behind.code, behind.out, behind.err)
    written = run(tmp_path, option, "init", "--driver", "k3s", "a", "-o", f"{option}.yaml".lstrip("-"))
    assert (written.err == "") == quiet


def test_output_is_o_everywhere_and_out_is_understood(tmp_path: Path) -> None:
    for name in ("plan", "init", "kubeconfig", "repack"):
        assert re.search(r"^  -o, --output FILE ", run(tmp_path, name, "-h").out, re.MULTILINE), name
    for option in ("-o", "--output", "--out"):
        file = f"{option.strip('-')}.yaml"
        assert run(tmp_path, "init", option, file, "--no-schema").code == 0
        assert (tmp_path / file).exists()
    run(tmp_path, "init", "--no-schema", env={"SEALBOOT_OUT": "former.yaml"})
    assert (tmp_path / "former.yaml").exists()
    assert "SB001" in run(tmp_path, "plan", "--out", "p.json").err


def test_init_names_the_drivers_that_there_are(tmp_path: Path) -> None:
    assert ", ".join(driver_names()) in run(tmp_path, "init", "-h").out


@pytest.mark.parametrize("name", ["check", "plan", "apply"])
def test_what_is_never_ignored_is_named_from_one_place(tmp_path: Path, name: str) -> None:
    help_ = " ".join(run(tmp_path, name, "-h").out.split())
    assert f"(never {', '.join(sorted(NEVER_IGNORED))})" in help_
    for code in NEVER_IGNORED:
        ran = run(tmp_path, name, "--ignore", code)
        assert (ran.code, ran.out) == (2, "")
        assert unknown_codes([code]) in ran.err
    assert "no code" in run(tmp_path, name, "--ignore", "SB999").err


@pytest.mark.parametrize("file", ["docs/inventory.md", "inventory.example.yaml"])
def test_the_pages_name_the_same_codes(file: str) -> None:
    (line,) = [
        line
        for line in (ROOT / file).read_text().splitlines()
        if re.search(r"ignore.*SB101|SB101.*never", line)
    ]
    assert set(re.findall(r"SB\d{3}", line)) - {"SB304"} == NEVER_IGNORED
