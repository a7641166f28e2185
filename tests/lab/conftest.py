"""The real lab as fixtures. Where it cannot be, the tests that ask for it skip and say why: see `requires`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from labkit.lab import Lab
from requires import LAB, requires

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.lab)
            item.add_marker(pytest.mark.xdist_group("lab"))  # one lab, and one bridge, for all of them


@pytest.fixture(scope="session")
def session_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The lab of this test run, for fixtures of a wider scope than one test."""
    requires(*LAB)
    lab = Lab(tmp_path_factory.mktemp("lab"))
    try:
        yield lab
    finally:
        lab.close()


@pytest.fixture
def lab(session_lab: Lab) -> Iterator[Lab]:
    """The lab, with this test inside its network: sockets and child processes reach the machines."""
    with session_lab.entered():
        yield session_lab
