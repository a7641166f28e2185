"""SB305, SB306, SB307 and SB309: whether a host is the machine that the inventory means."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.facts import Facts
from sealboot.model.host import Host


def wrong_expectation(host: Host, facts: Facts) -> tuple[Diagnostic, ...]:
    """SB305: `arch:` in the inventory is not what the machine is.

    A warning where it names the userland of a 64-bit kernel, else an error.
    """
    if host.arch is None or facts.kernel_arch is None:
        return ()
    if host.arch is not facts.kernel_arch:
        userland = host.arch is facts.userland_arch
        return (
            _expected(host, facts, host.arch.both_names, Severity.WARNING if userland else Severity.ERROR),
        )
    level = facts.cpu.arm_level
    if host.arm_level is not None and level is not None and level < host.arm_level:
        return (_expected(host, facts, f"{host.arch.value}/v{host.arm_level}", Severity.ERROR),)
    return ()


def _expected(host: Host, facts: Facts, wanted: str, severity: Severity) -> Diagnostic:
    kernel = facts.kernel_arch.both_names if facts.kernel_arch else "unknown"
    level = f"/v{facts.cpu.arm_level}" if facts.cpu.arm_level and facts.kernel_arch == "arm" else ""
    userland = facts.userland_arch.both_names if facts.userland_arch else "unknown"
    return Diagnostic(
        "SB305",
        f"{host.name} is not the {wanted} machine that the inventory expects",
        severity,
        host=host.name,
        at=host.origin("arch"),
        evidence=(("inventory", wanted), ("host", f"{kernel}{level} kernel, {userland} userland")),
        hints=("correct `arch:`, or the address if this is another machine than you meant",),
    )


def unknown_machine(host: Host, facts: Facts) -> tuple[Diagnostic, ...]:
    """SB307: no source told an architecture that is known here; nothing is assumed in its place."""
    if facts.kernel_arch is not None:
        return ()
    said = facts.kernel_machine or "nothing"
    return (
        Diagnostic(
            "SB307",
            f"the architecture of {host.name} is not known: `uname -m` says {said}",
            host=host.name,
            at=host.origin(),
            evidence=(("uname -m", said),),
            hints=("compare `uname -m` on the host with the list in `sealboot explain SB307`",),
        ),
    )


def conflicts(host: Host, facts: Facts) -> tuple[Diagnostic, ...]:
    """SB309, a note: sources contradict each other, or kernel and userland differ in kind."""
    words = list(facts.conflicts)
    kernel, userland = facts.kernel_arch, facts.userland_arch
    if kernel and userland and kernel is not userland and facts.beneath is None:
        words.append(f"the kernel is {kernel.both_names}, the userland {userland.both_names}")
    if not words:
        return ()
    return (
        Diagnostic(
            "SB309",
            f"{host.name} describes itself in two ways",
            Severity.NOTE,
            host=host.name,
            at=host.origin(),
            evidence=tuple(("found", text) for text in words),
            notes=(
                "files are matched with what the kernel and the userland really are, not with `uname -m`",
            ),
        ),
    )


def duplicates(hosts: Sequence[Host], facts: Mapping[str, Facts]) -> tuple[Diagnostic, ...]:
    """SB306: one machine under two names.

    The same machine-id, boot id and hostname are one running system: an error.
    The same machine-id with another boot id is a cloned disk, with the same
    boot id but another hostname containers of one kernel from one image: a
    warning, because node identities are made from it.
    """
    by_id: defaultdict[str, list[Host]] = defaultdict(list)
    for host in hosts:
        fact = facts.get(host.name)
        if fact is not None and fact.machine_id:
            by_id[fact.machine_id].append(host)
    found: list[Diagnostic] = []
    for machine_id, same in by_id.items():
        running: defaultdict[tuple[str, str], list[Host]] = defaultdict(list)
        for host in same:
            running[facts[host.name].boot_id, facts[host.name].hostname].append(host)
        twins = [group for (boot, _), group in running.items() if boot and len(group) > 1]
        found.extend(_duplicate(group, facts[group[0].name]) for group in twins)
        if len(running) > 1:
            found.append(_cloned([group[0] for group in running.values()], machine_id))
    return tuple(found)


def _duplicate(group: Sequence[Host], fact: Facts) -> Diagnostic:
    names = [host.name for host in group]
    return Diagnostic(
        "SB306",
        f"{' and '.join(names)} are one machine",
        host=names[-1],
        also=tuple(names[:-1]),
        at=group[-1].origin("address"),
        evidence=(("hostname", fact.hostname), ("machine-id", fact.machine_id), ("boot id", fact.boot_id)),
        hints=("remove one of them from the inventory, or correct its address",),
    )


def _cloned(group: Sequence[Host], machine_id: str) -> Diagnostic:
    names = [host.name for host in group]
    return Diagnostic(
        "SB306",
        f"{', '.join(names)} share one machine-id: their disks were cloned",
        Severity.WARNING,
        host=names[-1],
        also=tuple(names[:-1]),
        at=group[-1].origin(),
        evidence=(("machine-id", machine_id),),
        hints=("on all but one: `rm /etc/machine-id && systemd-machine-id-setup`, then reboot",),
    )
