"""The rarer reasons why a file does not run, each tried on a machine that has it.

    python -m labkit.rare [--fast] > docs/oracle-rare.md

Every trial is a program that a real compiler or distribution made. What sealboot
foretells comes of the file's bytes and of the facts that its probe gathered; what
happened is what execve, the program's loader and the program itself said.
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from labkit import kernels, machines, reach
from labkit.apt import LabUnavailableError
from labkit.lab import Lab
from labkit.machines import Node
from labkit.rarecases import RAN, UNTOLD, Case, cases
from sealboot.artifacts import inspect
from sealboot.fit.judge import judge
from sealboot.model.facts import Facts
from sealboot.model.verdict import Outcome, Verdict

#: How glibc's loader ends; the lab's launcher would call it EFBIG, which execve never says.
_LOADER_ENDED = 127
#: What differs from one run, or from one machine, to the next in the words of loaders.
_NOISE = re.compile(r"(?:\./)?\S*busybox-\d+: |(?<=-static)-[0-9a-f]{12}| \(required by \S+\)")


@dataclass(frozen=True, slots=True)
class Row:
    """One case, tried."""

    case: Case
    verdict: Verdict
    answer: kernels.Answer

    @property
    def foretold(self) -> str:
        """`runs`, or the code that is the reason."""
        return self.verdict.reason or self.verdict.outcome.value

    @property
    def ran(self) -> bool:
        """Whether all of the program ran."""
        return self.answer.code == 0 and (
            not self.case.file.says or self.answer.output == self.case.file.says
        )

    @property
    def happened(self) -> str:
        """What execve answered, or how the program ended and what its loader said."""
        if self.ran:
            return RAN
        if self.answer.text.startswith("SIG"):
            return self.answer.text  # the words are the shell's
        words = self.answer.errors.decode(errors="replace").strip().partition("\n")[0]
        loader = self.answer.code == _LOADER_ENDED
        ended = f"exit {_LOADER_ENDED}" if loader else self.answer.text.removeprefix("ran, ")
        return f"{ended}: {_NOISE.sub('', words)}" if words else ended

    @property
    def agree(self) -> bool:
        """Whether it ran exactly where that was foretold."""
        return self.ran == (self.verdict.outcome is not Outcome.CANNOT)


def observe(lab: Lab, kind: str, chosen: Iterable[Case], folder: Path) -> list[Row]:
    """Every case of one kind of machine."""
    ours = [case for case in chosen if case.kind == kind]
    (node,) = lab.need(kind)
    facts = facts_of(lab, node, folder)
    files = {case.name: case.file.make() for case in ours}
    answers = kernels.ask(lab, node, {name: path.read_bytes() for name, path in files.items()})
    return [
        Row(case, judge(inspect(files[case.name], case.file.label), facts), answers[case.name])
        for case in ours
    ]


def facts_of(lab: Lab, node: Node, folder: Path) -> Facts:
    """What sealboot's probe says of one machine."""
    with lab.entered():
        return asyncio.run(reach.facts_of(lab, [node], folder))[node.name]


def table(rows: Sequence[Row]) -> str:
    """The page."""
    told = [row for row in rows if row.case not in UNTOLD]
    apart = sum(not row.agree for row in told)
    kinds = {row.case.kind for row in rows}
    lines = [
        "# The rarer reasons, foretold and done",
        "",
        "Made by `make table-rare`. Each file is a program that a compiler or a distribution made. It was judged from",
        "its bytes and the probed facts of the machine, then executed there by a direct `execve`. What the machines",
        "are: `tests/labkit/machines.py`; those whose names end in `-vm` run a kernel and a processor of their own.",
        "",
        f"{len(told)} pairs, {len(kinds)} machines: **{apart} disagreements**.",
        "",
        *_lines(told),
    ]
    untold = [row for row in rows if row.case in UNTOLD]
    if untold:
        lines += ["", "## What no file tells", "", *_lines(untold)]
    return "\n".join([*lines, ""])


def _lines(rows: Iterable[Row]) -> list[str]:
    found = ["| Reason | Machine | File | Foretold | Happened |", "|---|---|---|---|---|"]
    for row in rows:
        happened = row.happened.replace("|", "\\|") + ("" if row.agree else " **≠**")
        words = (row.case.reason, row.case.kind, row.case.file.label, row.foretold, happened)
        found.append(f"| {' | '.join(words)} |")
    return found


def everything(lab: Lab, chosen: Sequence[Case], folder: Path) -> list[Row]:
    """All cases; a virtual machine is switched off when its turn is over."""
    rows: dict[str, Row] = {}
    for kind in dict.fromkeys(case.kind for case in chosen):
        rows |= {row.case.name: row for row in observe(lab, kind, chosen, folder)}
        if machines.KINDS[kind].vm:
            for node in lab.need(kind):
                lab.stop(node)
    return [rows[case.name] for case in chosen]


def main() -> int:
    """Print the page; 1 where the two sides disagree, 2 where there is no lab."""
    with tempfile.TemporaryDirectory(prefix="sealboot-rare-") as folder:
        lab = Lab(Path(folder))
        try:
            slow = "--fast" not in sys.argv
            rows = everything(lab, (*cases(slow=slow), *(UNTOLD if slow else ())), Path(folder))
        except LabUnavailableError as error:
            sys.stderr.write(f"no lab: {error}\n")
            return 2
        finally:
            lab.close()
    sys.stdout.write(table(rows))
    return int(any(not row.agree for row in rows if row.case not in UNTOLD))


if __name__ == "__main__":
    sys.exit(main())
