"""Drivers by name, through their entry points and through nothing else.

A driver's module is imported when its name is asked for, so that a broken
driver of another distribution hurts only those who name it.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import cast

from sealboot.drivers.base import Driver
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.names import closest

GROUP = "sealboot.drivers"

_MEMBERS = ("name", "roles", "default_role", "Options", "slots", "wants", "checks", "waves")


def driver_names() -> tuple[str, ...]:
    """Every installed driver's name, in order; imports none of them."""
    return tuple(sorted({entry.name for entry in entry_points(group=GROUP)}))


def own_driver_names() -> tuple[str, ...]:
    """The names of sealboot's own drivers, whatever else is installed."""
    found = entry_points(group=GROUP)
    return tuple(sorted({entry.name for entry in found if entry.module.startswith("sealboot.")}))


def load_driver(name: str) -> Driver | Diagnostic:
    """The driver of that name, ready to use; unknown, ambiguous or broken ones are SB601."""
    found = {entry.value: entry for entry in entry_points(group=GROUP, name=name)}
    if not found:
        return _unknown(name)
    if len(found) > 1:
        return Diagnostic(
            "SB601",
            f"two installed distributions bring a driver called {name!r}",
            evidence=tuple(("entry point", value) for value in sorted(found)),
            hints=("uninstall one of them",),
        )
    return _load(next(iter(found.values())))


def driver_roles(name: str) -> tuple[str, ...] | Diagnostic:
    """The roles a driver knows, in bring-up order (empty: any name); imports that one driver only."""
    driver = load_driver(name)
    return driver if isinstance(driver, Diagnostic) else driver.roles


def _unknown(name: str) -> Diagnostic:
    names = driver_names()
    close = closest(name, names)
    hint = f"did you mean `{close}`?" if close else f"installed: {', '.join(names) or 'none'}"
    return Diagnostic("SB601", f"no driver is called {name!r}", hints=(hint,))


def _load(entry: EntryPoint) -> Driver | Diagnostic:
    # A third party's module may raise anything at all while it is imported or constructed.
    try:
        made = entry.load()()
    except Exception as error:  # noqa: BLE001
        return Diagnostic(
            "SB601",
            f"the driver {entry.name!r} cannot be loaded",
            evidence=(("entry point", entry.value), ("error", f"{type(error).__name__}: {error}")),
            hints=("install or repair the distribution that brings it",),
        )
    lacking = [member for member in _MEMBERS if not hasattr(made, member)]
    if lacking:
        return Diagnostic(
            "SB601",
            f"the driver {entry.name!r} is incomplete: it has no {', '.join(lacking)}",
            evidence=(("entry point", entry.value),),
        )
    return cast(Driver, made)
