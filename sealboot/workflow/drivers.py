"""What the inventory must know of the installed drivers: their names and roles."""

from __future__ import annotations

from collections.abc import Mapping

from sealboot.drivers.registry import driver_names, load_driver
from sealboot.inventory.load import DriverRoles
from sealboot.model.diagnostic import Diagnostic


def known_drivers() -> Mapping[str, DriverRoles]:
    """The roles of every driver that can be loaded; a broken one is told when an inventory names it."""
    loaded = {name: load_driver(name) for name in driver_names()}
    return {
        name: DriverRoles(driver.roles, driver.default_role)
        for name, driver in loaded.items()
        if not isinstance(driver, Diagnostic)
    }
