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
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from labkit import compiled, debs, kernels, machines, musl, reach
from labkit.apt import LabUnavailableError
from labkit.lab import Lab
from labkit.machines import Node
from sealboot.artifacts import inspect
from sealboot.fit.judge import judge
from sealboot.model.facts import Facts
from sealboot.model.verdict import Outcome, Verdict

RUNS = "runs"
RAN = "ran"
#: What differs from one run, or from one machine, to the next in the words of loaders.
_NOISE = re.compile(r"(?:\./)?\S*busybox-\d+: |(?<=-static)-[0-9a-f]{12}| \(required by \S+\)")


@dataclass(frozen=True, slots=True)
class Case:
    """One program on one kind of machine, and what is expected of both sides.

    `foretold` is `runs` or a code; `happened` is what `Row.happened` must contain.
    `says` is the program's whole output.
    """

    reason: str
    kind: str
    file: str
    make: Callable[[], Path]
    foretold: str
    happened: str
    says: bytes = b""

    @property
    def name(self) -> str:
        """Unique among all cases."""
        return f"{self.kind}: {self.file}"


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
        return self.answer.code == 0 and (not self.case.says or self.answer.output == self.case.says)

    @property
    def happened(self) -> str:
        """What execve answered, or how the program ended and what its loader said."""
        if self.ran:
            return RAN
        words = self.answer.errors.decode(errors="replace").strip().partition("\n")[0]
        ended = self.answer.text.removeprefix("ran, ")
        return f"{ended}: {_NOISE.sub('', words)}" if words else ended

    @property
    def agree(self) -> bool:
        """Whether it ran exactly where that was foretold."""
        return self.ran == (self.verdict.outcome is not Outcome.CANNOT)


def deb(package: str, arch: str, path: str, suite: str = "") -> Callable[[], Path]:
    """A program of a Debian package."""
    return lambda: debs.extract(package, arch, suite) / path


def true(arch: str, suite: str = "") -> Callable[[], Path]:
    """Debian's `true`, which needs the C library alone."""
    return deb("coreutils", arch, "usr/bin/true" if suite == "trixie" else "bin/true", suite)


def for_musl() -> Path:
    """A program that gcc made with musl."""
    return compiled.c_program("for-musl", str(musl.compiler()))


def static(arch: str) -> Callable[[], Path]:
    """A static program, which needs nothing but a kernel."""
    return deb("bash-static", arch, "bin/bash-static")


def nproc_of_13() -> Path:
    """One of the programs that need a C library newer than Debian 12's, and no other."""
    return debs.extract("coreutils", "amd64", "trixie") / "usr/bin/nproc"


_MUSL = "another C library"
_OLD = "an old C library"
_I386 = "32-bit userland, 64-bit kernel"
_GLIBC_234 = "version `GLIBC_2.34' not found"

#: What a node decides as truly as any machine: each kind of machine takes a second or two.
ON_NODES = (
    Case(_MUSL, "amd64-musl", "Debian's true, glibc", true("amd64"), "SB107", "ENOENT"),
    Case(_MUSL, "amd64-musl", "a program for musl", for_musl, RUNS, RAN, compiled.says("for-musl")),
    Case(_MUSL, "amd64-musl", "Debian's bash-static", static("amd64"), RUNS, RAN),
    Case(_MUSL, "amd64-minimal", "a program for musl", for_musl, "SB107", "ENOENT"),
    Case(_MUSL, "amd64-minimal", "Debian's true, glibc", true("amd64"), RUNS, RAN),
    Case(_OLD, "amd64-old-glibc", "true of Debian 12", true("amd64"), "SB108", _GLIBC_234),
    Case(_OLD, "amd64-old-glibc", "true of Debian 11", true("amd64", "bullseye"), RUNS, RAN),
    Case(_OLD, "amd64-old-glibc", "bash-static of Debian 12", static("amd64"), RUNS, RAN),
    Case(_OLD, "amd64-minimal", "nproc of Debian 13", nproc_of_13, "SB108", "version `GLIBC_2.38' not found"),
    Case(_OLD, "amd64-minimal", "true of Debian 11", true("amd64", "bullseye"), RUNS, RAN),
    Case(_I386, "i386-userland", "true of i386", true("i386"), RUNS, RAN),
    Case(_I386, "i386-userland", "bash-static of amd64", static("amd64"), RUNS, RAN),
    Case(_I386, "i386-userland", "true of amd64", true("amd64"), "SB102", "ENOENT"),
    Case(_I386, "armhf-userland", "true of armhf", true("armhf"), RUNS, RAN),
    Case(_I386, "armhf-userland", "bash-static of arm64", static("arm64"), RUNS, RAN),
    Case(_I386, "armhf-userland", "true of arm64", true("arm64"), "SB102", "ld-linux-aarch64.so.1"),
    Case(_I386, "armhf-userland", "true of armel, soft float", true("armel"), "SB110", "ld-linux.so.3"),
)

#: What only a kernel or a processor of its own decides: a virtual machine each.
ON_MACHINES = (
    Case(_I386, "armhf-userland-vm", "true of armhf", true("armhf"), RUNS, RAN),
    Case(_I386, "armhf-userland-vm", "bash-static of arm64", static("arm64"), RUNS, RAN),
    Case(_I386, "armhf-userland-vm", "true of arm64", true("arm64"), "SB102", "ENOENT"),
    Case(_I386, "armhf-userland-vm", "true of armel, soft float", true("armel"), "SB110", "ENOENT"),
)


def cases(*, slow: bool) -> tuple[Case, ...]:
    """All cases, or those of the fast tier."""
    return (*ON_NODES, *ON_MACHINES) if slow else ON_NODES


def observe(lab: Lab, kind: str, chosen: Iterable[Case], folder: Path) -> list[Row]:
    """Every case of one kind of machine."""
    ours = [case for case in chosen if case.kind == kind]
    (node,) = lab.need(kind)
    facts = facts_of(lab, node, folder)
    files = {case.name: case.make() for case in ours}
    answers = kernels.ask(lab, node, {name: path.read_bytes() for name, path in files.items()})
    return [
        Row(case, judge(inspect(files[case.name], case.file), facts), answers[case.name]) for case in ours
    ]


def facts_of(lab: Lab, node: Node, folder: Path) -> Facts:
    """What sealboot's probe says of one machine."""
    with lab.entered():
        return asyncio.run(reach.facts_of(lab, [node], folder))[node.name]


def table(rows: Sequence[Row]) -> str:
    """The page."""
    apart = sum(not row.agree for row in rows)
    kinds = {row.case.kind for row in rows}
    lines = [
        "# The rarer reasons, foretold and done",
        "",
        "Made by `make table-rare`. Each file is a program that a compiler or a distribution made. It was judged from",
        "its bytes and the probed facts of the machine, then executed there by a direct `execve`. What the machines",
        "are: `tests/labkit/machines.py`; those whose names end in `-vm` run a kernel and a processor of their own.",
        "",
        f"{len(rows)} pairs, {len(kinds)} machines: **{apart} disagreements**.",
        "",
        "| Reason | Machine | File | Foretold | Happened |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        mark = "" if row.agree else " **≠**"
        happened = row.happened.replace("|", "\\|") + mark
        lines.append(
            f"| {row.case.reason} | {row.case.kind} | {row.case.file} | {row.foretold} | {happened} |"
        )
    return "\n".join([*lines, ""])


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
            rows = everything(lab, cases(slow="--fast" not in sys.argv), Path(folder))
        except LabUnavailableError as error:
            sys.stderr.write(f"no lab: {error}\n")
            return 2
        finally:
            lab.close()
    sys.stdout.write(table(rows))
    return int(any(not row.agree for row in rows))


if __name__ == "__main__":
    sys.exit(main())
