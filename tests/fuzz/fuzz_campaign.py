"""The campaign over every parser: `PYTHONPATH=tests python tests/fuzz/fuzz_campaign.py SECONDS [SEED] [PARSER...]`.

Or `make fuzz`.

The seconds are shared out among the parsers, two at a time. Each runs in
processes of its own (`fuzz_child`): coverage-guided where atheris is
installed, by mutation elsewhere. Inputs that reach lines which no good input
reaches are kept in `seeds/PARSER`, and so is every input that broke a rule; the
normal tests feed all of them again. Prints a table, and ends with 1 where
anything broke a rule.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from fuzz_replay import SEEDS, kept
from fuzz_target import Target
from fuzz_targets import TARGETS

HERE = Path(__file__).parent
#: A parser whose findings end its process is begun again, so often at most.
ROUNDS = 4
TOGETHER = 2
_FINDINGS = ("crash-", "timeout-", "oom-", "leak-", "slow-unit-")


@dataclass
class Row:
    """What became of one parser."""

    name: str
    inputs: int = 0
    given: int = 0
    reached: int = 0
    new: int = 0
    kept: int = 0
    worst: float = 0.0
    peak: int = 0
    findings: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        cells = (
            self.name,
            f"{self.inputs:,}",
            f"{self.given}",
            f"{self.reached - self.given}",
            f"{self.kept} ({self.new} new)",
            f"{self.worst * 1000:.0f} ms",
            f"{self.peak >> 20} MiB",
            str(len(self.findings)),
        )
        return "| " + " | ".join(cells) + " |"


HEAD = (
    "| Parser | Inputs | Steps of good inputs | Further steps | Seeds kept | Slowest input | Memory | Findings |\n"
    "|---|---|---|---|---|---|---|---|"
)


def engine() -> str:
    """The better engine that is here."""
    return "atheris" if importlib.util.find_spec("atheris") else "plain"


def run(target: Target, seconds: float, seed: int) -> Row:
    """One parser's share of the campaign."""
    row = Row(target.name)
    with TemporaryDirectory(prefix="fuzz-") as made:
        corpus, findings = Path(made) / "corpus", Path(made) / "findings"
        for folder in (corpus, findings):
            folder.mkdir()
        for data in [*target.seeds(), *(path.read_bytes() for path in kept(target.name))]:
            (corpus / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
        until = time.monotonic() + seconds
        for number in range(ROUNDS):
            left = until - time.monotonic()
            if left < 1:
                break
            if not _round(row, (corpus, findings), int(left), seed + number):
                break
        _keep(row, target, corpus)
    return row


def _round(row: Row, folders: tuple[Path, Path], seconds: int, seed: int) -> bool:
    """One process; whether it was ended by a finding."""
    findings = folders[1]
    options = [engine(), row.name, str(seconds), str(seed), *map(str, folders)]
    command = [sys.executable, str(HERE / "fuzz_child.py"), *options]
    log = findings / "log"
    with log.open("wb") as out:
        child = subprocess.run(command, check=False, stdout=out, stderr=out, cwd=findings)
    stats = findings / "stats"
    if stats.exists() and stats.read_bytes().strip():
        told = json.loads(stats.read_text())
        row.inputs += told["count"]
        row.worst = max(row.worst, told["worst"])
        row.peak = max(row.peak, told["peak"])
    found = [path for path in findings.iterdir() if path.name.startswith(_FINDINGS)]
    last = findings / "last"
    if child.returncode and not found and last.exists():
        raw = last.read_bytes()
        path = findings / "crash-last"
        path.write_bytes(raw[8 : 8 + int.from_bytes(raw[:8], "big")])
        found = [path]
    if child.returncode or found:
        text = log.read_text(errors="backslashreplace")
        row.findings.append(f"exit {child.returncode}, {[p.name for p in found]}\n{text[-3000:]}")
    for path in found:
        place = SEEDS / row.name
        place.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        shutil.move(path, place / f"finding-{name}")
    return bool(found)


def _keep(row: Row, target: Target, corpus: Path) -> None:
    """Keep what reached something new; counted in steps from line to line of sealboot."""
    done = subprocess.run(
        [sys.executable, HERE / "fuzz_replay.py", "choose", target.name, corpus],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        row.findings.append(f"choosing seeds: {done.stderr[-1500:]}")
        return
    told = json.loads(done.stdout.splitlines()[-1])
    row.given, row.reached, row.new = told["given"], told["reached"], len(told["chosen"])
    place = SEEDS / target.name
    place.mkdir(parents=True, exist_ok=True)
    for name in told["chosen"]:
        data = (corpus / name).read_bytes()
        (place / hashlib.sha256(data).hexdigest()[:12]).write_bytes(data)
    row.kept = len(kept(target.name))


def main(arguments: Sequence[str]) -> int:
    """The whole campaign."""
    seconds = float(arguments[0])
    seed = int(arguments[1]) if len(arguments) > 1 and arguments[1] else random.randrange(1 << 31)  # noqa: S311
    targets = [TARGETS[name] for name in arguments[2:]] or list(TARGETS.values())
    share = seconds * TOGETHER / len(targets)
    sys.stderr.write(f"{engine()}, seed {seed}, {share:.0f} s for each of {len(targets)} parsers\n")
    began = time.monotonic()
    with ThreadPoolExecutor(TOGETHER) as pool:
        rows = list(pool.map(lambda target: run(target, share, seed), targets))
    sys.stdout.write("\n".join([HEAD, *map(str, rows)]) + "\n")
    total = sum(row.inputs for row in rows)
    found = [f"== {row.name}: {text}" for row in rows for text in row.findings]
    sys.stdout.write(
        f"\n{engine()}, seed {seed}: {total:,} inputs in {time.monotonic() - began:.0f} s, {len(found)} findings\n"
    )
    sys.stdout.write("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
