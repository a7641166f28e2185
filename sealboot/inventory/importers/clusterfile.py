"""A Sealos Clusterfile read as an inventory: `-i sealos:Clusterfile`.

Its `Cluster` says which hosts there are; what stands there becomes the same
tree that an inventory is, each value with the place where it was written, so
that every later finding points into the Clusterfile. What a Clusterfile claims
about architectures is an expectation to verify. The rules are those of Sealos
(commit beea1e5): an address without a port is reached on port 22, whatever
`spec.ssh` says (lifecycle/pkg/utils/iputils/iputils_v2.go), the user is root
unless one is named (`NewOption` in lifecycle/pkg/ssh/option.go), and the first
host whose roles have `registry` serves it, else the first master
(`GetRegistryIPAndPortList` in lifecycle/pkg/types/v1beta1/utils.go). Other than
for Sealos, a host's own settings are matched exactly, and a password in the
file is not used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import ip_address

from sealboot.inventory.importers.clusterfile_documents import read_documents, read_images, wrong
from sealboot.inventory.importers.nodes import (
    Document,
    entries,
    get,
    made_map,
    parse_documents,
    scalars,
    text,
)
from sealboot.inventory.tree import Entry, List, Map, Node, Scalar, as_utf8
from sealboot.model.arch import arch_from_text
from sealboot.model.diagnostic import Diagnostic, Location, Severity

#: What a source begins with that is a Clusterfile.
PREFIX = "sealos:"
_API = "apps.sealos.io/v1beta1"
_ROLES = ("master", "node", "registry")
_MAXIMUM_HOSTS = 10_000
_SECRETS = ("passwd", "pkPasswd", "pkData")


def read_clusterfile(data: bytes, file: str) -> tuple[Node | None, tuple[Diagnostic, ...]]:
    """The inventory that a Clusterfile describes, or why there is none; warnings come with the tree.

    SB020 for what is no Clusterfile or cannot be taken over; those of `parse`
    for what is no YAML.
    """
    data = as_utf8(data)
    if b"{{" in data:
        at = Location(file, data[: data.index(b"{{")].count(b"\n") + 1)
        return None, (wrong("it is a template", at, "render it first: `sealos` fills in `.Values` itself"),)
    written = parse_documents(data, file)
    if isinstance(written, Diagnostic):
        return None, (written,)
    clusters = [document.root for document in written if text(document.root, "kind") == "Cluster"]
    if not clusters:
        at = written[0].root.at if written else Location(file, 1)
        return None, (wrong("it is no Clusterfile", at, "a document must have `kind: Cluster`"),)
    if len(clusters) > 1:
        return None, (wrong("it has two clusters", clusters[1].at, "give each a file of its own"),)
    if text(clusters[0], "apiVersion") != _API:
        said = get(clusters[0], "apiVersion")
        why = f"its `apiVersion` is {text(said)!r}, not {_API}"
        at = said.at if said else clusters[0].at
        return None, (wrong(why, at, "Sealer's files and those of older releases mean other things"),)
    reading = _Reading(clusters[0], [document for document in written if document.root is not clusters[0]])
    made = reading.inventory()
    return (None if any(d.severity is Severity.ERROR for d in reading.found) else made), tuple(reading.found)


class _Reading:
    """One Clusterfile on its way to an inventory; what is wrong gathers in `found`."""

    def __init__(self, root: Map, more: Sequence[Document]) -> None:
        self._root, self._more = root, more
        self._registry = ""
        self.found: list[Diagnostic] = []

    def inventory(self) -> Map:
        """The tree of an inventory, as the loader validates any other."""
        root, at = self._root, self._root.at
        self._rest(root, "", {"apiVersion", "kind", "metadata", "spec", "status"})
        self._rest(get(root, "spec"), "spec", {"image", "ssh", "hosts", "env"})
        name = get(root, "metadata", "name")
        cluster: dict[str, Node] = {
            "name": name if isinstance(name, Scalar) else Scalar("default", at),
            "driver": Scalar("sealos", at),
        }
        release = read_images(self._texts(root, "spec.image"), self.found)
        if release is not None:
            cluster["release"] = release
        made: dict[str, Node] = {
            "version": Scalar("1", at),
            "cluster": made_map(at, cluster),
            "artifacts": made_map(at, {"rootfs": List([Scalar("rootfs/*", at)], at)}),
            "hosts": made_map(at, dict(self._hosts())),
        }
        options = read_documents(self._more, self.found)
        env = self._variables(self._texts(root, "spec.env"))
        if env:
            options["env"] = made_map(at, env)
        if self._registry:
            options["registry_host"] = Scalar(self._registry, at)
        if options:
            made["options"] = made_map(at, options)
        port = get(root, "spec", "ssh", "port")
        if port is not None and text(port) != "22":
            hint = "Sealos does not use it either: write the port behind the addresses"
            self.found.append(wrong("`spec.ssh.port` is not taken over", port.at, hint, warning=True))
        ssh = {"user": Scalar("root", at), **self._ssh(get(root, "spec", "ssh"), "spec.ssh")}
        made["defaults"] = made_map(at, {"ssh": made_map(at, ssh)})
        return made_map(at, made)

    def _rest(self, node: Node | None, path: str, known: set[str]) -> None:
        """Each key that nobody here understands is told."""
        for key, entry in entries(node):
            if key not in known:
                shown = f"{path}.{key}".lstrip(".")
                self.found.append(wrong(f"`{shown}` is not taken over", entry.at, warning=True))

    def _texts(self, node: Node | None, path: str, below: str = "") -> list[Scalar]:
        """The texts of the list at a dotted path; `below` is where that path begins."""
        said = get(node, *path.split("."))
        texts = scalars(said)
        if said is not None and (not isinstance(said, List) or len(texts) != len(said.items)):
            self.found.append(wrong(f"`{below}{path}` is no list of texts", said.at))
        return texts

    def _ssh(self, node: Node | None, path: str) -> dict[str, Node]:
        """User and key file; a port is each host's own."""
        if node is not None and not isinstance(node, Map):
            self.found.append(wrong(f"`{path}` is no map of settings", node.at))
        self._rest(node, path, {"user", "pk", "pkName", "port", *_SECRETS})
        for name in _SECRETS:
            secret = get(node, name)
            if isinstance(secret, Scalar) and secret.text:
                hint = (
                    "say where it is to be had in a second file: `defaults: {ssh: {password_from: prompt}}`"
                )
                self.found.append(wrong(f"`{name}` is not taken over", secret.at, hint, warning=True))
        made: dict[str, Node] = {}
        for name, ours in (("user", "user"), ("pk", "identity_file")):
            value = get(node, name)
            if isinstance(value, Scalar) and value.text:
                made[ours] = value
            elif isinstance(value, Map | List):
                self.found.append(wrong(f"`{path}.{name}` is no text", value.at))
        return made

    def _variables(self, items: list[Scalar]) -> dict[str, Node]:
        made: dict[str, Node] = {}
        for item in items:
            name, equals, value = item.text.partition("=")
            if not equals:
                self.found.append(wrong(f"{item.text!r} is no variable", item.at, "write `NAME=value`"))
                continue
            if name in made:
                self.found.append(wrong(f"`{name}` stands here twice", item.at, "say it once"))
            made[name] = Scalar(value, item.at)
        return made

    def _hosts(self) -> Iterator[tuple[str, Node]]:
        groups = get(self._root, "spec", "hosts")
        if not isinstance(groups, List) or not groups.items:
            self.found.append(wrong("it has no hosts", self._root.at, "list them under `spec.hosts`"))
            return
        seen: set[str] = set()
        serving: Scalar | None = None
        for number, group in enumerate(groups.items):
            shared = self._shared(group, f"spec.hosts[{number}]")
            addresses = self._texts(group, "ips", f"spec.hosts[{number}].")
            if not addresses:
                self.found.append(wrong("an entry of `hosts` has no `ips`", group.at, "list its addresses"))
            serves = next((word for word in scalars(group, "roles") if word.text == "registry"), None)
            for address in addresses:
                host = self._host(address, shared)
                if host is None:
                    continue
                name, node = host
                if name in seen or len(seen) >= _MAXIMUM_HOSTS:
                    self.found.append(wrong(f"{address.text} is listed twice", address.at, "list it once"))
                    continue
                seen.add(name)
                if serves is not None and serving is None:
                    serving = serves
                    self._registry = "" if text(node, "role") == "registry" else name
                elif serves is not None:
                    what = f"{address.text} does not serve the registry, the first host with this role does"
                    self.found.append(wrong(what, serves.at, warning=True))
                yield name, node

    def _shared(self, group: Node, path: str) -> dict[str, Node]:
        """What all addresses of one entry have in common: role, architecture, login, variables.

        A registry may be on a master or a node: its role is what it is in Kubernetes.
        """
        self._rest(group, path, {"ips", "roles", "env", "ssh"})
        made: dict[str, Node] = {}
        said: dict[str, Scalar] = {}
        for word in self._texts(group, "roles", f"{path}."):
            arch = arch_from_text(word.text)
            if word.text in _ROLES:
                said[word.text] = word
            elif arch is not None:
                made["arch"] = Scalar(arch.value, word.at)
            else:
                hint = f"roles are {', '.join(_ROLES)}, and an architecture"
                self.found.append(wrong(f"{word.text!r} is no role", word.at, hint))
        role = next((said[role] for role in _ROLES if role in said), None)
        if role is not None:
            made["role"] = role
        else:
            self.found.append(wrong("hosts without a role", group.at, "add `master`, `node` or `registry`"))
        if "master" in said and "node" in said:
            self.found.append(
                wrong("a host is master or node, not both", said["node"].at, "keep one of them")
            )
        ssh = self._ssh(get(group, "ssh"), f"{path}.ssh")
        port = get(group, "ssh", "port")
        if isinstance(port, Scalar) and port.text:
            ssh["port"] = port
        made["ssh"] = made_map(group.at, ssh)
        env = self._variables(self._texts(group, "env", f"{path}."))
        if env:
            made["vars"] = made_map(group.at, {f"env_{name}": value for name, value in env.items()})
        return made

    def _host(self, written: Scalar, shared: dict[str, Node]) -> tuple[str, Node] | None:
        address, colon, port = written.text.partition(":")
        try:
            ip_address(address)
        except ValueError:
            hint = "Sealos takes IPv4 addresses, with or without a port"
            self.found.append(wrong(f"{written.text!r} is no address", written.at, hint))
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
