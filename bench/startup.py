"""How long `sealboot --help` takes against a bare `import typer`.

python bench/startup.py [--rounds 15]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time


def _seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    """Interleave both and print the medians and their ratio."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--rounds", type=int, default=15)
    rounds = arguments.parse_args().rounds
    commands = {
        "import typer": [sys.executable, "-c", "import typer"],
        "sealboot --help": [sys.executable, "-m", "sealboot", "--help"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds + 1):
        for name, command in commands.items():
            times[name].append(_seconds(command))
    medians = {name: statistics.median(values[1:]) for name, values in times.items()}
    for name, value in medians.items():
        print(f"{name:<18} {value * 1000:6.1f} ms")
    print(f"ratio              {medians['sealboot --help'] / medians['import typer']:6.2f}")


if __name__ == "__main__":
    main()
