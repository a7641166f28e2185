"""From what was written to what holds for each host: ranges, precedence, addresses, references."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from sealboot.diagnostics import codes
from sealboot.inventory import hygiene
from sealboot.inventory.fields import Expected
from sealboot.inventory.jumps import check_jumps
from sealboot.inventory.roles import DriverRoles
from sealboot.inventory.schema import InventoryPart
from sealboot.inventory.settings import (
    Level,
    Settings,
    become_settings,
    below,
    conflict,
    flatten,
    merge_groups,
    origins_of,
    ssh_settings,
)
from sealboot.inventory.tree import Entry, Map, Scalar
from sealboot.model.diagnostic import Diagnostic, Location, Severity
from sealboot.model.host import Host
from sealboot.model.names import closest, expand, is_pattern
from sealboot.model.words import agree, plural

#: All hosts together; several patterns could otherwise make any number.
MAXIMUM_HOSTS = 100_000

_SSH_PORT = 22


class HostResolver:
    """Resolves the hosts of one inventory; `hosts` and `findings` grow as it works."""

    def __init__(self, part: InventoryPart, root: Map, roles: DriverRoles | None) -> None:
        self.hosts: dict[str, Host] = {}
        self.findings: list[Diagnostic] = []
        self._part = part
        self._roles = roles
        self._entries = _entries(root, "hosts")
        groups = _entries(root, "groups")
        self._groups = {
            name: flatten(group, groups[name].node) for name, group in part.groups.items() if name in groups
        }
        self._defaults = (
            flatten(part.defaults, root.entries["defaults"].node) if "defaults" in root.entries else {}
        )
        self._levels: dict[tuple[str, ...], Level] = {}
        self._conflicts: dict[tuple[str, Location, Location], tuple[list[str], Any]] = {}
        self._addresses: dict[tuple[str, int, tuple[str, ...]], Host] = {}
        self._checked: set[tuple[str, Location]] = set()

    def resolve(self) -> None:
        """Every host in the order of writing, then what concerns several hosts."""
        for pattern, entry in self._entries.items():
            names = self._names(pattern, entry)
            if names:
                self._pattern(pattern, entry, names)
        for (setting, _, _), (hosts, sides) in self._conflicts.items():
            self.findings.append(conflict(hosts, setting, *sides))
        self.findings += check_jumps(self.hosts)

    def _names(self, pattern: str, entry: Entry) -> tuple[str, ...]:
        try:
            names = expand(pattern)
            for name in (names[0], names[-1]):
                hygiene.host_name(name)
        except hygiene.UnsafeError as error:
            hint = error.hint or "use letters, digits, `.`, `-` and `_`"
            self._find("SB013", f"the host name {pattern!r} {error}", entry.at, hint)
            return ()
        except ValueError as error:
            self._find(
                "SB013",
                f"the host pattern {pattern!r} cannot be expanded: {error}",
                entry.at,
                "see `pi[01-04]`",
            )
            return ()
        if len(self.hosts) + len(names) > MAXIMUM_HOSTS:
            self._find("SB005", f"more than {MAXIMUM_HOSTS} hosts", entry.at, "split the inventory")
            return ()
        return names

    def _pattern(self, pattern: str, entry: Entry, names: tuple[str, ...]) -> None:
        own = flatten(self._part.hosts[pattern], entry.node)
        groups = self._known_groups(own)
        level = self._level(groups)
        said = {**level.settings, **own} if own else level.settings
        self._check_said(said)
        addresses = self._own_addresses(own, names, entry.at)
        shared = self._shared(said, groups, entry.at)
        for name, address in zip(names, addresses, strict=True):
            self._add(Host(name=name, address=address, **shared))
        for setting, sides in level.conflicts.items():
            if setting not in own:
                key = (setting, sides[0][1].at, sides[1][1].at)
                self._conflicts.setdefault(key, ([], sides))[0].extend(names)

    def _known_groups(self, own: Settings) -> tuple[str, ...]:
        said = own.get("groups")
        if said is None:
            return ()
        for number, name in enumerate(said.value):
            if name not in self._groups:
                near = closest(name, self._groups)
                at = said.items[number] if number < len(said.items) else said.at
                hint = (
                    f"did you mean `{near}`?"
                    if near
                    else f"add it under `groups:`, if only as `{name}: {{}}`"
                )
                self._find("SB014", f"there is no group `{name}`", at, hint)
        return tuple(dict.fromkeys(name for name in said.value if name in self._groups))

    def _level(self, groups: tuple[str, ...]) -> Level:
        if groups not in self._levels:
            self._levels[groups] = merge_groups(
                self._defaults, [(name, self._groups[name]) for name in groups]
            )
        return self._levels[groups]

    def _check_said(self, said: Settings) -> None:
        """References to the driver's roles and to codes, each place once."""
        role = said.get("role")
        known = self._roles.roles if self._roles else ()
        if role and known and role.value not in known and self._first("role", role.at):
            near = closest(role.value, known)
            hint = f"did you mean `{near}`?" if near else f"its roles are {', '.join(known)}"
            self._find("SB014", f"the driver knows no role `{role.value}`", role.at, hint)
        for key, setting in said.items():
            if (
                key.startswith("ignore.")
                and self._first(key, setting.at)
                and setting.value.code not in codes()
            ):
                near = closest(setting.value.code, codes())
                hint = f"did you mean `{near}`?" if near else "`sealboot explain` lists the codes"
                self._find("SB017", f"there is no code {setting.value.code}", setting.at, hint)

    def _first(self, what: str, at: Location) -> bool:
        new = (what, at) not in self._checked
        self._checked.add((what, at))
        return new

    def _own_addresses(self, own: Settings, names: tuple[str, ...], at: Location) -> tuple[str, ...]:
        said = own.get("address")
        texts: tuple[str, ...] = names
        if said is not None:
            texts = (said.value,) * len(names)
            if is_pattern(said.value):
                try:
                    texts = expand(said.value)
                except ValueError as error:
                    self._find(
                        "SB013",
                        f"the address pattern cannot be expanded: {error}",
                        said.at,
                        "see `10.0.0.[1-4]`",
                    )
                    return names
            if len(texts) != len(names):
                why = (
                    f"the address pattern means {agree(len(texts), '{} address', '{} addresses')}"
                    f" for {plural(len(names), 'host')}"
                )
                self._find("SB013", why, said.at, "write a range with as many numbers as the names have")
                return names
        place = said.at if said else at
        found: list[str] = []
        for text in texts:
            normal = self._normal(text, place)
            if normal is None:
                return names
            found.append(normal)
        return tuple(found)

    def _normal(self, text: str, at: Location) -> str | None:
        """The address in its one spelling; `None` after a finding, of which one per place is enough."""
        try:
            address = hygiene.address(text)
        except hygiene.UnsafeError as error:
            shown = "the address" if "@" in text else f"the address {text!r}"
            self._find("SB013", f"{shown} {error}", at, error.hint or "write an IP address or a DNS name")
            return None
        if not text.isascii():
            self.findings.append(
                Diagnostic(
                    "SB018",
                    f"the address is {address} to the network",
                    severity=Severity.NOTE,
                    at=at,
                    evidence=(("written", text), ("A-label", address)),
                    hints=(f"write `{address}` if that is what you mean",),
                )
            )
        return address

    def _shared(self, said: Settings, groups: tuple[str, ...], at: Location) -> dict[str, Any]:
        """What all hosts of one entry have in common, everything but name and address."""
        expected: Expected | None = said["arch"].value if "arch" in said else None
        role = said.get("role")
        return {
            "role": role.value if role else self._roles.default if self._roles else "",
            "groups": groups,
            "ssh": ssh_settings(said),
            "become": become_settings(said),
            "arch": expected.arch if expected else None,
            "arm_level": expected.level if expected else None,
            "emulation": said["emulation"].value if "emulation" in said else "refuse",
            "artifacts": MappingProxyType(below(said, "artifacts.")),
            "paths": MappingProxyType(below(said, "paths.")),
            "vars": MappingProxyType(below(said, "vars.")),
            "ignore": tuple(below(said, "ignore.").values()),
            "origins": MappingProxyType({"": at, **dict(origins_of(said))}),
        }

    def _add(self, host: Host) -> None:
        twin = self.hosts.get(host.name)
        if twin is not None:
            self._duplicate(host, twin, f"the host `{host.name}` is defined twice", host.origin())
            return
        self.hosts[host.name] = host
        key = (hygiene.comparable(host.address), host.ssh.port or _SSH_PORT, host.ssh.jump)
        same = self._addresses.setdefault(key, host)
        if same is not host:
            where = f"{host.address} port {key[1]}"
            self._duplicate(
                host, same, f"`{same.name}` and `{host.name}` are both {where}", host.origin("address")
            )

    def _duplicate(self, host: Host, twin: Host, summary: str, at: Location | None) -> None:
        first = twin.origin("address") if twin.name != host.name else twin.origin()
        self.findings.append(
            Diagnostic(
                "SB010",
                summary,
                host=host.name,
                at=at,
                evidence=(("first", str(first)), ("again", str(at))),
                hints=("keep one of them; two ways to one machine would both change it",),
            )
        )

    def _find(self, code: str, summary: str, at: Location | None, hint: str = "") -> None:
        self.findings.append(Diagnostic(code, summary, at=at, hints=(hint,) if hint else ()))


def _entries(root: Map, key: str) -> Mapping[str, Entry]:
    entry = root.entries.get(key)
    return entry.node.entries if entry and isinstance(entry.node, Map) else {}


def cluster_findings(
    part: InventoryPart, root: Map, drivers: Mapping[str, DriverRoles], pruned: frozenset[str]
) -> Iterator[Diagnostic]:
    """What is missing or unknown at the top: version, name, driver, hosts.

    `pruned` are keys that were written and already reported as wrong.
    """
    top = Location(root.at.file, 1)
    cluster = root.entries["cluster"].at if "cluster" in root.entries else top
    # Naming all drivers means loading them all: not for an inventory that names its own.
    choice = "" if part.cluster.driver else f"one of {', '.join(sorted(drivers)) or 'none installed'}"
    wanted = (
        ("version", part.version, top, "begin the file with `version: 1`"),
        ("cluster.name", part.cluster.name, cluster, "add `cluster: {name: lab, driver: …}`"),
        ("cluster.driver", part.cluster.driver, cluster, choice),
        ("hosts", part.hosts or None, top, "add `hosts:` with at least one host"),
    )
    for name, value, at, hint in wanted:
        if value is None and name not in pruned:
            yield Diagnostic("SB008", f"{name} is missing", at=at, hints=(hint,))
    driver = part.cluster.driver
    if driver is not None and driver not in drivers:
        near = closest(driver, drivers)
        hint = f"did you mean `{near}`?" if near else f"there are {', '.join(sorted(drivers))}"
        node = _entries(root, "cluster")["driver"].node
        yield Diagnostic("SB014", f"there is no driver `{driver}`", at=node.at, hints=(hint,))
    yield from _phases_findings(part, root)


def _phases_findings(part: InventoryPart, root: Map) -> Iterator[Diagnostic]:
    if "phases" not in root.entries:
        return
    at = root.entries["phases"].at
    if part.cluster.driver not in {None, "phases"}:
        hint = "delete it, or set `cluster.driver` to `phases`"
        yield Diagnostic("SB006", "`phases` belongs to the driver `phases`", at=at, hints=(hint,))
    if "phases" in part.options:
        yield Diagnostic(
            "SB004",
            "`phases` is also in `options`",
            at=at,
            hints=("keep one of the two; they mean the same",),
        )


def written_keys(root: Map) -> frozenset[str]:
    """The keys of the top and of `cluster` as written: `version`, `cluster.name`, ..."""
    inside = {f"cluster.{key}" for key in _entries(root, "cluster")}
    scalar = "cluster" in root.entries and isinstance(root.entries["cluster"].node, Scalar)
    return frozenset(root.entries) | inside | ({"cluster.name", "cluster.driver"} if scalar else set())
