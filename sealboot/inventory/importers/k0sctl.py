"""A k0sctl.yaml read as an inventory: `-i k0sctl:k0sctl.yaml`.

What stands there becomes the same tree that an inventory is, each value with the place where it was
written. Everything is either taken over or told by its key (SB021): a warning where the cluster comes up
without it, an error where it would be another cluster, or a host could not be reached.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from sealboot.inventory.importers.k0sctl_documents import Documents, read_documents
from sealboot.inventory.importers.k0sctl_host import HostReading, unknown, wrong
from sealboot.inventory.importers.k0sctl_options import read_options
from sealboot.inventory.importers.nodes import entries, get, made_map, switch, text
from sealboot.inventory.tree import List, Map, Node, Scalar
from sealboot.model.diagnostic import Diagnostic, Severity

#: What a source begins with that is a k0sctl.yaml.
PREFIX = "k0sctl:"
_MAXIMUM_HOSTS = 10_000
_RELEASE = re.compile(r"v?(\d+\.\d+\.\d+(?:-[0-9A-Za-z.]+)?)(\+k0s\.\d+)?", re.ASCII)


def read_k0sctl(data: bytes, file: str) -> tuple[Node | None, tuple[Diagnostic, ...]]:
    """The inventory that a k0sctl.yaml describes, or why there is none; warnings come with the tree.

    SB021 for what is no such file or cannot be taken over; those of `parse` for what is no YAML.
    """
    found = read_documents(data, file)
    if isinstance(found, Diagnostic):
        return None, (found,)
    reading = _Reading(found)
    made = reading.inventory()
    failed = any(d.severity is Severity.ERROR for d in reading.found)
    return (None if failed else made), tuple(reading.found)


class _Reading:
    """One k0sctl.yaml on its way to an inventory; what is wrong gathers in `found`."""

    def __init__(self, read: Documents) -> None:
        self._root, self._config = read.cluster, read.config
        self._options: dict[str, Node] = {}
        self.found: list[Diagnostic] = [*read.found]

    def inventory(self) -> Map:
        """The tree of an inventory, as the loader validates any other."""
        root, at = self._root, self._root.at
        name = get(root, "metadata", "name")
        cluster: dict[str, Node] = {
            "name": name if isinstance(name, Scalar) and name.text else Scalar("k0s-cluster", at),
            "driver": Scalar("k0s", at),
        }
        self._rest(root, "", {"apiVersion", "kind", "metadata", "spec"})
        user = (
            {"user"} if text(root, "metadata", "user") in {"", "admin"} else set()
        )  # `admin` is the default
        self._rest(get(root, "metadata"), "metadata", {"name"} | user)
        self._rest(get(root, "spec"), "spec", {"hosts", "k0s", "options"})
        self._k0s(get(root, "spec", "k0s"), cluster)
        self._options |= read_options(get(root, "spec", "options"), self.found)
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
        for key, entry in entries(node):
            if key not in known:
                self.found.append(unknown(f"{path}.{key}".lstrip("."), entry.at))

    def _k0s(self, node: Node | None, cluster: dict[str, Node]) -> None:
        self._rest(node, "spec.k0s", {"version", "dynamicConfig", "config"})
        version = get(node, "version")
        if version is not None and version != Scalar("", version.at):
            match = _RELEASE.fullmatch(text(version))
            if match:
                cluster["release"] = Scalar(f"v{match[1]}{match[2] or '+k0s.0'}", version.at)
            else:
                self.found.append(
                    wrong(f"`spec.k0s.version`: {text(version)!r} is no release of k0s", version.at)
                )
        dynamic = get(node, "dynamicConfig")
        if dynamic is not None:
            said = switch(dynamic)
            if said is None:
                self.found.append(wrong("`spec.k0s.dynamicConfig` is neither true nor false", dynamic.at))
            self._options["dynamic_config"] = Scalar(str(bool(said)).lower(), dynamic.at)
        if isinstance(self._config, Map):
            self._options["config"] = self._config
        elif self._config is not None:
            self.found.append(wrong("`spec.k0s.config` is no map", self._config.at))

    def _hosts(self) -> Iterator[tuple[str, Node]]:
        listed = get(self._root, "spec", "hosts")
        if not isinstance(listed, List) or not listed.items:
            self.found.append(wrong("it has no hosts", self._root.at, "list them under `spec.hosts`"))
            return
        seen: dict[str, HostReading] = {}
        for number, node in enumerate(listed.items):
            reading = HostReading(node, f"spec.hosts[{number}]")
            host = reading.host()
            self.found += reading.found
            if host is None:
                continue
            name = reading.name
            if name in seen and seen[name].port != reading.port:
                name = f"{name}-{reading.port}"  # one address, forwarded to several machines
            if name in seen or len(seen) >= _MAXIMUM_HOSTS:
                self.found.append(wrong(f"{name} is listed twice", node.at, "list it once"))
                continue
            seen[name] = reading
            yield name, host
        self._shared([reading for reading in seen.values() if not reading.leaves])

    def _shared(self, hosts: list[HostReading]) -> None:
        """What is a host's own for k0sctl and the cluster's here: every host that it concerns must say it."""
        both = [host for host in hosts if host.role == "controller+worker"]
        for host in hosts:
            if host.no_taints and host not in both:
                what = f"`{host.path}.noTaints` is for the role controller+worker alone"
                self.found.append(wrong(what, host.no_taints.at, "k0sctl refuses it, too"))
        if taken := self._agreed("noTaints", {h.path: h.no_taints for h in both}):
            self._options["no_taints"] = taken
        nodes = {h.path: h.kubelet_dir for h in hosts if h.role != "controller" or h.kubelet_dir}
        if taken := self._agreed("kubeletRootDir", nodes):
            self._options["kubelet_root_dir"] = taken
        dynamic = next((host.dynamic for host in hosts if host.dynamic), None)
        if (
            dynamic is not None
        ):  # one controller with the flag is enough for k0sctl (phase/gather_k0s_facts.go)
            self._options["dynamic_config"] = dynamic

    def _agreed(self, key: str, said: dict[str, Scalar | None]) -> Scalar | None:
        """What all of these hosts say; `None` where none of them does, and after a finding."""
        values = [value for value in said.values() if value is not None]
        if not values:
            return None
        first = next(path for path, value in said.items() if value is not None)
        others = [path for path, value in said.items() if value is None or value.text != values[0].text]
        if others:
            what = f"`{first}.{key}` differs between hosts: {others[0]} does not say the same"
            self.found.append(
                wrong(what, values[0].at, "it is one setting of the cluster: say it for all of them")
            )
            return None
        return values[0]
