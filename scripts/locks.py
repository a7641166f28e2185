"""The locked environments: requirements/*.txt, each with every version and every file's SHA-256.

    python scripts/locks.py write     what pyproject.toml asks for, at the versions locked so far where they serve
    python scripts/locks.py upgrade   the newest versions that pyproject.toml allows; says what changed
    python scripts/locks.py check     do the locks and pyproject.toml agree? needs no network

Two digests stand at the head of each lock: of the tables of pyproject.toml that it was made from, and of its own
text. Whatever is changed alone is noticed.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FOLDER = "requirements"
_PROJECT = ("pyproject.toml",)
_KEYRING = ("--extra", "keyring")
#: What is locked, in uv's words. The group `build` makes the editable installation.
LOCKS: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "run": (*_PROJECT, "--group", "build"),
        "dev": (*_PROJECT, *_KEYRING, "--group", "build", "--group", "dev"),
        "fuzz": ("--group", "fuzz"),
        "lock": ("--group", "lock"),
    }
)
#: Every lock takes its versions from the one that holds them all.
_ALL = (*LOCKS["dev"], *LOCKS["fuzz"], *LOCKS["lock"])
#: The head of a lock: the digests of `tables` and of what follows.
HEAD = "# Written by `make lock` and `make upgrade`: not to be edited.\n# pyproject: {}\n# content: {}\n"
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE)


def tables(root: Path = ROOT) -> str:
    """SHA-256 of what pyproject.toml says of Python and of other distributions, however it is laid out."""
    project: dict[str, Any] = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    told = {
        "python": project["project"]["requires-python"],
        "dependencies": project["project"]["dependencies"],
        "extras": project["project"]["optional-dependencies"],
        "groups": project["dependency-groups"],
        "build": project["build-system"]["requires"],
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def pins(text: str) -> dict[str, str]:
    """Distribution -> version."""
    return dict(_PIN.findall(text))


def disagreements(root: Path = ROOT) -> Iterator[str]:
    """What is wrong with the locks, in words; nothing when all is well."""
    wanted = tables(root)
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    if project["build-system"]["requires"] != project["dependency-groups"]["build"]:
        yield "pyproject.toml: the group `build` is not what [build-system] requires"
    seen: dict[str, str] = {}
    for name in LOCKS:
        path = root / FOLDER / f"{name}.txt"
        if not path.is_file():
            yield f"{FOLDER}/{name}.txt is missing: make lock"
            continue
        text = path.read_text("utf-8")
        body = text.split("\n", 3)[-1]
        if text != HEAD.format(wanted, digest(body)) + body:
            changed = "pyproject.toml" if f"# content: {digest(body)}\n" in text else "it"
            yield f"{FOLDER}/{name}.txt: {changed} was changed without the other: make lock"
        for distribution, version in pins(body).items():
            if seen.setdefault(distribution, version) != version:
                yield f"{FOLDER}/{name}.txt: {distribution} is {version} here and {seen[distribution]} elsewhere"


def write(*, upgrade: bool) -> None:
    """Make the locks anew, and say on standard output what changed."""
    folder = ROOT / FOLDER
    folder.mkdir(exist_ok=True)
    before = _locked()
    with tempfile.TemporaryDirectory() as place:
        whole = Path(place) / "all.txt"
        if not upgrade:  # what is in the output file already is kept where it can be
            whole.write_text("".join(f"{name}=={version}\n" for name, version in before.items()))
        _compile(whole, _ALL)
        for name, what in LOCKS.items():
            part = Path(place) / f"{name}.txt"
            _compile(part, (*what, "--constraints", str(whole)))
            body = part.read_text("utf-8")
            (folder / f"{name}.txt").write_text(HEAD.format(tables(), digest(body)) + body, "utf-8")
    after = _locked()
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name, "-"), after.get(name, "-")
        if old != new:
            print(f"{name}  {old} -> {new}")
    if before == after:
        print("no version changed")


def _locked() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in LOCKS:
        path = ROOT / FOLDER / f"{name}.txt"
        found |= pins(path.read_text("utf-8")) if path.is_file() else {}
    return found


def _compile(path: Path, what: Sequence[str]) -> None:
    command = [sys.executable, "-m", "uv", "pip", "compile", "-q", "-o", str(path), *what]
    command += [
        "--universal",
        "--python-version",
        "3.11",
        "--generate-hashes",
        "--no-header",
        "--no-annotate",
    ]
    command += ["--no-emit-index-url", "--no-emit-find-links"]
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)


def digest(text: str) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def main(words: Sequence[str]) -> int:
    """Do what is asked; the exit code."""
    match list(words):
        case ["write"]:
            write(upgrade=False)
        case ["upgrade"]:
            write(upgrade=True)
        case ["check"]:
            found = list(disagreements())
            print("\n".join(found) or "the locks and pyproject.toml agree")
            return 1 if found else 0
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
