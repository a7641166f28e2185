"""The resolved view: every setting of every host, as text, with the place that decided it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sealboot.inventory.settings import shown
from sealboot.model.diagnostic import Location
from sealboot.model.host import Host, Inventory
from sealboot.model.verification import Verification


@dataclass(frozen=True, slots=True)
class ViewRow:
    """One setting of one host. `origin` is `None` for a default of sealboot or of the driver."""

    host: str
    setting: str
    value: str
    origin: Location | None


def resolved_view(inventory: Inventory) -> tuple[ViewRow, ...]:
    """All rows in inventory order; secrets appear as their references."""
    return tuple(
        ViewRow(host.name, setting, value, _origin(inventory, host, setting))
        for host in inventory.hosts
        for setting, value in _settings(host, inventory)
    )


def _settings(host: Host, inventory: Inventory) -> Iterator[tuple[str, str]]:
    yield "address", host.address
    yield "role", host.role
    if host.groups:
        yield "groups", shown(host.groups)
    yield from _login(host)
    if host.arch:
        yield "arch", f"{host.arch}/v{host.arm_level}" if host.arm_level else str(host.arch)
    yield "emulation", host.emulation
    for slot, patterns in {**inventory.artifacts, **host.artifacts}.items():
        yield f"artifacts.{slot}", shown(patterns)
    yield from _verify(inventory.verify)
    for name, path in host.paths.items():
        yield f"paths.{name}", path
    for name, value in host.vars.items():
        yield f"vars.{name}", value
    for ignore in host.ignore:
        yield f"ignore.{ignore.code}", ignore.reason


def _login(host: Host) -> Iterator[tuple[str, str]]:
    ssh, become = host.ssh, host.become
    said = (
        ("ssh.user", ssh.user),
        ("ssh.port", ssh.port),
        ("ssh.identity_file", ssh.identity_files or None),
        ("ssh.jump", ssh.jump if ssh.jump or "ssh.jump" in host.origins else None),
        ("ssh.config", ssh.config),
        ("ssh.password_from", ssh.password_from),
        ("ssh.passphrase_from", ssh.passphrase_from),
        ("ssh.host_key_alias", ssh.host_key_alias),
        ("ssh.connect_timeout", ssh.connect_timeout),
        ("ssh.legacy_crypto", ssh.legacy_crypto),
        ("become.method", become.method),
        ("become.user", become.user),
        ("become.password_from", become.password_from),
    )
    yield from ((name, shown(value)) for name, value in said if value is not None)


def _verify(said: Verification | None) -> Iterator[tuple[str, str]]:
    if said is None:
        return
    if said.checksums:
        yield "verify.checksums", shown(said.checksums)
    if said.minisign_key:
        yield "verify.minisign_key", said.minisign_key
    if said.allowed_signers:
        yield "verify.allowed_signers", said.allowed_signers
        yield "verify.namespace", said.namespace
    yield "verify.unlisted", said.unlisted
    for path, digest in said.sha256.items():
        yield f"verify.sha256.{path}", digest


def _origin(inventory: Inventory, host: Host, setting: str) -> Location | None:
    if setting in host.origins:
        return host.origins[setting]
    if setting == "address":
        return host.origin()  # the host's own name
    shared = setting.startswith(("artifacts.", "verify."))
    return inventory.origins.get(setting) if shared else None
