"""A Sealos Clusterfile read as an inventory: `-i sealos:Clusterfile`.

Only its first document, the `Cluster`, says which hosts there are; what stands
there becomes the same tree that an inventory is, each value with the place
where it was written, so that every later finding points into the Clusterfile.
What a Clusterfile claims about architectures is an expectation to verify. As
for Sealos, an address without a port is reached on port 22, whatever `spec.ssh`
says; other than for Sealos, a host's own settings are matched exactly, and a
password in the file is not used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address

from sealboot.inventory.nodes import documents, get, made_map, scalars, text
from sealboot.inventory.tree import Entry, List, Map, Node, Scalar, parse
from sealboot.model.arch import arch_from_text
from sealboot.model.diagnostic import Diagnostic, Location, Severity

#: What a source begins with that is a Clusterfile.
PREFIX = "sealos:"
_ROLES = ("master", "node", "registry")
_RELEASE = re.compile(r"kubernetes[^:/]*:(v[0-9]+\.[0-9]+\.[0-9]+)(?:-[a-z0-9]+)?")
_MAXIMUM_HOSTS = 10_000
_SECRETS = ("passwd", "pkPasswd", "pkData")


def read_clusterfile(data: bytes, file: str) -> tuple[Node | None, tuple[Diagnostic, ...]]:
    """The inventory that a Clusterfile describes, or why there is none; warnings come with the tree.

    SB020 for what is no Clusterfile or cannot be taken over; those of `parse`
    for what is no YAML.
    """
    if b"{{" in data:
        at = Location(file, data[: data.index(b"{{")].count(b"\n") + 1)
        return None, (_wrong("it is a template", at, "render it first: `sealos` fills in `.Values` itself"),)
    root = parse(next(documents(data), b""), file)
    if isinstance(root, Diagnostic):
        return None, (root,)
    if not isinstance(root, Map) or text(root, "kind") != "Cluster":
        hint = "its first document must have `kind: Cluster`"
        return None, (_wrong("it is no Clusterfile", root.at, hint),)
    reading = _Reading(root)
    made = reading.inventory()
    return (None if any(d.severity is Severity.ERROR for d in reading.found) else made), tuple(reading.found)


def _wrong(what: str, at: Location, *hints: str, severity: Severity = Severity.ERROR) -> Diagnostic:
    return Diagnostic("SB020", f"the Clusterfile: {what}", severity, at=at, hints=hints)


class _Reading:
    """One Clusterfile on its way to an inventory; what is wrong gathers in `found`."""

    def __init__(self, root: Map) -> None:
        self._root = root
        self.found: list[Diagnostic] = []

    def inventory(self) -> Map:
        """The tree of an inventory, as the loader validates any other."""
        root, at = self._root, self._root.at
        name = get(root, "metadata", "name")
        cluster: dict[str, Node] = {
            "name": name if isinstance(name, Scalar) else Scalar("default", at),
            "driver": Scalar("sealos", at),
        }
        for image in scalars(root, "spec", "image"):
            match = _RELEASE.search(image.text)
            if match and "release" not in cluster:
                cluster["release"] = Scalar(match[1], image.at)
        made: dict[str, Node] = {
            "version": Scalar("1", at),
            "cluster": made_map(at, cluster),
            "artifacts": made_map(at, {"rootfs": List([Scalar("rootfs/*", at)], at)}),
            "hosts": made_map(at, dict(self._hosts())),
        }
        env = self._variables(scalars(root, "spec", "env"))
        if env:
            made["options"] = made_map(at, {"env": made_map(at, env)})
        ssh = self._ssh(get(root, "spec", "ssh"))
        if ssh:
            made["defaults"] = made_map(at, {"ssh": made_map(at, ssh)})
        return made_map(at, made)

    def _ssh(self, node: Node | None) -> dict[str, Node]:
        """User and key file; a port is each host's own."""
        for name in _SECRETS:
            secret = get(node, name)
            if isinstance(secret, Scalar) and secret.text:
                hint = (
                    "say where it is to be had in a second file: `defaults: {ssh: {password_from: prompt}}`"
                )
                self.found.append(
                    _wrong(f"`{name}` is not taken over", secret.at, hint, severity=Severity.WARNING)
                )
        user, key = get(node, "user"), get(node, "pk")
        made: dict[str, Node] = {}
        if isinstance(user, Scalar) and user.text:
            made["user"] = user
        if isinstance(key, Scalar) and key.text:
            made["identity_file"] = key
        return made

    def _variables(self, items: list[Scalar]) -> dict[str, Node]:
        made: dict[str, Node] = {}
        for item in items:
            name, equals, value = item.text.partition("=")
            if not equals:
                self.found.append(_wrong(f"{item.text!r} is no variable", item.at, "write `NAME=value`"))
                continue
            made[name] = Scalar(value, item.at)
        return made

    def _hosts(self) -> Iterator[tuple[str, Node]]:
        groups = get(self._root, "spec", "hosts")
        if not isinstance(groups, List) or not groups.items:
            self.found.append(_wrong("it has no hosts", self._root.at, "list them under `spec.hosts`"))
            return
        seen: set[str] = set()
        for group in groups.items:
            shared = self._shared(group)
            addresses = scalars(group, "ips")
            if not addresses:
                self.found.append(_wrong("an entry of `hosts` has no `ips`", group.at, "list its addresses"))
            for address in addresses:
                host = self._host(address, shared)
                if host is None:
                    continue
                name, node = host
                if name in seen or len(seen) >= _MAXIMUM_HOSTS:
                    self.found.append(_wrong(f"{address.text} is listed twice", address.at, "list it once"))
                    continue
                seen.add(name)
                yield name, node

    def _shared(self, group: Node) -> dict[str, Node]:
        """What all addresses of one entry have in common: role, architecture, login, variables."""
        made: dict[str, Node] = {}
        for word in scalars(group, "roles"):
            arch = arch_from_text(word.text)
            if word.text in _ROLES:
                made.setdefault("role", word)
            elif arch is not None:
                made["arch"] = Scalar(arch.value, word.at)
            else:
                hint = f"roles are {', '.join(_ROLES)}, and an architecture"
                self.found.append(_wrong(f"{word.text!r} is no role", word.at, hint))
        if "role" not in made:
            self.found.append(_wrong("hosts without a role", group.at, "add `master`, `node` or `registry`"))
        ssh = self._ssh(get(group, "ssh"))
        port = get(group, "ssh", "port")
        if isinstance(port, Scalar) and port.text:
            ssh["port"] = port
        made["ssh"] = made_map(group.at, ssh)
        env = self._variables(scalars(group, "env"))
        if env:
            made["vars"] = made_map(group.at, {f"env_{name}": value for name, value in env.items()})
        return made

    def _host(self, written: Scalar, shared: dict[str, Node]) -> tuple[str, Node] | None:
        address, colon, port = written.text.partition(":")
        try:
            ip_address(address)
        except ValueError:
            hint = "Sealos takes IPv4 addresses, with or without a port"
            self.found.append(_wrong(f"{written.text!r} is no address", written.at, hint))
            return None
        ssh = shared["ssh"]
        entries = dict(ssh.entries) if isinstance(ssh, Map) else {}
        if colon or "port" not in entries:
            entries["port"] = Entry(written.at, Scalar(port if colon else "22", written.at))
        node = made_map(written.at, {**shared, "address": Scalar(address, written.at)})
        node.entries["ssh"] = Entry(written.at, Map(entries, written.at))
        role = shared.get("role")
        prefix = role.text if isinstance(role, Scalar) else "host"
        return f"{prefix}-{address.replace('.', '-')}", node
