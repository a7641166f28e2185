"""What drivers add to the JSON schema of inventories: their options, roles and slots, by `cluster.driver`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_DEFS = "#/$defs/"
#: The key at the top of an inventory that stands for the option of the same name.
_PHASES = "phases"


@dataclass(frozen=True, slots=True)
class DriverSchema:
    """One driver: its words for roles (none: any word), its slots with what belongs there, its options.

    `definitions` are what `options` refers to; their names begin with the driver's.
    """

    name: str
    roles: tuple[str, ...]
    slots: Mapping[str, str]
    options: Mapping[str, Any]
    definitions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def extend(schema: dict[str, Any], drivers: Sequence[DriverSchema]) -> None:
    """Let the schema know these drivers: nothing else may be named, and each brings its own rules."""
    if not drivers:
        return
    schema["$defs"]["ClusterPart"]["properties"]["driver"] = {
        "description": "what brings the cluster up",
        "enum": [driver.name for driver in drivers],
    }
    for driver in drivers:
        schema["$defs"] |= driver.definitions
        schema["$defs"][_options_name(driver)] = _options(driver)
    schema["allOf"] = [{"if": _named(driver), "then": _rules(driver)} for driver in drivers]


def _named(driver: DriverSchema) -> dict[str, Any]:
    cluster = {"properties": {"driver": {"const": driver.name}}, "required": ["driver"]}
    return {"properties": {"cluster": cluster}, "required": ["cluster"]}


def _options_name(driver: DriverSchema) -> str:
    return f"{driver.name}.options"


def _has_phases(driver: DriverSchema) -> bool:
    return _PHASES in driver.options.get("properties", {})


def _options(driver: DriverSchema) -> dict[str, Any]:
    """The options; `phases` may stand at the top of the inventory instead, and is asked for there."""
    made = dict(driver.options)
    needed = [name for name in made.pop("required", []) if name != _PHASES]
    return {**made, "required": needed} if needed else made


def _rules(driver: DriverSchema) -> dict[str, Any]:
    """What holds in an inventory of this driver."""
    options = {"$ref": _DEFS + _options_name(driver)}
    rules: dict[str, Any] = {"properties": {"options": options}}
    if _has_phases(driver):
        rules["properties"][_PHASES] = driver.options["properties"][_PHASES]
        in_options = {"properties": {"options": {"required": [_PHASES]}}, "required": ["options"]}
        rules["anyOf"] = [{"required": [_PHASES]}, in_options]
    else:
        rules["properties"][_PHASES] = False
    settings: dict[str, Any] = {}
    if driver.roles:
        settings["role"] = {"enum": list(driver.roles)}
    if driver.slots:
        slots = {name: {"description": about} for name, about in driver.slots.items()}
        rules["properties"]["artifacts"] = settings["artifacts"] = {"properties": slots}
    if settings:
        level = {"properties": settings}
        rules["properties"] |= {
            "defaults": level,
            "groups": {"additionalProperties": level},
            "hosts": {"additionalProperties": level},
        }
    return rules
