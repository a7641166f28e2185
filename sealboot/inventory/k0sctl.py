"""A k0sctl.yaml read as an inventory: `-i k0sctl:k0sctl.yaml`.

What stands there becomes the same tree that an inventory is, each value with the place where it was
written. Everything is either taken over or told by its key (SB021): a warning where the cluster comes up
without it, an error where it would be another cluster, or a host could not be reached.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from sealboot.inventory.k0sctl_host import HostReading, unknown, wrong
from sealboot.inventory.nodes import documents, get, made_map, text
from sealboot.inventory.tree import List, Map, Node, Scalar, parse
from sealboot.model.diagnostic import Diagnostic, Location, Severity

#: What a source begins with that is a k0sctl.yaml.
PREFIX = "k0sctl:"
_API = "k0sctl.k0sproject.io/"
_MAXIMUM_HOSTS = 10_000
_DURATION = re.compile(r"(?:(\d{1,4})h)?(?:(\d{1,6})m)?(?:(\d{1,7})s)?", re.ASCII)
_RELEASE = re.compile(r"v?(\d+\.\d+\.\d+(?:-[0-9A-Za-z.]+)?)(\+k0s\.\d+)?", re.ASCII)

#: Below `spec.options.drain`: our name, and how the value is read.
_DRAIN = {
    "enabled": "enabled",
    "force": "force",
    "deleteEmptyDirData": "delete_emptydir_data",
    "podSelector": "pod_selector",
    "gracePeriod": "grace_period",
    "timeout": "timeout",
    "skipWaitForDeleteTimeout": "skip_wait_for_delete_timeout",
}
_DURATIONS = frozenset({"gracePeriod", "timeout", "skipWaitForDeleteTimeout"})


def read_k0sctl(data: bytes, file: str) -> tuple[Node | None, tuple[Diagnostic, ...]]:
    """The inventory that a k0sctl.yaml describes, or why there is none; warnings come with the tree.

    SB021 for what is no such file or cannot be taken over; those of `parse` for what is no YAML.
    """
    if b"${" in data:
        at = Location(file, data[: data.index(b"${")].count(b"\n") + 1)
        return None, (wrong("it has variables", at, "fill them in first: `envsubst <k0sctl.yaml`"),)
    roots: list[Map] = []
    for document in documents(data):
        root = parse(document, file)
        if isinstance(root, Diagnostic):
            return None, (root,)
        if isinstance(root, Map):
            roots.append(root)
    first = next((root for root in roots if text(root, "apiVersion").startswith(_API)), None)
    if first is None or text(first, "kind") != "Cluster":
        hint = f"it must have `apiVersion: {_API}v1beta1` and `kind: Cluster`"
        return None, (wrong("it is no k0sctl.yaml", Location(file, 1), hint),)
    reading = _Reading(first, tuple(root for root in roots if root is not first))
    made = reading.inventory()
    failed = any(d.severity is Severity.ERROR for d in reading.found)
    return (None if failed else made), tuple(reading.found)


class _Reading:
    """One k0sctl.yaml on its way to an inventory; what is wrong gathers in `found`."""

    def __init__(self, root: Map, more: tuple[Map, ...]) -> None:
        self._root, self._more = root, more
        self._options: dict[str, Node] = {}
        self.found: list[Diagnostic] = []

    def inventory(self) -> Map:
        """The tree of an inventory, as the loader validates any other."""
        root, at = self._root, self._root.at
        name = get(root, "metadata", "name")
        cluster: dict[str, Node] = {
            "name": name if isinstance(name, Scalar) and name.text else Scalar("k0s-cluster", at),
            "driver": Scalar("k0s", at),
        }
        self._rest(root, "", {"apiVersion", "kind", "metadata", "spec"})
        self._rest(get(root, "metadata"), "metadata", {"name"})
        self._rest(get(root, "spec"), "spec", {"hosts", "k0s", "options"})
        self._k0s(get(root, "spec", "k0s"), cluster)
        self._settings(get(root, "spec", "options"))
        hosts = dict(self._hosts())
        made: dict[str, Node] = {
            "version": Scalar("1", at),
            "cluster": made_map(at, cluster),
            "hosts": made_map(at, hosts),
        }
        if self._options:
            made["options"] = made_map(at, self._options)
        return made_map(at, made)

    def _rest(self, node: Node | None, path: str, known: set[str]) -> None:
        """Each key that nobody here understands is told."""
        if isinstance(node, Map):
            for key, entry in node.entries.items():
                if key not in known:
                    self.found.append(unknown(f"{path}.{key}".lstrip("."), entry.at))

    def _k0s(self, node: Node | None, cluster: dict[str, Node]) -> None:
        self._rest(node, "spec.k0s", {"version", "dynamicConfig", "config"})
        version = get(node, "version")
        if isinstance(version, Scalar) and version.text:
            match = _RELEASE.fullmatch(version.text)
            if match:
                cluster["release"] = Scalar(f"v{match[1]}{match[2] or '+k0s.0'}", version.at)
            else:
                self.found.append(
                    wrong(f"`spec.k0s.version`: {version.text!r} is no release of k0s", version.at)
                )
        dynamic = get(node, "dynamicConfig")
        if isinstance(dynamic, Scalar):
            self._options["dynamic_config"] = dynamic
        config = get(node, "config")
        for other in self._more:
            if text(other, "kind") == "ClusterConfig" and config is None:
                config = other
                continue
            kind = text(other, "kind") or "document"
            hint = (
                "merge the two into one"
                if kind == "ClusterConfig"
                else "apply it when the cluster is up: `kubectl apply -f`"
            )
            self.found.append(wrong(f"the {kind} behind it is not taken over", other.at, hint, warning=True))
        if isinstance(config, Map):
            self._options["config"] = config

    def _settings(self, node: Node | None) -> None:
        self._rest(node, "spec.options", {"drain", "concurrency"})
        concurrency = get(node, "concurrency")
        percent = get(concurrency, "workerDisruptionPercent")
        if isinstance(percent, Scalar):
            self._options["batch"] = Scalar(f"{percent.text.removesuffix('%')}%", percent.at)
        self._rest(concurrency, "spec.options.concurrency", {"workerDisruptionPercent"})
        drain = get(node, "drain")
        if not isinstance(drain, Map):
            return
        made: dict[str, Node] = {}
        for key, entry in drain.entries.items():
            value = entry.node
            if key not in _DRAIN or not isinstance(value, Scalar):
                if key != "ignoreDaemonSets" or text(drain, key) != "true":
                    self.found.append(unknown(f"spec.options.drain.{key}", entry.at))
                continue
            seconds = _seconds(value.text) if key in _DURATIONS else value.text
            made[_DRAIN[key]] = Scalar(seconds, value.at)
        self._options["drain"] = made_map(drain.at, made)

    def _hosts(self) -> Iterator[tuple[str, Node]]:
        listed = get(self._root, "spec", "hosts")
        if not isinstance(listed, List) or not listed.items:
            self.found.append(wrong("it has no hosts", self._root.at, "list them under `spec.hosts`"))
            return
        seen: set[str] = set()
        shared: dict[str, str] = {}
        for number, node in enumerate(listed.items):
            reading = HostReading(node, f"spec.hosts[{number}]")
            host = reading.host()
            self.found += reading.found
            if host is None:
                continue
            name = reading.name
            if name in seen or len(seen) >= _MAXIMUM_HOSTS:
                self.found.append(wrong(f"{name} is listed twice", node.at, "list it once"))
                continue
            seen.add(name)
            self._shared(reading, shared)
            yield name, host

    def _shared(self, reading: HostReading, seen: dict[str, str]) -> None:
        """What is a host's own for k0sctl and the cluster's here: all hosts that say it must agree."""
        for option, (key, value) in reading.shared.items():
            if seen.setdefault(option, value.text) != value.text:
                self.found.append(
                    wrong(
                        f"`{key}` differs between hosts",
                        value.at,
                        f"it is one setting of the cluster: `options: {{{option}: …}}`",
                    )
                )
            self._options.setdefault(option, value)


def _seconds(written: str) -> str:
    """A duration of Go's as a number of seconds; what is none stays as it is, for the driver to refuse."""
    match = _DURATION.fullmatch(written)
    if not written or match is None:
        return written
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return str(hours * 3600 + minutes * 60 + seconds)
