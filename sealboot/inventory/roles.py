"""What the inventory has to know about a driver: its name and its words for roles."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DriverRoles:
    """The roles a driver knows (none: any word will do), and the one for hosts that name none."""

    roles: tuple[str, ...]
    default: str
