"""What the inventory must know of the installed drivers: their names and roles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sealboot.drivers.registry import driver_names, load_driver
from sealboot.inventory.load import DriverRoles
from sealboot.model.diagnostic import Diagnostic


class KnownDrivers(Mapping[str, DriverRoles]):
    """The roles of every driver that can be loaded; a driver is loaded when it is asked for, once.

    A broken one is not in here, and is told when an inventory names it.
    """

    def __init__(self) -> None:
        self._loaded: dict[str, DriverRoles | None] = {}

    def __getitem__(self, name: str) -> DriverRoles:
        """The roles of that driver."""
        if name not in self._loaded:
            driver = load_driver(name)
            self._loaded[name] = (
                None if isinstance(driver, Diagnostic) else DriverRoles(driver.roles, driver.default_role)
            )
        roles = self._loaded[name]
        if roles is None:
            raise KeyError(name)
        return roles

    def __iter__(self) -> Iterator[str]:
        """The names of all of them: loads every one."""
        return (name for name in driver_names() if name in self)

    def __len__(self) -> int:
        """How many there are."""
        return sum(1 for _ in self)


def known_drivers() -> Mapping[str, DriverRoles]:
    """The roles of every driver that can be loaded."""
    return KnownDrivers()
