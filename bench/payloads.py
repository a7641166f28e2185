"""How long a k0s look-alike of a quarter of a gigabyte takes to check, against inflating its payload.

python bench/payloads.py [--megabytes 250] [--rounds 7] [--out docs/bench/payloads.md]

Both layouts: gzip members behind the program (to 1.35) and a ZIP archive (from 1.36). Each measurement is a process of
its own on a file that is in the page cache; `inspect` hashes the whole file too. The fastest of the peers counts: zlib
under Python in pieces of 1 MiB, `gzip -dc`, `unzip -p`.
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib
import io
import os
import platform
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sealboot.lab.tinyelf import make
from sealboot.model.arch import Arch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
_KIT: Any = importlib.import_module("payload_kit")  # what the tests make look-alikes with

#: Clock time of the function itself, and memory, printed by the child.
_INSPECT = """
import sys, time
from pathlib import Path
from sealboot.artifacts import inspect
path, deep = Path(sys.argv[1]), sys.argv[2] == "deep"
inspect(Path("/bin/true"))  # what is imported late
start, cpu = time.perf_counter(), time.process_time()
found = inspect(path, deep=deep)
taken, cpu = time.perf_counter() - start, time.process_time() - cpu
assert not found.diagnostics, found.diagnostics
assert len(found.layers) == 3, found.layers
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(taken, cpu, int(peak.split()[1]) / 1024)
"""

#: The members' places are given, so that nothing but inflating is measured.
_ZLIB = """
import sys, time, zlib
path, bits, *places = sys.argv[1:]
start, cpu = time.perf_counter(), time.process_time()
with open(path, "rb", buffering=0) as file:
    for place in places:
        file.seek(int(place))
        engine = zlib.decompressobj(int(bits))
        while not engine.eof:
            engine.decompress(engine.unconsumed_tail or file.read(1 << 20), 1 << 20)
print(time.perf_counter() - start, time.process_time() - cpu, 0)
"""
_NAMES = ("containerd", "kubelet", "runc", *(f"part-{chr(97 + n)}" for n in range(14)))


def _content(folder: Path, size: int) -> Iterator[bytes]:
    """Parts of `size` bytes of the programs of this machine, each behind the head of a program for it."""
    files = [p for p in sorted(folder.rglob("*")) if p.is_file() and not p.is_symlink()]
    random.Random(7).shuffle(files)  # noqa: S311 (the same order each time)
    head = make(Arch.AMD64, "part\n")
    part = bytearray(head)
    while True:
        for path in files:
            if os.access(path, os.R_OK):
                part += path.read_bytes()
            while len(part) >= size:
                yield bytes(part[:size])
                part[:] = head + part[size:]


def build(folder: Path, total: int, files: Path) -> dict[str, tuple[Path, list[int]]]:
    """Both layouts with the same contents, and where their members begin."""
    content = _content(files, 44 << 20)
    packed: list[bytes] = []
    plain: list[bytes] = []
    names = iter(_NAMES)
    chosen: list[str] = []
    while (sum(map(len, packed)) < total * 3 // 5 or len(packed) < 3) and (name := next(names, None)):
        plain.append(next(content))
        packed.append(_KIT.gzip_member(plain[-1], level=1))
        chosen.append(name)
    fill = random.Random(8).randbytes(1 << 20) * ((total - sum(map(len, packed))) >> 20)  # noqa: S311
    chain = folder / "k0s-1.35"
    program = _KIT.k0s_program(Arch.AMD64, "v1.35.1+k0s.0", tuple(chosen), sum(map(len, packed)), fill)
    chain.write_bytes(program + b"".join(packed))
    places = [len(program) + sum(map(len, packed[:n])) for n in range(len(packed))]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, data in zip(chosen, plain, strict=True):
            archive.writestr(name, data)
        entries = [info.header_offset + 30 + len(info.filename) for info in archive.infolist()]
    program = _KIT.k0s_program(Arch.AMD64, "v1.36.1+k0s.0", fill=fill)
    zipped = folder / "k0s-1.36"
    zipped.write_bytes(program + buffer.getvalue())
    return {"gzip members": (chain, places), "ZIP": (zipped, [len(program) + at for at in entries])}


@dataclass(frozen=True)
class Cost:
    """The best of some runs: seconds on the clock, of the processors, and MiB of memory."""

    clock: float = float("inf")
    cpu: float = float("inf")
    memory: float = 0.0

    def or_better(self, other: Cost) -> Cost:
        """The quicker of the two, by each measure for itself; the larger memory."""
        return Cost(min(self.clock, other.clock), min(self.cpu, other.cpu), max(self.memory, other.memory))

    def __str__(self) -> str:
        return "-" if self.cpu == float("inf") else f"{self.clock:.2f} s ({self.cpu:.2f} s)"


def _child(code: str, *arguments: str) -> Cost:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True
    )
    clock, cpu, memory = map(float, done.stdout.split())
    return Cost(clock, cpu, memory)


def _tool(path: Path, layout: str) -> Cost:
    """The usual tool over a file that holds nothing but the payload."""
    command = ["gzip", "-dc", str(path)] if layout != "ZIP" else ["unzip", "-p", str(path)]
    if shutil.which(command[0]) is None:
        return Cost()
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(time.perf_counter() - began, cpu)


def measure(path: Path, layout: str, places: list[int], rounds: int) -> dict[str, Cost]:
    """The best of `rounds`, one kind after the other in each, so that all have the same company."""
    bits = "-15" if layout == "ZIP" else "31"
    alone = path.with_suffix(".zip" if layout == "ZIP" else ".gz")
    with path.open("rb") as file, alone.open("wb") as made:
        file.seek(places[0] - (30 + len(_NAMES[0]) if layout == "ZIP" else 0))
        shutil.copyfileobj(file, made, 1 << 20)
    best: dict[str, Cost] = {}
    for _ in range(rounds):
        row = {
            "quick": _child(_INSPECT, str(path), "quick"),
            "deep": _child(_INSPECT, str(path), "deep"),
            "zlib": _child(_ZLIB, str(path), bits, *map(str, places)),
            "tool": _tool(alone, layout),
        }
        best = {kind: best.get(kind, Cost()).or_better(told) for kind, told in row.items()}
    return best


HEAD = """# Checking what a program carries

`python bench/payloads.py --out docs/bench/payloads.md` on {machine}, {cores} processors (load {load:.1f}), Python
{python}, {day}.

A k0s look-alike of {size} MiB in each of its layouts: a program, and behind it {count} files of real software that
inflate to {inflated} MiB. Seconds on the clock, and of all processors in parentheses; the best of {rounds} runs, on files
in the page cache. `inspect` hashes the whole file too, beside looking into it. It is compared with the fastest that
inflates the payload and does nothing else: zlib under Python (1 MiB at a time), `gzip -dc`, `unzip -p`.

| Layout | Quick check | Deep check | Inflating: zlib | Inflating: tool | Deep against the fastest | Memory |
|---|---|---|---|---|---|---|
"""
TAIL = """
Wanted: a quick check under 0.3 s, a deep check within 1.3 times of inflating. The clock tells that only where the load is
below the number of processors; elsewhere the seconds of the processors do, of which hashing alone is about 0.19 in each.
"""


def main() -> int:
    """Build both, measure both, print the table; 1 where a bound is not kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=250)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--files", type=Path, default=Path("/usr/lib"))
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    rows: list[str] = []
    kept = True
    with tempfile.TemporaryDirectory() as folder:
        made = build(Path(folder), chosen.megabytes << 20, chosen.files)
        for layout, (path, places) in made.items():
            told = measure(path, layout, places, chosen.rounds)
            clock = told["deep"].clock / min(told["zlib"].clock, told["tool"].clock)
            cpu = told["deep"].cpu / min(told["zlib"].cpu, told["tool"].cpu)
            kept = kept and told["quick"].clock < 0.3 and clock < 1.3
            rows.append(
                f"| {layout} | {told['quick']} | {told['deep']} | {told['zlib']} | {told['tool']} "
                f"| **{clock:.2f}** ({cpu:.2f}) | {max(told['quick'].memory, told['deep'].memory):.0f} MiB |\n"
            )
            print(rows[-1], end="", flush=True)
            size, count = path.stat().st_size >> 20, len(places)
    head = HEAD.format(
        machine=platform.machine(),
        cores=os.cpu_count(),
        load=os.getloadavg()[0],
        python=platform.python_version(),
        day=dt.datetime.now(dt.UTC).date(),
        size=size,
        count=count,
        inflated=count * 44,
        rounds=chosen.rounds,
    )
    if chosen.out:
        chosen.out.write_text(head + "".join(rows) + TAIL)
    return 0 if kept else 1


if __name__ == "__main__":
    raise SystemExit(main())
