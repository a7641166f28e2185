"""What was tested is what is installed: requirements/*.txt, pyproject.toml and this environment agree."""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import distributions, version
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from requires import inapplicable

ROOT = Path(__file__).parent.parent
PYTHONS = ("3.11", "3.12", "3.13", "3.14")


def _module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("locks", ROOT / "scripts/locks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


locks = _module()


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    return tmp_path


def told(root: Path) -> list[str]:
    return list(locks.disagreements(root))


def test_the_locks_are_those_of_pyproject() -> None:
    assert told(ROOT) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"pyyaml>=6.0.2,<7"', '"pyyaml>=6.0.3,<7"'),
        ('keyring = ["keyring>=25,<26"]', 'keyring = ["keyring>=25"]'),
        ('  "types-PyYAML",\n', ""),
        ('requires-python = ">=3.11"', 'requires-python = ">=3.12"'),
    ],
)
def test_pyproject_changed_without_the_locks(old: str, new: str, copied: Path) -> None:
    path = copied / "pyproject.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    assert told(copied) == [
        f"requirements/{name}.txt: pyproject.toml was changed without the other: make lock"
        for name in ("run", "dev", "fuzz", "lock")
    ]


def test_pyproject_laid_out_anew_is_the_same(copied: Path) -> None:
    path = copied / "pyproject.toml"
    path.write_text(
        path.read_text().replace("dependencies = [\n", "dependencies = [  # with a remark\n\n", 1)
    )
    assert told(copied) == []


@pytest.mark.parametrize("change", ["version", "hash", "line", "digest"])
def test_a_lock_changed_without_pyproject(change: str, copied: Path) -> None:
    path = copied / "requirements/dev.txt"
    text = path.read_text()
    rich = re.search(r"^rich==(\S+)", text, re.MULTILINE)
    assert rich is not None
    changed = {
        "version": text.replace(rich[0], "rich==14.0.0"),
        "hash": re.sub("sha256:[0-9a-f]{8}", "sha256:00000000", text, count=1),
        "line": text + "left-pad==1.0\n",
        "digest": text.replace("# content: ", "# content: 0"),
    }[change]
    assert changed != text
    path.write_text(changed)
    assert "requirements/dev.txt: it was changed without the other: make lock" in told(copied)


def test_locks_that_differ_are_noticed(copied: Path) -> None:
    path = copied / "requirements/dev.txt"
    body = path.read_text().split("\n", 3)[-1]
    body = re.sub(r"^rich==\S+", "rich==14.0.0", body, flags=re.MULTILINE)
    path.write_text(locks.HEAD.format(locks.tables(copied), locks.digest(body)) + body)
    assert [line for line in told(copied) if "rich is 14.0.0 here" in line] == told(copied) != []


def test_a_lock_that_is_missing(copied: Path) -> None:
    (copied / "requirements/run.txt").unlink()
    assert told(copied) == ["requirements/run.txt is missing: make lock"]


def _wanted() -> Iterator[tuple[str, Requirement]]:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = {"run": project["project"]["dependencies"], "build": project["build-system"]["requires"]}
    groups |= project["project"]["optional-dependencies"] | project["dependency-groups"]
    for group, wanted in groups.items():
        for text in wanted:
            yield group, Requirement(text)


def _locked(name: str) -> dict[str, str]:
    found: dict[str, str] = locks.pins((ROOT / f"requirements/{name}.txt").read_text())
    return {canonicalize_name(pin): held for pin, held in found.items()}


@pytest.mark.parametrize("python", PYTHONS)
def test_every_lock_is_within_the_bounds(python: str) -> None:
    files = {"run": ("run", "dev"), "build": ("run", "dev"), "fuzz": ("fuzz",), "lock": ("lock",)}
    for group, wanted in _wanted():
        if wanted.marker is not None and not wanted.marker.evaluate({"python_version": python}):
            continue
        for name in files.get(group, ("dev",)):
            locked = _locked(name)[canonicalize_name(wanted.name)]
            assert wanted.specifier.contains(locked), f"{name}: {wanted} is locked at {locked}"


def test_what_users_get_has_bounds_on_both_sides() -> None:
    for group, wanted in _wanted():
        if not wanted.name.startswith("types-"):  # they follow what they describe
            operators = {specifier.operator for specifier in wanted.specifier}
            assert operators == {">=", "<"}, (group, str(wanted))


@pytest.mark.parametrize("name", ["run", "dev", "fuzz", "lock"])
def test_every_version_has_its_hashes_and_nobody_else_is_asked(name: str) -> None:
    text = (ROOT / f"requirements/{name}.txt").read_text()
    pins = re.split(r"^(?=\S)", text.split("\n", 3)[-1], flags=re.MULTILINE)
    for pin in filter(None, pins):
        first, *hashes = [line.rstrip("\\ ").strip() for line in pin.splitlines()]
        assert re.fullmatch(r"[A-Za-z0-9._-]+==\S+( ; .+)?", first), first
        assert hashes, first
        assert all(re.fullmatch("--hash=sha256:[0-9a-f]{64}", line) for line in hashes), first
    assert not re.search(r"://|^--?(index|extra|find|trusted)", text, re.MULTILINE)


def test_this_environment_is_the_locked_one() -> None:
    """In an environment that `scripts/setup` made; others are meant to differ."""
    copy = Path(sys.prefix) / ".locked-dev"
    if not copy.is_file():
        inapplicable("this environment was not made by scripts/setup")
    text = (ROOT / "requirements/dev.txt").read_text()
    assert copy.read_text() == text, "the environment is older than its lock: make"
    here = {canonicalize_name(found.name) for found in distributions()} - {"pip", "setuptools", "sealboot"}
    locked = _locked("dev")
    others = _locked("lock").keys() | _locked("fuzz").keys()
    assert here - others <= locked.keys(), "installed, but not locked"
    differ = {name: version(name) for name in here & locked.keys() if version(name) != locked[name]}
    assert differ == {}
