"""Digests of what a plan was decided from: a host's facts and the resolved inventory.

A digest covers values, not places: moving a line of the inventory changes no
digest, changing what it says does. Secrets never take part, only where they
come from (`env:NAME`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from sealboot.model.facts import Facts
from sealboot.model.host import Inventory
from sealboot.model.secret import SecretRef

#: Where things were written (`origins`, `source`, `base`) and what is only accepted (`ignore`)
#: does not change what an apply does.
_NO_EFFECT = frozenset({"origins", "source", "base", "ignore"})


def facts_fingerprint(facts: Facts) -> str:
    """SHA-256 (hex) of what must not change on a host between a plan and its apply."""
    return digest(facts.fingerprint_fields)


def inventory_digest(inventory: Inventory) -> str:
    """SHA-256 (hex) of everything in the resolved inventory that steers an apply."""
    return digest(inventory)


def digest(value: object) -> str:
    """SHA-256 (hex) of a value's canonical JSON; dataclasses count by their fields' names and values."""
    text = json.dumps(_canonical(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _canonical(value: object) -> Any:
    """The value as nested lists, maps and scalars, in an order that does not depend on hashing."""
    if isinstance(value, SecretRef):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            f.name: _canonical(getattr(value, f.name))
            for f in dataclasses.fields(value)
            if f.name not in _NO_EFFECT
        }
    if isinstance(value, Mapping):
        return {str(key): _canonical(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(json.dumps(_canonical(item), sort_keys=True) for item in value)
    if isinstance(value, (list, tuple)):
        return [_canonical(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"{type(value).__name__} has no canonical form")
