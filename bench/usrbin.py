"""What sealboot takes for every ELF file of a folder against `file`, in one run, round by round.

python bench/usrbin.py [--folder /usr/bin] [--rounds 9] [--out docs/bench/usrbin.md]

Everything is read once before the first round, so that no disk is measured. No result cache is used: each round
has a home of its own.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

#: Times that the list is repeated to tell what a file costs from what a start costs.
REPEATED = 5
#: Files for which a process each is started.
SAMPLE = 100

_NOTES = """\
`file` says more of a program than `--brief` (its build id, whether it is stripped) and less than `inspect`, which follows the
dynamic section to the libraries and versions that are needed, looks for Go's build information and payloads, and hashes.
Starting Python and the command line takes 0.2 s of processor time: from some 1500 files on, `--brief` is ahead as a whole.
Wall times are those of a machine with other work; figures of one round were taken one after the other.
"""
_LIBRARY = """
import sys, time
from pathlib import Path
from sealboot.artifacts.brief import brief
from sealboot.artifacts.inspect import inspect
what, names = sys.argv[1:]
paths = [Path(line) for line in Path(names).read_text().splitlines()]
read = brief if what == "brief" else inspect
read(paths[0])
wall, cpu = time.perf_counter(), time.process_time()
for path in paths:
    read(path)
print(time.perf_counter() - wall, time.process_time() - cpu)
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds on the clock, and of processor time with all children."""

    wall: float
    cpu: float

    def __sub__(self, other: Cost) -> Cost:
        return Cost(self.wall - other.wall, self.cpu - other.cpu)

    def per(self, count: int) -> Cost:
        """For each of `count`."""
        return Cost(self.wall / count, self.cpu / count)


def _run(command: Sequence[str], home: Path) -> Cost:
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "LC_ALL": "C.UTF-8"}
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env)
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode in {0, 1}, command
    return Cost(wall, used.ru_utime + used.ru_stime)


def _library(what: str, names: Path) -> Cost:
    command = [sys.executable, "-c", _LIBRARY, what, str(names)]
    wall, cpu = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return Cost(float(wall), float(cpu))


def _elves(folder: Path) -> list[Path]:
    files = [p for p in sorted(folder.rglob("*")) if p.is_file() and not p.is_symlink()]
    return [p for p in files if p.read_bytes()[:4] == b"\x7fELF"]  # all of it: from here on no disk is asked


def _each(paths: Sequence[Path], home: Path) -> Cost:
    """A process for each of a sample."""
    costs = [_run(["file", str(path)], home) for path in paths[:SAMPLE]]
    return Cost(sum(c.wall for c in costs), sum(c.cpu for c in costs)).per(len(costs))


def _median(costs: Sequence[Cost]) -> Cost:
    return Cost(statistics.median(c.wall for c in costs), statistics.median(c.cpu for c in costs))


def _measure(elves: Sequence[Path], rounds: int, place: Path) -> dict[str, list[Cost]]:
    once, often, links = place / "once", place / "often", place / "links"
    text = "".join(f"{path}\n" for path in elves)
    once.write_text(text)
    often.write_text(text * REPEATED)
    links.mkdir()
    for number, path in enumerate(elves):
        (links / f"{number:05}").symlink_to(path)
    count = len(elves)
    sealboot = [sys.executable, "-m", "sealboot", "inspect"]
    runners: dict[str, Callable[[Path], Cost]] = {
        "file, whole": lambda home: _run(["file", "-f", str(once)], home),
        "brief, whole": lambda home: _run([*sealboot, "--brief", str(links)], home),
        "inspect, whole": lambda home: _run([*sealboot, "--no-cache", "--format", "json", str(links)], home),
        "file, each": lambda home: _each(elves, home),
        "file, more": lambda home: (
            _run(["file", "-f", str(often)], home) - _run(["file", "-f", str(once)], home)
        ).per(count * (REPEATED - 1)),
        "brief, more": lambda _: _library("brief", once).per(count),
        "inspect, more": lambda _: _library("inspect", once).per(count),
    }
    costs: dict[str, list[Cost]] = {name: [] for name in runners}
    for number in range(rounds):
        for name, run in runners.items():
            home = place / f"home-{number}-{len(name)}"
            home.mkdir(exist_ok=True)
            costs[name].append(run(home))
            print(f"round {number + 1}  {name:<16} {costs[name][-1]}")
    return costs


def _report(folder: Path, count: int, size: int, costs: dict[str, list[Cost]]) -> str:
    made = {name: _median(runs) for name, runs in costs.items()}

    def row(title: str, name: str, scale: float, against: str) -> str:
        cost, base = made[name], made[against]
        return f"| {title} | {cost.wall * scale:.3g} | {cost.cpu * scale:.3g} | {base.cpu / cost.cpu:.2g} times |"

    rounds = len(next(iter(costs.values())))
    version = subprocess.run(
        ["file", "--version"], capture_output=True, text=True, check=False
    ).stdout.split()
    where = (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, Linux {platform.release().split('-')[0]}, "
        f"Python {platform.python_version()}, {version[0]}; median of {rounds} interleaved rounds, "
        "files in memory, no result cache."
    )
    return "\n".join(
        [
            f"### {count} ELF files of {folder}, {size >> 20} MiB",
            "",
            where,
            "",
            "| One file, starting aside | wall ms | CPU ms | `file` takes, in CPU |",
            "|---|---|---|---|",
            row("`file -f LIST`", "file, more", 1e3, "file, more"),
            row("`inspect --brief`: class, order, machine", "brief, more", 1e3, "file, more"),
            row("`inspect`: everything, and SHA-256", "inspect, more", 1e3, "file, more"),
            row("`file FILE`, a process each", "file, each", 1e3, "file, each"),
            "",
            "| The whole folder in one process | wall s | CPU s | `file` takes, in CPU |",
            "|---|---|---|---|",
            row("`file -f LIST`", "file, whole", 1, "file, whole"),
            row("`sealboot inspect --brief FOLDER`", "brief, whole", 1, "file, whole"),
            row("`sealboot inspect --format json FOLDER`", "inspect, whole", 1, "file, whole"),
        ]
    )


def main() -> None:
    """Measure, print, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("/usr/bin"))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    elves = _elves(chosen.folder)
    size = sum(path.stat().st_size for path in elves)
    with tempfile.TemporaryDirectory() as place:
        costs = _measure(elves, chosen.rounds, Path(place))
    page = _report(chosen.folder, len(elves), size, costs)
    print(page)
    if chosen.out is not None:
        chosen.out.write_text(f"{page}\n\n{_NOTES}")


if __name__ == "__main__":
    main()
