"""What real tools made, on the lab's machines: predicted and done are the same for every pair."""

from __future__ import annotations

import pytest
from labkit import machines, oracle, realcorpus
from labkit.lab import Lab

pytestmark = pytest.mark.vm


@pytest.fixture(scope="module")
def rows(session_lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> list[oracle.Row]:
    folder = tmp_path_factory.mktemp("real")
    return oracle.observe(session_lab, machines.FAST, folder, oracle.corpus(realcorpus.fast(), folder))


def test_prediction_and_kernel_agree(rows: list[oracle.Row]) -> None:
    assert len(rows) >= 200
    assert [(row.sample, row.kind, row.predicted, row.happened) for row in rows if not row.agree] == []


def test_hardly_a_pair_is_left_open(rows: list[oracle.Row]) -> None:
    assert sum(not row.asked for row in rows) * 50 < len(rows)


def test_each_machine_runs_and_refuses_something(rows: list[oracle.Row]) -> None:
    for kind in machines.FAST:
        assert {row.ran for row in rows if row.kind == kind} == {True, False}
