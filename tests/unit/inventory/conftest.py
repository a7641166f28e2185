"""Loading text in one call."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import pytest

from sealboot.inventory.load import DriverRoles, load_inventory
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.host import Inventory

Load: TypeAlias = Callable[[str | bytes], tuple[Inventory | None, tuple[Diagnostic, ...]]]

DRIVERS = {
    "k3s": DriverRoles(("server", "agent"), "agent"),
    "sealos": DriverRoles(("master", "node"), "node"),
    "phases": DriverRoles((), "node"),
}


@pytest.fixture
def drivers() -> dict[str, DriverRoles]:
    return DRIVERS


@pytest.fixture
def load() -> Load:
    """Loads text as `<stdin>`."""

    def run(text: str | bytes) -> tuple[Inventory | None, tuple[Diagnostic, ...]]:
        data = text.encode() if isinstance(text, str) else text
        return load_inventory(["-"], stdin=data, drivers=DRIVERS)

    return run


@pytest.fixture
def load_hosts(load: Load) -> Load:
    """Loads an inventory of the driver k3s of which only what follows `cluster` is given, from line 3 on."""

    def run(text: str | bytes) -> tuple[Inventory | None, tuple[Diagnostic, ...]]:
        data = text.encode() if isinstance(text, str) else text
        return load(b"version: 1\ncluster: {name: lab, driver: k3s}\n" + data)

    return run
