"""The JSON schema of inventories with all that the installed drivers know: their options, roles and slots.

`python -m sealboot.workflow.schema > schemas/inventory.schema.json` writes the one for sealboot's own drivers.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic.errors import PydanticInvalidForJsonSchema

from sealboot.drivers.base import Driver
from sealboot.drivers.options_schema import options_schema
from sealboot.drivers.published import files_of
from sealboot.drivers.registry import driver_names, load_driver, own_driver_names
from sealboot.inventory.schema import json_schema
from sealboot.inventory.schema_drivers import DriverSchema
from sealboot.model.diagnostic import Diagnostic


def inventory_schema(names: Sequence[str] | None = None) -> dict[str, Any]:
    """The schema with these drivers (all that are installed, unless named); a driver that is broken is left out."""
    return json_schema(tuple(_known(driver_names() if names is None else names)))


def _known(names: Sequence[str]) -> Iterator[DriverSchema]:
    for name in names:
        driver = load_driver(name)
        if not isinstance(driver, Diagnostic):
            yield _about(driver)


def _about(driver: Driver) -> DriverSchema:
    try:
        options, definitions = options_schema(driver)
    except PydanticInvalidForJsonSchema:  # a third party's model: its options stay unchecked in the editor
        options, definitions = {"type": "object"}, {}
    slots = {file.slot: file.about for file in files_of(driver)}
    return DriverSchema(driver.name, driver.roles, slots, options, definitions)


def text(names: Sequence[str] | None = None) -> str:
    """The schema as it is written to files."""
    return json.dumps(inventory_schema(names), indent=2) + "\n"


def main() -> None:
    """Write the schema with sealboot's own drivers to standard output."""
    sys.stdout.write(text(own_driver_names()))


if __name__ == "__main__":
    main()
