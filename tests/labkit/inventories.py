"""Writes sealboot inventories for lab machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from labkit.machines import Node


def document(
    machines: Sequence[Node],
    *,
    driver: str = "phases",
    name: str = "lab",
    release: str | None = None,
    role: str | Mapping[str, str] = "node",
    artifacts: Mapping[str, Sequence[str]] | None = None,
    hosts: Mapping[str, Mapping[str, Any]] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """An inventory as a tree.

    `role` is one role for all or a role by node name; `hosts` adds settings by
    node name; `extra` adds top-level keys (the driver's own part).
    """
    cluster: dict[str, Any] = {"name": name, "driver": driver}
    if release:
        cluster["release"] = release
    rows: dict[str, Any] = {}
    for node in machines:
        row: dict[str, Any] = {
            "address": node.address,
            "role": role if isinstance(role, str) else role[node.name],
            "ssh": {"user": node.user, "port": str(node.port), "identity_file": str(node.key_file)},
        }
        row |= (hosts or {}).get(node.name, {})
        rows[node.name] = row
    tree: dict[str, Any] = {"version": 1, "cluster": cluster}
    if artifacts:
        tree["artifacts"] = {slot: list(patterns) for slot, patterns in artifacts.items()}
    return tree | dict(extra or {}) | {"hosts": rows}


def write(path: Path, machines: Sequence[Node], **settings: Any) -> Path:
    """Write `document(machines, **settings)` as YAML without aliases; returns `path`."""
    dumper = type("_Dumper", (yaml.SafeDumper,), {"ignore_aliases": lambda _self, _data: True})
    path.write_text(yaml.dump(document(machines, **settings), Dumper=dumper, sort_keys=False))
    return path
