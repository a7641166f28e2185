"""What holds for every test: what it needs of the machine, and the tier it belongs to."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest
from labkit.apt import LabUnavailableError
from requires import requires, unavailable
from requires_guard import Guard

#: Longer parameters go by their argument's name.
_LONGEST_BYTES, _LONGEST_TEXT = 16, 80


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "requires(*names): see tests/requires.py")
    config.pluginmanager.register(Guard())
    # A user's PATH may lack the system's folders, and `su` without `-` leaves root with the user's.
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    missing = [folder for folder in ("/usr/sbin", "/sbin") if folder not in folders]
    os.environ["PATH"] = os.pathsep.join([*folders, *missing])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The slow tier runs only when it is asked for."""
    if "slow" in config.option.markexpr:
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if not item.get_closest_marker("slow")]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    """`@pytest.mark.requires(...)`, and what a fixture could not fetch."""
    for mark in item.iter_markers("requires"):
        requires(*mark.args)
    try:
        yield
    except LabUnavailableError as error:
        unavailable(error)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """What a test could not fetch."""
    try:
        yield
    except LabUnavailableError as error:
        unavailable(error)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes and long texts go by the argument's name, which pytest numbers.

    What is in them would make names of megabytes, and workers must agree on the names.
    """
    match val:
        case bytes():
            return argname if len(val) > _LONGEST_BYTES else None
        case str():
            return argname if len(val) > _LONGEST_TEXT else None
        case _:
            return None
