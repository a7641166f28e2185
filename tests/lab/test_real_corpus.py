"""What real tools made, on the lab's machines: predicted and done are the same for every pair."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from labkit import machines, oracle, realcorpus
from labkit.lab import Lab
from labkit.trials import Trial

pytestmark = pytest.mark.vm

#: One machine of each sort of the fast tier: what userland and server add, the other corpus shows.
KINDS = ("amd64", "amd64-minimal", "i686", "amd64-emulating", "arm64", "riscv64", "s390x", "arm64-vm")
PAGE = Path(__file__).resolve().parents[2] / "docs/oracle-real.md"


@pytest.fixture(scope="module")
def rows(session_lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> list[oracle.Row]:
    folder = tmp_path_factory.mktemp("real")
    return oracle.observe(session_lab, KINDS, folder, oracle.corpus(realcorpus.fast(), folder))


@pytest.fixture(scope="module")
def whole() -> list[Trial]:
    return realcorpus.whole()


def test_prediction_and_kernel_agree(rows: list[oracle.Row]) -> None:
    assert len(rows) >= 200
    assert [(row.sample, row.kind, row.predicted, row.happened) for row in rows if not row.agree] == []


def test_no_pair_is_left_open(rows: list[oracle.Row]) -> None:
    assert [(row.sample, row.kind) for row in rows if not row.asked] == []


def test_each_machine_runs_and_refuses_something(rows: list[oracle.Row]) -> None:
    for kind in KINDS:
        assert {row.ran for row in rows if row.kind == kind} == {True, False}


def test_the_page_shows_every_machine_and_no_disagreement() -> None:
    text = PAGE.read_text()
    figures = re.search(
        r"^(\d+) samples, (\d+) machines, (\d+) pairs: \*\*0 disagreements\*\*", text, re.MULTILINE
    )
    assert figures, "make table-real"
    samples, kinds, pairs = map(int, figures.groups())
    assert pairs == samples * kinds
    assert kinds == len(machines.KINDS), "docs/oracle-real.md is older than the lab: make table-real"


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", machines.KINDS)
def test_the_whole_corpus(lab: Lab, kind: str, whole: list[Trial], tmp_path: Path) -> None:
    found = oracle.observe(lab, [kind], tmp_path, oracle.corpus(whole, tmp_path))
    for node in lab.need(kind):
        lab.stop(node)
    assert [(row.sample, row.predicted, row.happened) for row in found if not row.agree] == []
    assert sum(not row.asked for row in found) * 25 < len(found)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_page_names_every_sample(whole: list[Trial]) -> None:
    text = PAGE.read_text()
    assert [t.name for t in whole if f"| `{t.name}` |" not in text] == [], "make table-real"
    assert len({trial.name for trial in whole}) == len(whole)
