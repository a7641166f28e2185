"""What shells complete: hosts, codes, drivers, slots and parts, from the inventory at hand and from nothing else.

A completion never raises, prints nothing and reaches no host: whoever presses Tab has not asked for anything.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import typer

if TYPE_CHECKING:
    from sealboot.workflow.prepare import Prepared

Completer: TypeAlias = Callable[[typer.Context, str], list[str]]

#: More are not offered: a shell would ask whether all of them shall be shown.
_MOST = 200


def _beginning(words: Iterable[str], incomplete: str) -> list[str]:
    found = [word for word in dict.fromkeys(words) if word.startswith(incomplete)]
    return found[:_MOST]


def _silent(find: Callable[[typer.Context, str], Iterable[str]]) -> Completer:
    """The same, for a shell: whatever goes wrong, nothing is offered."""

    def run(ctx: typer.Context, incomplete: str) -> list[str]:
        try:
            return _beginning(find(ctx, incomplete), incomplete)
        except Exception:  # noqa: BLE001 (an inventory may be anything)
            return []

    return run


def _prepared(ctx: typer.Context) -> Prepared | None:
    """The inventory of the command line that is being typed, if it is a sound one; standard input is not read."""
    from sealboot.workflow.prepare import Prepared, prepare

    given: Any = ctx.params.get("inventory") or os.environ.get("SEALBOOT_INVENTORY", "").split()
    sources = tuple(given or ("inventory.yaml",))
    if "-" in sources:
        return None
    made = prepare(sources)
    return made if isinstance(made, Prepared) else None


def _hosts(ctx: typer.Context, incomplete: str) -> Iterator[str]:
    del incomplete
    prepared = _prepared(ctx)
    if prepared is not None:
        yield from (host.name for host in prepared.inventory.hosts)


def _limits(ctx: typer.Context, incomplete: str) -> Iterator[str]:
    """The last part of a limit: `pi01`, `!pi01`, `@agents`, behind the parts before it."""
    prepared = _prepared(ctx)
    if prepared is None:
        return
    cut = incomplete.rfind(",") + 1
    if "[" in incomplete[cut:] or incomplete.count("[") > incomplete.count("]"):
        return
    before = incomplete[:cut] + ("!" if incomplete[cut:].startswith("!") else "")
    inventory = prepared.inventory
    words = [host.name for host in inventory.hosts]
    words += [f"@{word}" for host in inventory.hosts for word in (host.role, *host.groups)]
    yield from (before + word for word in words)


def _codes(ctx: typer.Context, incomplete: str) -> Iterator[str]:
    del ctx
    from sealboot.diagnostics import codes, name_of

    if incomplete[:2].lower() == "sb" or not incomplete:
        head = incomplete[:2] or "SB"
        yield from (head + code[2:] for code in codes())
    else:
        yield from (name_of(code) for code in codes())


def _drivers(ctx: typer.Context, incomplete: str) -> Iterator[str]:
    del ctx, incomplete
    from sealboot.drivers.registry import driver_names

    yield from driver_names()


def _slots(ctx: typer.Context, incomplete: str) -> Iterator[str]:
    del incomplete
    prepared = _prepared(ctx)
    if prepared is not None:
        yield from (slot.name for slot in prepared.slots)


def _parts(ctx: typer.Context, incomplete: str) -> Iterator[str]:
    """The parts that the driver names: those that need no word of any host."""
    del incomplete
    prepared = _prepared(ctx)
    if prepared is not None:
        from sealboot.workflow.parts import parts_of

        yield from parts_of(prepared)


hosts = _silent(_hosts)
limits = _silent(_limits)
codes = _silent(_codes)
drivers = _silent(_drivers)
slots = _silent(_slots)
parts = _silent(_parts)
