"""What sealboot predicts is what kernels do, and the cheap arm64 node does what the true arm64 kernel does."""

from __future__ import annotations

from pathlib import Path

import pytest
from labkit import machines, oracle
from labkit.lab import Lab

pytestmark = pytest.mark.vm


@pytest.fixture(scope="module")
def rows(session_lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> list[oracle.Row]:
    folder = tmp_path_factory.mktemp("corpus")
    return oracle.observe(session_lab, machines.FAST, folder, oracle.corpus(oracle.handmade(), folder))


@pytest.mark.parametrize("kind", machines.FAST)
def test_prediction_and_kernel_agree(rows: list[oracle.Row], kind: str) -> None:
    ours = [row for row in rows if row.kind == kind]
    assert len(ours) > 100
    wrong = [(row.sample, row.predicted, row.happened) for row in ours if not row.agree]
    assert wrong == []


def test_each_machine_runs_and_refuses_something(rows: list[oracle.Row]) -> None:
    for kind in machines.FAST:
        assert {row.ran for row in rows if row.kind == kind} == {True, False}


@pytest.mark.parametrize("node", ["arm64", "arm64-systemd"])
def test_the_emulated_node_is_as_honest_as_the_true_kernel(rows: list[oracle.Row], node: str) -> None:
    cheap = {row.sample: row for row in rows if row.kind == node}
    true = {row.sample: row for row in rows if row.kind == "arm64-vm"}
    apart = {
        name: (row.happened, true[name].happened)
        for name, row in cheap.items()
        if row.asked and not _needs_a_c_library(name) and row.ran != true[name].ran
    }
    assert apart == {}
    # What the kernel refuses with ENOEXEC it refuses with ENOEXEC on both, sample by sample.
    for name, row in cheap.items():
        if "static-" in name:
            assert row.happened == true[name].happened


def _needs_a_c_library(sample: str) -> bool:
    """The systemd node has glibc, the machine has none but busybox's and dropbear's own: not the kernel's doing."""
    return "libc" in sample or sample.startswith("dynamic-")


def test_what_only_the_emulator_decides_is_little(rows: list[oracle.Row]) -> None:
    assert sum(not row.asked for row in rows) * 50 < len(rows)


def test_the_table_in_the_documentation_names_every_sample(rows: list[oracle.Row]) -> None:
    page = oracle.table(rows)
    for name in {row.sample for row in rows}:
        assert f"| `{name}` |" in page
    assert "**0 disagreements**" in page
    kept = Path(__file__).resolve().parents[2] / "docs/oracle.md"
    assert kept.exists(), "make table"
    for name in {row.sample for row in rows}:
        assert f"| `{name}` |" in kept.read_text(), "docs/oracle.md is older than the corpus: make table"
