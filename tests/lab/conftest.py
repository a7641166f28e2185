"""The real lab as fixtures. Where it cannot be, tests skip and say why; under CI they fail instead."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from labkit import requirements
from labkit.lab import Lab

HERE = Path(__file__).parent


def unavailable(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(f"no lab, and under CI there must be one: {reason}", pytrace=False)
    pytest.skip(f"no lab: {reason}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.lab)
            item.add_marker(pytest.mark.xdist_group("lab"))  # one lab, and one bridge, for all of them


@pytest.fixture(scope="session")
def session_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The lab of this test run, for fixtures of a wider scope than one test."""
    if reason := requirements.missing():
        unavailable(reason)
    lab = Lab(tmp_path_factory.mktemp("lab"), unavailable=unavailable)
    try:
        yield lab
    finally:
        lab.close()


@pytest.fixture
def lab(session_lab: Lab) -> Iterator[Lab]:
    """The lab, with this test inside its network: sockets and child processes reach the machines."""
    with session_lab.entered():
        yield session_lab
