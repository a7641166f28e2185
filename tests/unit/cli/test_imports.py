"""What a command imports: nobody waits for a library that is not used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sealboot.lab.tinyelf import make
from sealboot.model.arch import Arch

_REPORT = """
import json, os, sys
import sealboot.cli
code = 0
try:
    sealboot.cli.main()
except SystemExit as error:
    code = error.code
with os.fdopen(3, "w") as out:
    json.dump({"code": code, "modules": sorted(sys.modules)}, out)
"""


def _modules(folder: Path, *arguments: str) -> tuple[int, set[str]]:
    """The exit code and the loaded modules of one command in a process of its own."""
    read, write = os.pipe()
    env = {**os.environ, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    script = _REPORT.replace("os.fdopen(3", f"os.fdopen({write}")
    with os.fdopen(read) as out:
        subprocess.run(
            [sys.executable, "-c", script, *arguments],
            cwd=folder, env=env, pass_fds=(write,), stdin=subprocess.DEVNULL, capture_output=True, check=True,
        )  # fmt: skip
        os.close(write)
        told = json.load(out)
    return int(told["code"] or 0), set(told["modules"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "inventory.yaml").write_text(
        "version: 1\ncluster: {name: lab, driver: sealos}\n"
        "hosts:\n  a: {address: 127.0.0.1, role: master, ssh: {port: 1, user: nobody}}\n"
    )
    (tmp_path / "sealctl").write_bytes(make(Arch.AMD64, "hello\n"))
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("--version",),
        ("check", "--help"),
        ("apply", "--help"),
        ("explain", "SB101"),
        ("inspect", "sealctl"),
        ("inspect", "--format", "json", "sealctl"),
        ("inventory", "show"),
        ("inventory", "schema"),
    ],
    ids=" ".join,
)
def test_commands_that_do_not_connect_leave_asyncssh_alone(folder: Path, arguments: tuple[str, ...]) -> None:
    code, modules = _modules(folder, *arguments)
    assert code == 0
    assert "sealboot.cli.app" in modules
    assert not {m for m in modules if m.partition(".")[0] in {"asyncssh", "cryptography"}}


def test_help_needs_no_validation_no_elf_reader_and_no_drivers(folder: Path) -> None:
    _, modules = _modules(folder, "--help")
    assert not {"pydantic", "elftools", "yaml", "sealboot.transport.connect"} & modules


def test_a_command_that_connects_does_import_it(folder: Path) -> None:
    # So that the tests above are known to look for the right name.
    code, modules = _modules(folder, "check", "--format", "json", "--no-input")
    assert code == 4
    assert "asyncssh" in modules


def test_only_the_named_driver_is_loaded(folder: Path) -> None:
    code, modules = _modules(folder, "inventory", "show")
    assert code == 0
    assert "sealboot.drivers.sealos" in modules
    assert "sealboot.drivers.phases" not in modules
