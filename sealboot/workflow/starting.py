"""From what an operator says of their machines to a starter inventory that the program itself accepts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from sealboot.drivers.base import Driver
from sealboot.drivers.published import LoneHost, SlotFile, files_of
from sealboot.inventory import fields
from sealboot.inventory.starter import Order, StarterSlot, starter
from sealboot.inventory.starter_hosts import Target, rows, targets
from sealboot.model.diagnostic import Diagnostic
from sealboot.workflow.prepare import Prepared, prepare

#: Addresses for documentation (RFC 5737), where no host is named.
_EXAMPLE: Final = "192.0.2.{}"
_KINDS: Final[dict[str, Any]] = {
    "name": fields.Word,
    "release": fields.Release,
    "user": fields.User,
    "key": fields.Text,
}


@dataclass(frozen=True, slots=True)
class Said:
    """What the operator said; `None`: nothing."""

    hosts: tuple[str, ...] = ()
    servers: int | None = None
    name: str | None = None
    release: str | None = None
    user: str | None = None
    port: int | None = None
    key: str | None = None


def fault(what: str, value: str) -> str:
    """Why the inventory's reader would refuse this `name`, `release`, `user` or `key`; empty when it would not."""
    try:
        TypeAdapter(_KINDS[what]).validate_python(value)
    except ValidationError as error:
        context = error.errors(include_input=False, include_url=False)[0].get("ctx", {})
        hint = f" ({context['hint']})" if context.get("hint") else ""
        return f"{context.get('why', 'it is not valid')}{hint}"
    return ""


def machines(said: Said, driver: Driver) -> tuple[Target, ...]:
    """The hosts with their roles: the first ones are servers; raises `UnsafeError` for hosts, `ValueError` for counts."""
    servers = 1 if said.servers is None else said.servers
    if said.servers is not None and not driver.roles:
        raise ValueError(f"the driver {driver.name} has no roles of its own: write yours into the inventory")
    examples = tuple(_EXAMPLE.format(11 + number) for number in range(max(2, servers + 1)))
    found = targets(said.hosts or examples, port=said.port or 22)
    if servers > len(found):
        raise ValueError(f"there are {len(found)} hosts, and {servers} cannot be servers")
    first = driver.roles[0] if driver.roles else driver.default_role
    if len(found) == 1 and isinstance(driver, LoneHost):
        first = driver.lone_role
    return tuple(
        replace(target, role=first if number < servers else driver.default_role)
        for number, target in enumerate(found)
    )


def written(said: Said, driver: Driver, *, schema: str = "") -> str | tuple[Diagnostic, ...]:
    """The text of the starter, or why the reader refuses it. Raises what `machines` raises."""
    order = Order(
        driver=driver.name,
        hosts=tuple(rows(machines(said, driver))),
        slots=tuple(_slot(file, named=said.release is not None) for file in files_of(driver, said.release)),
        name=said.name or "lab",
        release=said.release,
        user=said.user or "root",
        port=said.port,
        key=said.key,
        phases="phases" in driver.Options.model_fields,
        schema=schema,
    )
    text = starter(order)
    read = prepare(("-",), stdin=text.encode())
    return text if isinstance(read, Prepared) else read


def _slot(file: SlotFile, *, named: bool) -> StarterSlot:
    how = tuple(dict.fromkeys(file.commands.values()))
    if not file.page.startswith("https:"):
        how += (file.page,) if file.page else ()
    elif how:
        how += (f"all releases: {file.page}",)
    else:
        more = "" if named else "; `sealboot init --release VERSION` writes the commands"
        how += (f"from {file.page}{more}",)
    return StarterSlot(file.slot, file.about, file.pattern, how, file.optional)
