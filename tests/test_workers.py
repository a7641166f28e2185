"""Tests that share something are one group, and one worker runs a group."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TESTS = """
import os, pathlib, pytest
pytestmark = pytest.mark.xdist_group("one")
@pytest.mark.parametrize("number", range(6))
def test_where(number):
    with (pathlib.Path(__file__).parent / "workers").open("a") as told:
        told.write(os.environ["PYTEST_XDIST_WORKER"] + chr(10))
"""


def test_a_group_stays_on_one_worker(tmp_path: Path) -> None:
    """With pytest 9.2 and pytest-xdist 3.8 it did not: two labs ran at once, and canaries were found by their neighbours."""
    (tmp_path / "test_group.py").write_text(TESTS)
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-n",
        "2",
        "--dist",
        "loadgroup",
        "-c",
        "/dev/null",
        "test_group.py",
    ]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    workers = (tmp_path / "workers").read_text().split()
    assert (len(workers), len(set(workers))) == (6, 1)
