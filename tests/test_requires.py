"""The one place that decides what a test needs of its machine, and that it is the only one."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from requires import BASE, FILES, PACKAGES, PROPERTIES, lacking, program_path, requires
from requires_guard import named

TESTS = Path(__file__).parent
PREPARE = TESTS.parent / "scripts/lab-prepare"


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)


@pytest.mark.usefixtures("nothing_installed")
def test_what_is_missing_skips_with_the_package_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="minisign is missing: apt-get install minisign"):
        requires("minisign")
    with pytest.raises(pytest.skip.Exception, match="apt-get install busybox-static"):
        program_path("busybox")
    assert lacking("ssh-keygen") == "ssh-keygen is missing: apt-get install openssh-client"


@pytest.mark.usefixtures("nothing_installed")
def test_under_ci_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="under CI this must be there: minisign is missing"):
        requires("minisign")


def test_what_no_package_mends_skips_under_ci_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(pytest.skip.Exception, match="needs an x86-64 processor; this is riscv64"):
        requires("x86-64")


def test_without_root_whatever_needs_root_is_lacking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert lacking("sh", "root") == "needs root"


def test_a_name_that_no_table_has_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        requires("no-such-program")


def test_a_property_is_no_program_and_no_program_is_listed_twice() -> None:
    assert not PROPERTIES.keys() & (PACKAGES.keys() | BASE)
    assert not PACKAGES.keys() & BASE


def test_every_package_that_a_skip_names_is_installed_by_lab_prepare() -> None:
    lists = re.findall(
        r"^(?:tools|slow)='([^']+)'|tools=\"\$tools (\S+)\"", PREPARE.read_text(), re.MULTILINE
    )
    installed = {word for pair in lists for part in pair for word in part.split()}
    assert {*PACKAGES.values(), *FILES.values()} - {"apt"} <= installed


def modules() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(TESTS.rglob("*.py")):
        yield path, ast.parse(path.read_text())


def test_no_test_skips_by_another_way() -> None:
    own = {TESTS / "requires.py", Path(__file__)}
    other = re.compile(r"pytest\.(skip|importorskip|mark\.(skip|skipif))$|unittest\.skip")
    found = [
        f"{path.relative_to(TESTS)}:{node.lineno}"
        for path, tree in modules()
        if path not in own
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and other.match(ast.unparse(node))
    ]
    assert found == []


def test_every_name_that_is_asked_for_is_known() -> None:
    known = {*PACKAGES, *BASE, *FILES, *PROPERTIES}
    unknown = [
        f"{path.relative_to(TESTS)}:{node.lineno}: {word.value!r}"
        for path, tree in modules()
        if path != Path(__file__)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in {"requires", "program_path", "lacking", "pytest.mark.requires"}
        for word in node.args
        if isinstance(word, ast.Constant) and word.value not in known
    ]
    assert unknown == []


@pytest.mark.parametrize(
    ("words", "programs"),
    [
        (["lz4", "lz4", "-c"], {"lz4"}),
        (["/usr/bin/ssh", "ssh", "-V"], {"ssh"}),
        ([sys.executable, "python", "-c", "minisign"], set()),
        (["/tmp/x/minisign", "minisign"], set()),
        (["cat", "cat", "file"], {"cat"}),
        (["setpriv", "setpriv", "--reuid=1", "busybox", "sh"], {"setpriv", "busybox"}),
        (["strace", "strace", "-o", "/tmp/t", "busybox", "sh"], {"strace", "busybox"}),
        (["unshare", "unshare", "-m", "/bin/sh", "-c", "x", "file"], {"unshare", "sh"}),
        ([b"nsenter", b"nsenter", b"-t", b"1", b"env", b"A=b", b"nft"], {"nsenter", "env", "nft"}),
    ],
)
def test_the_guard_knows_a_program_by_its_command_line(words: list[object], programs: set[str]) -> None:
    assert named(words) == programs


GUARDED = """
import subprocess, sys
import pytest
from requires import requires

@pytest.fixture(scope="session")
def shared():
    requires("PROGRAM")

def start():
    try:
        subprocess.run(["PROGRAM", "--version"], capture_output=True)
    except FileNotFoundError:
        pass

def test_undeclared():
    start()

def test_declared():
    requires("PROGRAM")
    start()

@pytest.mark.parametrize("n", [1, 2])
def test_by_a_fixture(shared, n):
    start()

def test_base():
    subprocess.run(["true"], check=True)
    subprocess.run([sys.executable, "-c", ""], check=True)

async def test_undeclared_too():
    import asyncio
    process = await asyncio.create_subprocess_exec("PROGRAM", "--version", stdout=asyncio.subprocess.DEVNULL)
    await process.wait()
"""


@pytest.mark.requires("git")
def test_a_test_that_starts_what_it_did_not_ask_for_fails(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(
        f"import sys\nsys.path.insert(0, {str(TESTS)!r})\nfrom conftest_of_tests import *\n"
    )
    shutil.copy(TESTS / "conftest.py", tmp_path / "conftest_of_tests.py")
    (tmp_path / "test_guarded.py").write_text(GUARDED.replace("PROGRAM", "git"))
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    failed = set(re.findall(r"^FAILED \S+::(\S+)", done.stdout, re.MULTILINE))
    assert failed == {"test_undeclared", "test_undeclared_too"}, done.stdout
    assert "starts git, which a fresh machine may lack: say requires('git')" in done.stdout
    assert re.search(r"\b2 failed, 4 passed\b", done.stdout), done.stdout
