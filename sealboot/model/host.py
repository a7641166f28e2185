"""Hosts and the inventory, resolved: every default applied, every origin known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from sealboot.model.arch import Arch
from sealboot.model.diagnostic import Location
from sealboot.model.secret import SecretRef
from sealboot.model.verification import Verification

BecomeMethod: TypeAlias = Literal["sudo", "doas", "none"]


@dataclass(frozen=True, slots=True)
class SshSettings:
    """How to reach and log in to a host. `None` means: not said, so ssh_config or the default decides."""

    user: str | None = None
    port: int | None = None
    identity_files: tuple[str, ...] = ()
    jump: tuple[str, ...] = ()  # each: a host of the inventory, an ssh_config alias, or user@host:port
    config: bool = False  # reuse ~/.ssh/config
    password_from: SecretRef | None = None
    passphrase_from: SecretRef | None = None
    host_key_alias: str | None = None
    connect_timeout: float = 15.0  # seconds, per connection, handshake and login included
    legacy_crypto: bool = False  # admit SHA-1 signatures, group14-sha1 and hmac-sha1


@dataclass(frozen=True, slots=True)
class BecomeSettings:
    """How to gain root where the login user is not root."""

    method: BecomeMethod = "sudo"
    user: str = "root"
    password_from: SecretRef | None = None


@dataclass(frozen=True, slots=True)
class Ignore:
    """A finding the operator accepts on this host, and why."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Host:
    """One machine of the inventory, after defaults, groups and overrides.

    `artifacts` maps a slot to the path patterns that override the inventory's
    own; `paths` holds the operator's overrides (`binary`, `data`, `state`);
    `origins` maps a dotted setting (`ssh.port`, `artifacts.k3s`, `` for the
    host itself) to where it was written.
    """

    name: str
    address: str
    role: str
    groups: tuple[str, ...] = ()
    ssh: SshSettings = SshSettings()
    become: BecomeSettings = BecomeSettings()
    arch: Arch | None = None  # an expectation to verify, never a fact
    arm_level: int | None = None  # with arch arm: 5, 6 or 7
    emulation: Literal["refuse", "allow"] = "refuse"
    artifacts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    paths: Mapping[str, str] = field(default_factory=dict)
    vars: Mapping[str, str] = field(default_factory=dict)
    ignore: tuple[Ignore, ...] = ()
    origins: Mapping[str, Location] = field(default_factory=dict)

    def origin(self, setting: str = "") -> Location | None:
        """Where `setting` was written, or the nearest enclosing thing that was."""
        while setting not in self.origins:
            if not setting:
                return None
            setting = setting.rpartition(".")[0]
        return self.origins[setting]


@dataclass(frozen=True, slots=True)
class Inventory:
    """The whole inventory.

    `options` is the driver's own part as a plain tree of text, lists and maps
    (the driver validates it); `origins` maps paths such as `options.phases[2].run`
    and `artifacts.k3s[0]` to where they were written. `base` is the folder that
    relative paths start from: the inventory file's own. `verify` is `None`
    where the operator asks for no checksum.
    """

    source: str
    base: str
    name: str
    driver: str
    release: str | None
    hosts: tuple[Host, ...]
    artifacts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    origins: Mapping[str, Location] = field(default_factory=dict)
    verify: Verification | None = None

    def host(self, name: str) -> Host:
        """The host of that name; raises `KeyError`."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise KeyError(name)

    def by_role(self, *roles: str) -> tuple[Host, ...]:
        """The hosts of these roles, in inventory order."""
        return tuple(host for host in self.hosts if host.role in roles)
