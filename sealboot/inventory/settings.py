"""Settings as flat, placed values, and precedence between the levels that say them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from sealboot.inventory.schema import SettingsPart
from sealboot.inventory.tree import List, Map, Node, Scalar, nothing
from sealboot.model.diagnostic import Diagnostic, Location
from sealboot.model.host import BecomeSettings, Ignore, SshSettings
from sealboot.model.secret import SecretRef


class Setting(NamedTuple):
    """One value, where it is written, and where its items are when it is a list."""

    value: Any
    at: Location
    items: tuple[Location, ...] = ()


#: Dotted name (`ssh.port`, `artifacts.k3s`, `ignore.SB304`) to what was said.
Settings: TypeAlias = dict[str, Setting]

_NESTED = ("ssh", "become", "paths")
_NAMED = ("artifacts", "vars")
_PLAIN = ("address", "role", "arch", "emulation", "groups")


def flatten(part: SettingsPart, node: Node | None) -> Settings:
    """What one level says, under dotted names; only what is written, no defaults.

    A key without a value says nothing, so that another level's value holds; a variable without one is empty.
    """
    said: Settings = {}
    if not isinstance(node, Map):
        return said
    for key, (at, child) in node.entries.items():
        if nothing(child):
            continue
        value = getattr(part, key)
        if key in _PLAIN:
            said[key] = Setting(value, child.at if isinstance(child, Scalar) else at, _item_places(child))
        elif key == "ignore":
            for ignore, place in zip(value, _item_places(child), strict=False):
                said[f"ignore.{ignore.code}"] = Setting(Ignore(ignore.code, ignore.reason), place)
        elif isinstance(child, Map):
            for below, (below_at, leaf) in child.entries.items():
                if nothing(leaf) and key != "vars":
                    continue
                inner = value[below] if key in _NAMED else getattr(value, below)
                place = leaf.at if isinstance(leaf, Scalar) else below_at
                said[f"{key}.{below}"] = Setting(inner, place, _item_places(leaf))
    return said


def _item_places(node: Node) -> tuple[Location, ...]:
    return tuple(item.at for item in node.items) if isinstance(node, List) else ()


class Level(NamedTuple):
    """The defaults and groups of some hosts, merged; and the groups' disagreements by setting."""

    settings: Settings
    conflicts: dict[str, tuple[tuple[str, Setting], tuple[str, Setting]]]


def merge_groups(defaults: Settings, groups: Sequence[tuple[str, Settings]]) -> Level:
    """Defaults under groups. Two groups that differ on a setting are a conflict; the first stands meanwhile."""
    merged = dict(defaults)
    owner: dict[str, tuple[str, Setting]] = {}
    conflicts: dict[str, tuple[tuple[str, Setting], tuple[str, Setting]]] = {}
    for name, said in groups:
        for key, setting in said.items():
            first = owner.setdefault(key, (name, setting))
            if first[1].value == setting.value or key.startswith("ignore."):
                merged[key] = first[1]
            else:
                conflicts.setdefault(key, (first, (name, setting)))
    return Level(merged, conflicts)


def conflict(
    hosts: Sequence[str], setting: str, first: tuple[str, Setting], second: tuple[str, Setting]
) -> Diagnostic:
    """SB009: two groups say different things, and the host says nothing."""
    return Diagnostic(
        "SB009",
        f"the groups `{first[0]}` and `{second[0]}` disagree on `{setting}`",
        host=hosts[0],
        also=tuple(hosts[1:]),
        at=second[1].at,
        evidence=tuple((name, f"{shown(said.value)} ({said.at})") for name, said in (first, second)),
        hints=(f"write `{setting}` on the host itself, or make the two groups agree",),
    )


def shown(value: Any) -> str:
    """A value as text, as it could be written; a secret is its reference."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        parts = [shown(part) for part in value if part is not None]
        return ", ".join(parts) if parts else "none"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def origins_of(said: Mapping[str, Setting]) -> Iterator[tuple[str, Location]]:
    """Each dotted name, and each item of a list (`artifacts.k3s[0]`), with its place."""
    for key, setting in said.items():
        yield key, setting.at
        for number, place in enumerate(setting.items):
            yield f"{key}[{number}]", place


_SSH = {
    "ssh.user": "user",
    "ssh.port": "port",
    "ssh.identity_file": "identity_files",
    "ssh.jump": "jump",
    "ssh.config": "config",
    "ssh.password_from": "password_from",
    "ssh.passphrase_from": "passphrase_from",
    "ssh.host_key_alias": "host_key_alias",
    "ssh.connect_timeout": "connect_timeout",
    "ssh.legacy_crypto": "legacy_crypto",
}
#: What a person is asked for: one answer serves all hosts that say `prompt` in the same place.
_ASKED_FOR = {
    "ssh.password_from": "SSH password",
    "ssh.passphrase_from": "Passphrase of the SSH key",
    "become.password_from": "Password for sudo or doas",
}
_BECOME = {f"become.{name}": name for name in ("method", "user", "password_from")}


def ssh_settings(said: Mapping[str, Setting]) -> SshSettings:
    """How to log in, from flat settings."""
    return SshSettings(**_named(said, _SSH))


def become_settings(said: Mapping[str, Setting]) -> BecomeSettings:
    """How to become root, from flat settings."""
    return BecomeSettings(**_named(said, _BECOME))


def _named(said: Mapping[str, Setting], names: Mapping[str, str]) -> dict[str, Any]:
    """Settings under their field names. A secret that is typed is told apart by what it is for."""
    made: dict[str, Any] = {}
    for key, name in names.items():
        if key in said:
            value = said[key].value
            made[name] = SecretRef("prompt", _ASKED_FOR[key]) if value == SecretRef("prompt") else value
    return made


def below(said: Mapping[str, Setting], prefix: str) -> dict[str, Any]:
    """The values whose name begins with `prefix`, without it."""
    return {key[len(prefix) :]: setting.value for key, setting in said.items() if key.startswith(prefix)}
