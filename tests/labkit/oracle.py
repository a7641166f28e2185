"""The oracle: what sealboot predicts for every ELF sample on every machine, and what the kernel then did.

    python -m labkit.oracle [--fast] > docs/oracle.md

The prediction is made of the file's bytes and of the facts that sealboot's own
probe gathered on the machine; then execve itself is asked. A sample *ran* when
the program wrote all it has to say and exited with 0.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import elf_corpus

from labkit import kernels, machines, reach
from labkit.apt import LabUnavailableError
from labkit.lab import Lab
from labkit.machines import Node
from labkit.trials import Batch, Trial, batches
from sealboot.artifacts import inspect
from sealboot.fit.judge import judge
from sealboot.model.artifact import Artifact
from sealboot.model.diagnostic import Severity
from sealboot.model.facts import Facts
from sealboot.model.verdict import Outcome, Verdict


@dataclass(frozen=True, slots=True)
class Row:
    """One sample on one machine."""

    sample: str
    note: str
    kind: str
    verdict: Verdict
    answer: kernels.Answer
    ran: bool
    packer: bool = False  # it did all its work, then died as the verdict on its packer warns

    @property
    def asked(self) -> bool:
        """Whether the answer is the kernel's.

        User-mode emulators refuse some files that kernels take, and what a
        program leaves behind for its end is no matter of its headers.
        """
        return not self.answer.emulator_refused and not self.packer and not self.hidden

    @property
    def hidden(self) -> bool:
        """Whether it was packed, and the verdict says that nobody knows what is inside (SB110 as a warning)."""
        doubts = {d.code for d in self.verdict.diagnostics if d.severity is Severity.WARNING}
        return not self.ran and self.verdict.outcome is Outcome.RUNS and "SB110" in doubts

    @property
    def agree(self) -> bool:
        """Whether the kernel did what was predicted."""
        return not self.asked or self.ran == (self.verdict.outcome is not Outcome.CANNOT)

    @property
    def predicted(self) -> str:
        """The outcome, with the code that is the reason."""
        reason = f" ({self.verdict.reason})" if self.verdict.reason else ""
        return f"{self.verdict.outcome.value}{reason}"

    @property
    def happened(self) -> str:
        """What execve and the program did, in words."""
        if self.ran:
            return "ran"
        if self.packer:
            return f"did all its work, then {self.answer.text}: its packer's fault, see SB402"
        if self.hidden:
            return f"{self.answer.text}: the verdict doubts it, for packing hides the level (SB110)"
        if not self.asked:
            return "accepted; the emulator's loader then refuses what kernels take"
        return f"stopped, exit {self.answer.code}" if self.answer.ran else self.answer.text


@dataclass(frozen=True, slots=True)
class Corpus:
    """Trials that were looked at once, and packed for every machine."""

    trials: tuple[Trial, ...]
    artifacts: Mapping[str, Artifact]
    batches: tuple[Batch, ...]


def corpus(trials: Sequence[Trial], folder: Path) -> Corpus:
    """Write every file below `folder`, inspect it as sealboot does, and pack it."""
    artifacts = {}
    for trial in trials:
        trial.write(path := folder / trial.name)
        artifacts[trial.name] = inspect(path, trial.name)
    return Corpus(tuple(trials), artifacts, tuple(batches(trials)))


def handmade() -> list[Trial]:
    """The corpus that is made from bytes."""
    return [Trial(one.name, one.note, one.bytes, one.says) for one in elf_corpus.samples()]


def rows_for(lab: Lab, node: Node, facts: Facts, asked: Corpus) -> list[Row]:
    """Judge and execute the whole corpus on one machine."""
    answers = kernels.answers(lab, node, asked.batches)
    rows = []
    for trial in asked.trials:
        verdict = judge(asked.artifacts[trial.name], facts, emulation_allowed=True)
        answer = answers[trial.name]
        ran = answer.code == 0 and answer.output == trial.says
        packer = not ran and answer.output == trial.says and _blames_packer(asked.artifacts[trial.name])
        rows.append(Row(trial.name, trial.note, node.kind, verdict, answer, ran, packer))
    return rows


def _blames_packer(artifact: Artifact) -> bool:
    return any(d.code == "SB402" and d.severity is Severity.WARNING for d in artifact.diagnostics)


def observe(lab: Lab, kinds: Sequence[str], folder: Path, asked: Corpus) -> list[Row]:
    """Every trial on one machine of each kind."""
    nodes = lab.need(*kinds)
    with lab.entered():
        facts = asyncio.run(reach.facts_of(lab, nodes, folder))
    with ThreadPoolExecutor(3) as pool:
        rounds = pool.map(lambda node: rows_for(lab, node, facts[node.name], asked), nodes)
        return [row for rows in rounds for row in rows]


def figures(rows: Sequence[Row]) -> str:
    """How much was asked, and how often prediction and kernel were apart."""
    samples, kinds = ({getattr(row, name) for row in rows} for name in ("sample", "kind"))
    apart, packer = sum(not row.agree for row in rows), sum(row.packer for row in rows)
    hidden = sum(row.hidden and not row.packer for row in rows)
    unasked = sum(not row.asked for row in rows) - packer - hidden
    left = f"{unasked} pairs left open: the kernel accepted, but qemu-user's own loader did not"
    if packer:
        left += f"; {packer} more: the program did all its work, then died of its packer's mistake, as SB402 warns"
    if hidden:
        left += f"; {hidden} more: packing hides the ARM level, and the verdict says so (SB110)"
    return f"{len(samples)} samples, {len(kinds)} machines, {len(rows)} pairs: **{apart} disagreements** ({left})."


_TITLE = (
    "# Predicted and done: the corpus against the lab",
    "",
    "Made by `make table`. Each ELF sample of the corpus was judged from its bytes and the probed facts,",
    "then executed by a direct `execve` on each machine of the lab. *ran* means that the program wrote",
    "all it has to say and exited with 0.",
)


def table(rows: Iterable[Row], title: Iterable[str] = _TITLE) -> str:
    """The page: one line for every sample and distinct behaviour, with the machines that share it."""
    rows = list(rows)
    lines = [
        *title,
        "",
        figures(rows),
        "",
        "| Sample | What it is | Machines | Predicted | The kernel |",
        "|---|---|---|---|---|",
    ]
    groups: dict[tuple[str, str, str, str], list[str]] = defaultdict(list)
    for row in rows:
        mark = "" if row.agree else " **≠**"
        groups[row.sample, row.note, row.predicted, row.happened + mark].append(row.kind)
    everywhere = len({row.kind for row in rows})
    for (sample, note, predicted, happened), kinds in groups.items():
        where = "all" if len(kinds) == everywhere else ", ".join(kinds)
        lines.append(f"| `{sample}` | {note} | {where} | {predicted} | {happened} |")
    return "\n".join([*lines, ""])


def everything(lab: Lab, folder: Path, asked: Corpus, *, slow: bool) -> list[Row]:
    """The rows of all machines; those of the slow tier come up one at a time."""
    rows = observe(lab, machines.FAST, folder, asked)
    for kind in machines.KINDS:
        if slow and kind not in machines.FAST:
            rows += observe(lab, [kind], folder, asked)
            for node in lab.need(kind):
                lab.stop(node)
    return rows


def show(trials: Callable[[], Sequence[Trial]], title: Iterable[str], *, slow: bool) -> int:
    """Print the table; 1 when prediction and kernel disagree anywhere, 2 where there is no lab."""
    with tempfile.TemporaryDirectory(prefix="sealboot-oracle-") as folder:
        lab = Lab(Path(folder))
        try:
            (files := Path(folder, "corpus")).mkdir()
            rows = everything(lab, files, corpus(trials(), files), slow=slow)
        except LabUnavailableError as error:
            sys.stderr.write(f"no lab: {error}\n")
            return 2
        finally:
            lab.close()
    sys.stdout.write(table(rows, title))
    return int(any(not row.agree for row in rows))


def main() -> int:
    """The table of the corpus that is made from bytes; see `show`."""
    return show(handmade, _TITLE, slow="--fast" not in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
