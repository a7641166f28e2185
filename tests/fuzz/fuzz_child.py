"""One parser in one process that can only read, of bounded memory, with a deadline for each input.

`fuzz_child.py ENGINE TARGET SECONDS SEED CORPUS FINDINGS` with the engine
`atheris` (coverage-guided) or `plain` (mutations alone). `CORPUS` holds inputs
to begin with and takes those that reached something new; what broke a rule is
written to `FINDINGS`, and so are numbers (`stats`): how many inputs, the slowest one's processor time, the most memory.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

#: Address space in bytes, wall time of one input in seconds.
MEMORY = 1 << 30
DEADLINE = 10
_STATS = 96

Feed: TypeAlias = Callable[[bytes], None]


def load(name: str) -> Any:
    """The target, with all that it needs imported."""
    return importlib.import_module("fuzz_targets").TARGETS[name]


class Counted:
    """Counts inputs and keeps the slowest one's time where the parent finds it, however this process ends."""

    def __init__(self, feed: Feed, place: Path) -> None:
        self._feed = feed
        self._out = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        self.count = 0
        self.worst = 0.0

    def __call__(self, data: bytes) -> None:
        """Feed one input."""
        started = time.process_time()
        self._feed(data)
        took = time.process_time() - started
        self.count += 1
        if took > self.worst or self.count % 200 == 0:
            self.worst = max(self.worst, took)
            self.tell()

    def tell(self) -> None:
        """Write the numbers: inputs, seconds, and the most memory that was in use, in bytes."""
        told = {"count": self.count, "worst": round(self.worst, 4), "peak": _peak()}
        text = json.dumps(told)
        os.pwrite(self._out, text.ljust(_STATS).encode(), 0)


def _peak() -> int:
    """Not getrusage: it counts what this process was before it became another program, too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) << 10


def warm(feed: Feed, seeds: list[bytes]) -> None:
    """Good inputs first, before anything is limited: what is imported late is imported now."""
    for data in seeds:
        feed(data)


def coverage_guided(arguments: list[str]) -> None:
    """Run under atheris, with all of sealboot instrumented. Does not return."""
    name, seconds, seed, corpus, findings = arguments
    atheris: Any = importlib.import_module("atheris")
    atheris.enabled_hooks.add("str")  # what a prefix asks for is told to the engine
    with atheris.instrument_imports(include=["sealboot"]):
        target = load(name)
    warm(target.feed, target.seeds())
    feed = Counted(target.feed, Path(findings) / "stats")
    options = [
        f"-max_total_time={seconds}",
        f"-seed={seed}",
        f"-timeout={DEADLINE}",
        f"-max_len={target.longest}",
        f"-artifact_prefix={findings}/",
        "-rss_limit_mb=900",
        "-print_final_stats=0",
        "-verbosity=0",
        "-len_control=20",
    ]
    atheris.Setup([sys.argv[0], *options, corpus], feed, enable_python_coverage=True)
    importlib.import_module("guard_kit").confine(MEMORY)
    atheris.Fuzz()


def by_mutation(arguments: list[str]) -> None:
    """Mutate what is in the corpus until the time is over, or something breaks a rule."""
    name, seconds, seed, corpus, findings = arguments
    target = load(name)
    mutated = importlib.import_module("fuzz_mutate").mutated
    pool = [*target.seeds(), *(path.read_bytes() for path in sorted(Path(corpus).iterdir()))]
    warm(target.feed, pool)
    feed = Counted(target.feed, Path(findings) / "stats")
    last = os.open(Path(findings) / "last", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    importlib.import_module("guard_kit").confine(MEMORY)
    rng = random.Random(int(seed))  # noqa: S311 (no secret)
    until = time.monotonic() + float(seconds)
    while time.monotonic() < until:
        data = mutated(rng, rng.choice(pool), rng.choice(pool))[: target.longest]
        os.pwrite(last, len(data).to_bytes(8, "big") + data, 0)
        signal.alarm(DEADLINE)  # ends the process: the parent finds the input in `last`
        feed(data)
        signal.alarm(0)
    feed.tell()


def main() -> int:
    """Run one engine on one target."""
    engine, *arguments = sys.argv[1:]
    try:
        (coverage_guided if engine == "atheris" else by_mutation)(arguments)
    except BaseException:  # noqa: BLE001 (a finding of any kind)
        traceback.print_exc(limit=-6)
        return 77
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
