"""`spec.options` of a k0sctl.yaml: how nodes are drained, and how many are changed at once.

What k0sctl has as its default (v0.32.2, pkg/apis/k0sctl.k0sproject.io/v1beta1/cluster/options.go) is the same as
not saying it, and is what `k0sctl init` writes: nothing is told of it.
"""

from __future__ import annotations

import re
from typing import Final

from sealboot.inventory.importers.k0sctl_host import unknown, wrong
from sealboot.inventory.importers.nodes import entries, get, made_map, switch, text
from sealboot.inventory.tree import Map, Node, Scalar
from sealboot.model.diagnostic import Diagnostic

#: A duration of Go's (time.ParseDuration); a number without a unit is one of nanoseconds there.
_DURATION = re.compile(r"(?=.)(?:(\d{1,4})h)?(?:(\d{1,6})m)?(?:(\d{1,7})s)?", re.ASCII)

#: Below `drain`: our name of each.
_SWITCHES: Final = {
    "enabled": "enabled",
    "force": "force",
    "deleteEmptyDirData": "delete_emptydir_data",
}
_DURATIONS: Final = {
    "gracePeriod": "grace_period",
    "timeout": "timeout",
    "skipWaitForDeleteTimeout": "skip_wait_for_delete_timeout",
}
#: Below `concurrency`: how k0sctl itself works.
_DEFAULTS: Final = {"limit": "30", "uploads": "5"}


def read_options(node: Node | None, found: list[Diagnostic]) -> dict[str, Node]:
    """The options of the driver that they are; what is not taken over is told in `found`."""
    made: dict[str, Node] = {}
    for key, entry in entries(node):
        match key:
            case "drain":
                made["drain"] = _drain(entry.node, found)
            case "concurrency":
                made |= _concurrency(entry.node, found)
            case "wait" if switch(get(entry.node, "enabled")) is not False:
                pass  # whether a node is ready is always waited for
            case "evictTaint" if not switch(get(entry.node, "enabled")):
                pass
            case _:
                found.append(unknown(f"spec.options.{key}", entry.at))
    return made


def _concurrency(node: Node, found: list[Diagnostic]) -> dict[str, Node]:
    made: dict[str, Node] = {}
    for key, entry in entries(node):
        if key == "workerDisruptionPercent" and isinstance(entry.node, Scalar):
            made["batch"] = Scalar(f"{entry.node.text.removesuffix('%')}%", entry.node.at)
        elif key not in _DEFAULTS or text(entry.node) != _DEFAULTS[key]:
            found.append(unknown(f"spec.options.concurrency.{key}", entry.at))
    return made


def _drain(node: Node, found: list[Diagnostic]) -> Map:
    made: dict[str, Node] = {}
    for key, entry in entries(node):
        path, said = f"spec.options.drain.{key}", switch(entry.node)
        if key in _SWITCHES or key == "ignoreDaemonSets":
            if said is None:
                found.append(wrong(f"`{path}` is neither true nor false", entry.at))
            elif key in _SWITCHES:
                made[_SWITCHES[key]] = Scalar(str(said).lower(), entry.node.at)
            elif not said:
                found.append(unknown(path, entry.at))
        elif key in _DURATIONS:
            seconds = _seconds(text(entry.node))
            if seconds is None:
                hint = "write hours, minutes and whole seconds: `1h30m`, `120s`"
                found.append(wrong(f"`{path}` is no duration that can be taken over", entry.at, hint))
            else:
                made[_DURATIONS[key]] = Scalar(seconds, entry.node.at)
        elif key == "podSelector" and isinstance(entry.node, Scalar):
            if entry.node.text:  # the empty one, which `k0sctl init` writes, selects all
                made["pod_selector"] = entry.node
        else:
            found.append(unknown(path, entry.at))
    return made_map(node.at, made)


def _seconds(written: str) -> str | None:
    """A duration of Go's as a number of seconds; `None` for what is none, or not a whole number of them."""
    match = _DURATION.fullmatch(written)
    if match is None:
        return "0" if written == "0" else None
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return str(hours * 3600 + minutes * 60 + seconds)
