"""From the operator's files to a validated cluster: inventory, driver, options, slots, selected hosts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pydantic import BaseModel

from sealboot.drivers.base import Context, Driver, Slot, UsesSecrets
from sealboot.drivers.options import validate
from sealboot.drivers.registry import load_driver
from sealboot.inventory.load import load_inventory
from sealboot.model.diagnostic import Diagnostic, has_errors
from sealboot.model.host import Host, Inventory
from sealboot.model.names import select
from sealboot.model.plan import Wave
from sealboot.model.secret import SecretRef
from sealboot.workflow.drivers import known_drivers


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything that is known before a host is reached. `diagnostics` are warnings and notes."""

    inventory: Inventory
    driver: Driver
    options: BaseModel
    slots: tuple[Slot, ...]
    selected: tuple[Host, ...]
    diagnostics: tuple[Diagnostic, ...] = ()
    only: tuple[str, ...] = ()

    def waves(self, context: Context) -> tuple[Wave, ...]:
        """The desired state; of it only the waves and parts that `only` names, where it names any.

        A step that comes after one which is left out goes by its own check.
        """
        waves = self.driver.waves(context)
        if not self.only:
            return waves
        kept = [wave for wave in waves if {wave.id, wave.part} & set(self.only)]
        ids = {step.id for wave in kept for step in wave.steps}
        return tuple(
            replace(
                wave,
                steps=tuple(
                    replace(step, only_after=tuple(i for i in step.only_after if i in ids))
                    for step in wave.steps
                ),
            )
            for wave in kept
        )

    @property
    def secrets(self) -> Mapping[str, SecretRef]:
        """The secrets of the operator that the driver's steps use, by their name in the steps."""
        driver = self.driver
        return driver.secrets(self.options) if isinstance(driver, UsesSecrets) else {}


def prepare(
    sources: Sequence[str], *, stdin: bytes | None = None, limit: str | None = None
) -> Prepared | tuple[Diagnostic, ...]:
    """Load and validate the inventory, its driver and the driver's options; or everything wrong with them."""
    inventory, found = load_inventory(sources, stdin=stdin, drivers=known_drivers())
    if inventory is None or has_errors(found):
        return found
    driver = load_driver(inventory.driver)
    if isinstance(driver, Diagnostic):
        return (*found, driver.located(inventory.origins.get("cluster.driver")))
    options = validate(driver, inventory)
    if isinstance(options, tuple):
        return (*found, *options)
    selected: tuple[Host, ...] = inventory.hosts
    if limit is not None:
        names, wrong = select(inventory.hosts, limit)
        if wrong:
            return (*found, *wrong)
        selected = tuple(host for host in inventory.hosts if host.name in names)
    return Prepared(inventory, driver, options, driver.slots(inventory, options), selected, found)
