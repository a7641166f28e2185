"""The unit tests in other environments than the locked one: does it hold what pyproject.toml promises?

    python scripts/environments.py [--whole] [NAME...]     no name: all of them

newest and lowest are what pyproject.toml allows, on Python 3.11 (every dependency that it names at its lower bound).
The others are the locked versions on later Pythons. In each, every module is imported with warnings as errors, and the
unit tests of the rooms that lean on what differs are run (`ROOMS`); with --whole, all of tests/unit, which takes three
times as long. A Python that cannot be found or fetched is said and left out, under CI too. One line for each
environment; what the tests said is in .envs/NAME.log.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ROOT / ".envs"
#: newest and lowest: where parsers, schemas, compression, rendering and SSH meet a library. Later Pythons: the language.
ROOMS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "versions": (
            *("artifacts", "fit", "inventory", "model", "plan", "probe", "render"),
            *(
                "transport/test_connect_auth.py",
                "transport/test_connect_host_keys.py",
                "cli/test_cli_help.py",
            ),
        ),
        "pythons": ("fit", "model", "plan", "probe", "render", "inventory/test_inventory_yaml.py"),
    }
)
_UV = (sys.executable, "-m", "uv")
_IMPORTS = """
import importlib, pkgutil, warnings
warnings.simplefilter("error")
import sealboot
found = [m.name for m in pkgutil.walk_packages(sealboot.__path__, "sealboot.") if not m.name.endswith("__main__")]
for name in found:
    importlib.import_module(name)
print(len(found), "modules")
"""


class Environment(NamedTuple):
    """The Python, and uv's resolution; without one the locked versions."""

    python: str
    resolution: str = ""


ALL: Mapping[str, Environment] = MappingProxyType(
    {
        "newest": Environment("3.11", "highest"),
        "lowest": Environment("3.11", "lowest-direct"),
        "py312": Environment("3.12"),
        "py313": Environment("3.13"),
        "py314": Environment("3.14"),
    }
)


def _run(words: Sequence[str | Path], **env: str) -> tuple[int, str]:
    done = subprocess.run(
        words,
        cwd=ROOT,
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def _interpreter(version: str) -> str:
    """A Python of that version: on the PATH, pyenv's, or fetched by uv; empty when there is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    works = "import sys, venv; print('%d.%d' % sys.version_info[:2])"
    kept = sorted(pyenv.glob(f"{version}.*/bin/python3"), reverse=True)
    for candidate in (f"python{version}", *map(str, kept)):
        try:
            code, said = _run([candidate, "-c", works])
        except OSError:
            continue
        if (code, said.strip()) == (0, version):
            return candidate
    place = str(ENVIRONMENTS / "pythons")
    code, _ = _run(
        [*_UV, "python", "install", "-q", version], UV_PYTHON_INSTALL_DIR=place, UV_HTTP_TIMEOUT="60"
    )
    found = sorted(Path(place).glob(f"cpython-{version}.*/bin/python{version}"))
    return str(found[-1]) if code == 0 and found else ""


def _make(environment: Environment, folder: Path, interpreter: str) -> tuple[int, str]:
    code, said = _run([*_UV, "venv", "-q", "--clear", "--python", interpreter, folder])
    if code:
        return code, said
    install: list[str | Path] = [*_UV, "pip", "install", "-q", "--python", folder / "bin/python"]
    if environment.resolution:
        groups = ["--group", "build", "--group", "dev", "--editable", ".[keyring]"]
        return _run([*install, "--resolution", environment.resolution, *groups])
    code, said = _run([*install, "--require-hashes", "-r", "requirements/dev.txt"])
    return (code, said) if code else _run([*install, "--no-deps", "--no-build-isolation", "--editable", "."])


def _try(name: str, environment: Environment, *, whole: bool) -> tuple[bool, str]:
    """Whether all is well, and the rest of the environment's line."""
    interpreter = _interpreter(environment.python)
    if not interpreter:
        return True, f"left out: no Python {environment.python} here, and none could be fetched"
    folder = ENVIRONMENTS / name
    began = time.monotonic()
    code, said = _make(environment, folder, interpreter)
    if code:
        return False, f"cannot be made\n{said}"
    made = time.monotonic() - began
    python = folder / "bin/python"
    code, imported = _run([python, "-c", _IMPORTS])
    if code:
        return False, f"imports fail\n{imported}"
    workers = str(os.cpu_count() or 1)
    tests: list[str | Path] = [
        python,
        "-m",
        "pytest",
        "-q",
        "-n",
        workers,
        "--dist",
        "worksteal",
        "-p",
        "no:cacheprovider",
    ]
    rooms = ROOMS["versions" if environment.resolution else "pythons"]
    code, said = _run([*tests, *(["tests/unit"] if whole else [f"tests/unit/{room}" for room in rooms])])
    (ENVIRONMENTS / f"{name}.log").write_text(said, "utf-8")
    lines = said.strip().splitlines()
    counts = next(
        (line for line in reversed(lines) if re.search(r"\d+ (passed|failed|error)", line)), "no tests"
    )
    told = f"{imported.strip()}; {counts.strip('= ')}; made in {made:.0f} s"
    failures = "\n".join(line for line in lines if line.startswith(("FAILED", "ERROR")))
    return code == 0, told if code == 0 else f"{told}\n{failures}"


def main(words: Sequence[str]) -> int:
    """Try what is named; the exit code."""
    whole, words = "--whole" in words, [word for word in words if word != "--whole"]
    if unknown := [word for word in words if word not in ALL]:
        print(f"no such environment: {', '.join(unknown)}; there are {', '.join(ALL)}", file=sys.stderr)
        return 2
    ENVIRONMENTS.mkdir(exist_ok=True)
    good = True
    for name in words or ALL:
        well, line = _try(name, ALL[name], whole=whole)
        good = good and well
        print(f"{'ok  ' if well else 'FAIL'} {name:<7} Python {ALL[name].python}: {line}", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
