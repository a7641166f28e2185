"""Replays inputs in a process that can only read, and tells which lines of sealboot each of them reached.

`fuzz_replay.py all` feeds every kept seed, and a few mutations of each parser's
inputs, and prints what they touched. `fuzz_replay.py choose TARGET FOLDER`
prints the names of the files in FOLDER that reach what no good input reaches.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from fuzz_mutate import mutated
from fuzz_target import Target
from fuzz_targets import TARGETS
from guard_kit import confine, peak

import sealboot

SEEDS = Path(__file__).parent / "seeds"
#: Address space for the replay, and seconds that one kept seed may take: the machine may be busy.
MEMORY = 1 << 30
SLOWEST = 5.0
#: Mutations of each parser in the short campaign, and its seed.
SHORT, SEED = 12, 20261121
#: Kept of one parser: inputs, bytes of one, bytes of all; and seconds spent on choosing.
MOST, LARGEST, BYTES, PATIENCE = 40, 8192, 30_000, 40.0

_SOURCES = str(Path(sealboot.__file__).parent)


def kept(name: str) -> list[Path]:
    """The seeds of a parser, in a stable order."""
    return sorted((SEEDS / name).glob("*"))


# -- all


def replay() -> dict[str, Any]:
    """Feed everything that is kept, then mutations of it; what broke no rule raises nothing."""
    modules: set[str] = set()
    profile = _profile(modules)
    slow: dict[str, float] = {}
    counts: dict[str, int] = {}
    work = [(t, t.seeds(), [p.read_bytes() for p in kept(t.name)]) for t in TARGETS.values()]
    for target, good, _ in work:
        for data in good:
            sys.setprofile(profile)  # each time: an input that exhausts the stack ends it
            target.feed(data)
            sys.setprofile(None)
    broken = confine(MEMORY)
    for target, good, found in work:
        rng = random.Random(SEED)  # noqa: S311 (no secret)
        pool = good + found
        changed = [mutated(rng, rng.choice(pool), rng.choice(pool))[: target.longest] for _ in range(SHORT)]
        for data in (*found, *changed):
            started = time.process_time()
            target.feed(data)
            took = time.process_time() - started
            if took > SLOWEST:
                slow[target.name] = took
        counts[target.name] = len(found) + SHORT
    return {"modules": sorted(modules), "slow": slow, "counts": counts, "broken": broken(), "peak": peak()}


def _profile(modules: set[str]) -> Callable[[FrameType, str, object], None]:
    seen: set[CodeType] = set()

    def hook(frame: FrameType, _event: str, _argument: object) -> None:
        code = frame.f_code
        if code not in seen:
            seen.add(code)
            if code.co_filename.startswith(_SOURCES) and code.co_name != "<module>":
                modules.add(code.co_filename.removeprefix(_SOURCES).lstrip("/"))

    return hook


# -- choose


class Arcs:
    """Which steps from line to line a call takes."""

    def __init__(self) -> None:
        self.seen: set[tuple[CodeType, int, int]] = set()

    def fresh(self, target: Target, data: bytes) -> int:
        """How many steps this input takes that none did before."""
        before = len(self.seen)
        sys.settrace(self._enter)
        try:
            target.feed(data)
        finally:
            sys.settrace(None)
        return len(self.seen) - before

    def _enter(self, frame: FrameType, _event: str, _argument: object) -> Any:
        code = frame.f_code
        if not code.co_filename.startswith(_SOURCES):
            return None
        last = 0

        def line(here: FrameType, event: str, _argument: object) -> Any:
            nonlocal last
            if event == "line":
                self.seen.add((code, last, here.f_lineno))
                last = here.f_lineno
            return line

        return line


def choose(target: Target, folder: Path) -> dict[str, Any]:
    """The smallest inputs that reach something new, within what may be kept of one parser."""
    arcs = Arcs()
    for data in target.seeds():
        arcs.fresh(target, data)
    given = len(arcs.seen)
    old = [p.name for p in kept(target.name)]
    for path in kept(target.name):
        arcs.fresh(target, path.read_bytes())
    until = time.monotonic() + PATIENCE
    chosen: list[str] = []
    left = BYTES - sum(p.stat().st_size for p in kept(target.name))
    files = sorted((p for p in folder.iterdir() if p.is_file()), key=lambda p: (p.stat().st_size, p.name))
    for path in files:
        size = path.stat().st_size
        if size > LARGEST or time.monotonic() > until:
            break
        if arcs.fresh(target, path.read_bytes()) and size <= left and len(chosen) + len(old) < MOST:
            chosen.append(path.name)
            left -= size
    return {"given": given, "reached": len(arcs.seen), "chosen": chosen}


def main() -> None:
    """Print what was asked for as one line of JSON."""
    match sys.argv[1:]:
        case ["choose", name, folder]:
            told = choose(TARGETS[name], Path(folder))
        case _:
            told = replay()
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
