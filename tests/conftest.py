"""What holds for every test: the slow tier runs only when it is asked for."""

from __future__ import annotations

import pytest

_LONGEST_BYTES, _LONGEST_TEXT = 16, 80


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "slow" in config.option.markexpr:
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if not item.get_closest_marker("slow")]


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
