"""Every check, in the order in which an operator wants to read the findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from sealboot.checks import identity, privilege, skew, space, tools
from sealboot.checks.space import Load
from sealboot.model.artifact import Artifact
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.facts import Facts
from sealboot.model.host import Host


class Wanted(Protocol):
    """What was probed for a host: `sealboot.drivers.base.Wants` is one."""

    @property
    def directories(self) -> tuple[str, ...]:
        """Paths that will be written to; shipped files go to the first unless a load says otherwise."""
        ...

    @property
    def tools(self) -> tuple[str, ...]:
        """Names of programs."""
        ...

    @property
    def programs(self) -> tuple[str, ...]:
        """Directories from which programs will run although none is sent there."""
        ...


def run_all(
    hosts: Sequence[Host],
    facts: Mapping[str, Facts],
    *,
    chosen: Mapping[tuple[str, str], Artifact],
    wants: Mapping[str, Wanted],
    loads: Mapping[str, Load] | None = None,
) -> tuple[Diagnostic, ...]:
    """All findings about the hosts whose facts are known; hosts without facts are skipped.

    `chosen` maps (host, slot) to the file that will be sent, `loads` says where
    to (`shipped` makes it of a driver's waves). For a host without a load the
    chosen files are taken to go to the first directory of its wants.
    """
    found: list[Diagnostic] = []
    for host in hosts:
        fact = facts.get(host.name)
        want = wants.get(host.name)
        if fact is None:
            continue
        found += identity.unknown_machine(host, fact)
        found += identity.wrong_expectation(host, fact)
        found += identity.conflicts(host, fact)
        found += privilege.no_privilege(host, fact)
        found += privilege.own_name(host, fact)
        if want is None:
            continue
        load = (loads or {}).get(host.name) or _assumed(host, chosen, want)
        programs = load.programs | set(want.programs)
        found += space.unusable_target(host, fact, (*want.directories, *load.sizes), programs)
        found += space.no_space(host, fact, load)
        found += tools.missing_tools(host, fact, want.tools)
    found += identity.duplicates(hosts, facts)
    found += skew.clock_skew(hosts, facts)
    return tuple(found)


def _assumed(host: Host, chosen: Mapping[tuple[str, str], Artifact], want: Wanted) -> Load:
    files = {artifact.path: artifact for (name, _), artifact in chosen.items() if name == host.name}
    if not want.directories or not files:
        return Load()
    first = want.directories[0]
    programs = any(artifact.elf is not None for artifact in files.values())
    return Load({first: sum(f.size for f in files.values())}, frozenset({first} if programs else ()))
