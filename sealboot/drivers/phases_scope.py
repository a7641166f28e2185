"""Which hosts a phase is for, and what its templates may say about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from fnmatch import fnmatchcase
from ipaddress import IPv6Address

from sealboot.drivers.base import Context
from sealboot.drivers.phases_schema import PhasePart, PhasesOptions
from sealboot.drivers.template import Member, Scope
from sealboot.model.facts import Facts
from sealboot.model.host import Host, Inventory


def hosts_of(phase: PhasePart, inventory: Inventory) -> tuple[Host, ...]:
    """The hosts a phase is for, in inventory order; with `once` the first of them only.

    `--limit` plays no part here: the first host is the same host whoever is selected.
    """
    matching = tuple(host for host in inventory.hosts if _matches(phase, host))
    return matching[:1] if phase.once else matching


def _matches(phase: PhasePart, host: Host) -> bool:
    if phase.roles and host.role not in phase.roles:
        return False
    wanted = [p for p in phase.hosts if not p.startswith("!")]
    taken = [p[1:] for p in phase.hosts if p.startswith("!")]
    if any(fnmatchcase(host.name, pattern) for pattern in taken):
        return False
    return not wanted or any(fnmatchcase(host.name, pattern) for pattern in wanted)


def secrets_before(options: PhasesOptions, index: int) -> frozenset[str]:
    """The names of the secrets that the phases before this one capture."""
    return frozenset(
        step.capture.into
        for phase in options.phases[:index]
        for step in phase.steps
        if step.capture is not None
    )


class Cast:
    """Who is who in a cluster; made once, because loops may name every host on every host."""

    def __init__(self, ctx: Context) -> None:
        self._own = {host.name: _names_of(host, ctx.facts.get(host.name)) for host in ctx.inventory.hosts}
        self._members = tuple(Member(h.name, h.role, self._own[h.name]) for h in ctx.inventory.hosts)
        self._shared = {"cluster.name": ctx.inventory.name}
        if ctx.inventory.release is not None:
            self._shared["cluster.release"] = ctx.inventory.release
        first: dict[str, Host] = {}
        for host in ctx.inventory.hosts:
            first.setdefault(host.role, host)
        count = Counter(host.role for host in ctx.inventory.hosts)
        for role, host in first.items():
            self._shared[f"count.{role}"] = str(count[role])
            for name, value in self._own[host.name].items():
                if name.startswith("host."):
                    self._shared[f"first.{role}.{name.removeprefix('host.')}"] = value

    def scope(self, host: Host, secrets: frozenset[str]) -> Scope:
        """Everything that a template of this host may name."""
        return Scope({**self._shared, **self._own[host.name]}, self._members, secrets)


def _names_of(host: Host, facts: Facts | None) -> Mapping[str, str]:
    """`host.*` and `vars.*` of one host.

    The architecture is a fact where the host was probed and the operator's
    expectation where it was not; without either the name has no value.
    """
    names = {
        "host.name": host.name,
        "host.address": host.address,
        "host.url_host": _bracketed(host.address),
        "host.role": host.role,
    }
    arch = facts.kernel_arch if facts is not None else host.arch
    if arch is not None:
        names["host.arch"] = arch.value
    if facts is not None and facts.userland_arch is not None:
        names["host.userland"] = facts.userland_arch.value
    return {**names, **{f"vars.{name}": value for name, value in host.vars.items()}}


def _bracketed(address: str) -> str:
    """The address as it stands in a URL: IPv6 in square brackets."""
    try:
        IPv6Address(address)
    except ValueError:
        return address
    return f"[{address}]"
