"""How long `inspect` takes for what it has seen before, against reading it anew.

python bench/cache.py [--rounds 5] [--large FILE] [--folder /usr/bin]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sealboot.artifacts.cache import SETTLED

_LARGE = 250 << 20
#: In the process, so that what is compared is reading and not starting Python.
_MEASURE = """
import os, sys, time
from pathlib import Path
from sealboot.artifacts import contents  # imported by the first file that is read, and not what is measured
from sealboot.artifacts import collect
from sealboot.artifacts.cache import open_cache
for way in sys.argv[2:]:
    cache = None if way == "anew" else open_cache(os.environ)
    start = time.perf_counter()
    found, _ = collect([sys.argv[1]], Path("/"), cache=cache)
    if cache is not None:
        cache.close()
    print(way, time.perf_counter() - start, len(found))
"""


def _measured(pattern: str, folder: Path, *ways: str) -> dict[str, float]:
    env = {**os.environ, "XDG_CACHE_HOME": str(folder)}
    command = [sys.executable, "-c", _MEASURE, pattern, *ways]
    done = subprocess.run(command, env=env, check=True, capture_output=True, text=True)
    rows = [line.split() for line in done.stdout.splitlines()]
    return {way: float(seconds) for way, seconds, _ in rows}


def _report(title: str, pattern: str, rounds: int) -> None:
    """Anew, the first time (which also writes back and keeps), and the second, in turns; medians."""
    seen: dict[str, list[float]] = {"anew": [], "first": [], "second": []}
    for _ in range(rounds + 1):
        with tempfile.TemporaryDirectory() as folder:
            for way, seconds in _measured(pattern, Path(folder), *seen).items():
                seen[way].append(seconds)
    medians = {way: statistics.median(values[1:]) for way, values in seen.items()}
    print(title)
    for way, value in medians.items():
        print(f"  {way:<7} {value * 1000:9.1f} ms   1/{medians['anew'] / value:.0f}")


def main() -> None:
    """Make a file of 250 MiB unless one is named, let it settle, and measure."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--large", type=Path)
    arguments.add_argument("--folder", type=Path, default=Path("/usr/bin"))
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as made:
        large = given.large or Path(made) / "large"
        if given.large is None:
            with large.open("wb") as file:
                file.write(Path(sys.executable).resolve().read_bytes())
                while file.tell() < _LARGE:
                    file.write(os.urandom(1 << 20))
            time.sleep(SETTLED + 1)
        _report(f"{large.stat().st_size >> 20} MiB", str(large), given.rounds)
    _report(str(given.folder), str(given.folder), given.rounds)


if __name__ == "__main__":
    main()
