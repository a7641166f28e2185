"""From inventory files to an `Inventory`, or to everything that is wrong with them at once."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sealboot.inventory.resolve import HostResolver, cluster_findings, written_keys
from sealboot.inventory.roles import DriverRoles
from sealboot.inventory.schema import InventoryPart
from sealboot.inventory.sources import STDIN_NAME, path_of, read_sources
from sealboot.inventory.tree import Entry, Map, places
from sealboot.inventory.validate import validate
from sealboot.inventory.verify import verification, verify_findings
from sealboot.model.diagnostic import Diagnostic, Location, has_errors
from sealboot.model.host import Inventory

__all__ = ["MAXIMUM_FINDINGS", "DriverRoles", "load_inventory"]

#: More are counted, not listed: nobody reads on, and a hostile file makes hundreds of thousands.
MAXIMUM_FINDINGS = 500


def load_inventory(
    sources: Sequence[str], *, stdin: bytes | None = None, drivers: Mapping[str, DriverRoles]
) -> tuple[Inventory | None, tuple[Diagnostic, ...]]:
    """The inventory of these files, and all findings in order of their places.

    `-` is `stdin`. Later files add hosts and groups and override settings; two
    that define one host are an error. Relative paths start from the folder of
    the first file. The inventory is `None` exactly when a finding is an error.
    `drivers` is asked only for the driver that the inventory names. Raises
    nothing for whatever the files hold.
    """
    with _no_collection():
        root, found = read_sources(sources, stdin)
        if root is None:
            return None, found
        inventory, more = _build(root, sources, drivers)
    findings = _in_order([*found, *more])
    return (None if has_errors(findings) else inventory), findings


def _build(
    root: Map, sources: Sequence[str], drivers: Mapping[str, DriverRoles]
) -> tuple[Inventory | None, list[Diagnostic]]:
    written = written_keys(root)
    part, found = validate(root)
    if part is None:
        return None, list(found)
    cut = written - written_keys(root)
    findings = [*found, *cluster_findings(part, root, drivers, cut)]
    driver = part.cluster.driver
    resolver = HostResolver(part, root, drivers.get(driver) if driver else None)
    resolver.resolve()
    findings += resolver.findings
    findings += verify_findings(root)
    files = [path_of(source) for source in sources if source != "-"]
    return Inventory(
        source=", ".join(STDIN_NAME if source == "-" else source for source in sources),
        base=str(Path(files[0]).parent) if files else ".",
        name=part.cluster.name or "",
        driver=driver or "",
        release=part.cluster.release,
        hosts=tuple(resolver.hosts.values()),
        artifacts=MappingProxyType(dict(part.artifacts)),
        options=MappingProxyType(_options(part)),
        origins=MappingProxyType(dict(_origins(root))),
        verify=verification(part, root),
    ), findings


def _options(part: InventoryPart) -> dict[str, Any]:
    """The driver's tree; a key without a value (`key:`, `key: null`) is not there."""
    options = dict(part.options)
    if part.phases is not None:
        options["phases"] = part.phases
    said: dict[str, Any] = _said(options)
    return said


def _said(tree: Any) -> Any:
    """The tree without keys that have no value. A list keeps its length: an item without one is the empty text."""
    if isinstance(tree, dict):
        return {key: _said(value) for key, value in tree.items() if value is not None}
    if isinstance(tree, list):
        return [_said(value) for value in tree]
    return "" if tree is None else tree


def _origins(root: Map) -> Iterator[tuple[str, Location]]:
    """Places of everything but hosts, groups and defaults, whose places the hosts carry."""
    yield "", root.at
    for key in ("version", "cluster", "artifacts", "verify", "options"):
        if key in root.entries:
            yield from places(Map({key: root.entries[key]}, root.at), "")
    if "hosts" in root.entries:
        yield "hosts", root.entries["hosts"].at
    if "phases" in root.entries:
        phases: Entry = root.entries["phases"]
        yield from places(Map({"phases": phases}, root.at), "options")


def _in_order(findings: list[Diagnostic]) -> tuple[Diagnostic, ...]:
    """By place (findings without one first), and no more than anyone reads."""
    nowhere = Location("", 0, 0)
    unique = list(dict.fromkeys(findings))
    unique.sort(key=lambda finding: finding.at or nowhere)
    if len(unique) <= MAXIMUM_FINDINGS:
        return tuple(unique)
    # Errors first, so that the cut never turns an invalid inventory into a valid one.
    unique.sort(key=lambda finding: not has_errors((finding,)))
    rest = Diagnostic(
        "SB005",
        f"{len(unique) - MAXIMUM_FINDINGS} more findings are not listed",
        hints=("correct those above and look again",),
    )
    return (*unique[:MAXIMUM_FINDINGS], rest)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep the cycle collector out: all that is made here lives, and looking at it takes half the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
