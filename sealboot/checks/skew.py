"""SB304: clocks that disagree. Certificates made on one host are not valid yet on another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.facts import Facts
from sealboot.model.host import Host

#: Seconds. Lease-based systems begin to suffer at the first, fresh certificates fail at the second.
WARN_AFTER = 5.0
ERROR_AFTER = 30.0


def reference(offsets: Sequence[float]) -> float:
    """The clock that most agree with: the median of the hosts' offsets and the controller's own, 0.

    Of two middle values the one nearer to the controller counts, so that a
    single host is compared with the controller and with nothing in between.
    """
    ordered = sorted((*offsets, 0.0))
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return min(ordered[middle - 1], ordered[middle], key=abs)


def clock_skew(hosts: Sequence[Host], facts: Mapping[str, Facts]) -> tuple[Diagnostic, ...]:
    """SB304 for each host whose clock is certainly off, and for the controller where it is the odd one.

    What the measurement itself may be wrong by is taken off first.
    """
    known = {
        host.name: (fact.clock_offset, fact.clock_error or 0.0)
        for host in hosts
        if (fact := facts.get(host.name)) is not None and fact.clock_offset is not None
    }
    if not known:
        return ()
    true = reference([offset for offset, _ in known.values()])
    found = [
        _finding(host, offset - true, error)
        for host in hosts
        if host.name in known
        for offset, error in (known[host.name],)
        if abs(offset - true) - error > WARN_AFTER
    ]
    if abs(true) - max(error for _, error in known.values()) > WARN_AFTER:
        found.append(
            Diagnostic(
                "SB304",
                f"the clock of this machine is {abs(true):.1f} s {'behind' if true > 0 else 'ahead of'} most hosts",
                Severity.WARNING,
                evidence=(("hosts", f"{len(known)}, the middle one at {true:+.1f} s"),),
                hints=("let this machine keep time (chrony, systemd-timesyncd)",),
            )
        )
    return tuple(found)


def _finding(host: Host, skew: float, error: float) -> Diagnostic:
    severity = Severity.ERROR if abs(skew) - error > ERROR_AFTER else Severity.WARNING
    return Diagnostic(
        "SB304",
        f"the clock of {host.name} is {abs(skew):.1f} s {'ahead' if skew > 0 else 'behind'}",
        severity,
        host=host.name,
        at=host.origin(),
        evidence=(
            ("skew", f"{skew:+.1f} s against the median of all hosts"),
            ("measured within", f"{error:.2f} s"),
        ),
        hints=("let the host keep time (chrony, systemd-timesyncd, ntpd), or set its clock once",),
    )
