"""SB311: a port that the cluster needs is taken by another program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from sealboot.model.diagnostic import Diagnostic
from sealboot.model.facts import Facts
from sealboot.model.host import Host

Port: TypeAlias = tuple[Literal["tcp", "udp"], int]

#: The key under which the answer to `question` is expected in `Facts.observed`.
KEY = "ports"


def question(ports: Sequence[Port]) -> str:
    """A script that lists those of `ports` on which something listens, as `tcp 6443`, one a line.

    From the kernel's own tables, which every user may read: state 0A is LISTEN, 07 an
    unconnected UDP socket (Linux proc(5)).
    """
    wanted = " ".join(f"{kind}:{port:04X}" for kind, port in ports)
    return f"""for f in tcp tcp6 udp udp6; do
  k=${{f%6}} w=0A; [ $k = tcp ] || w=07
  while read -r _ a _ s _; do
    [ "$s" = $w ] || continue
    case ' {wanted} ' in *" $k:${{a##*:}} "*) echo "$k $((0x${{a##*:}}))" ;; esac
  done </proc/net/$f
done | sort -u
exit 0
"""


def taken_ports(host: Host, facts: Facts, ports: Sequence[Port]) -> tuple[Diagnostic, ...]:
    """SB311, one finding with every port of `ports` on which something listens already.

    Not to be asked of a host on which the distribution itself runs: it would find that.
    """
    listening = {tuple(line.split()) for line in facts.observed.get(KEY, "").splitlines()}
    taken = [(kind, port) for kind, port in ports if (kind, str(port)) in listening]
    if not taken:
        return ()
    shown = ", ".join(f"{kind.upper()} {port}" for kind, port in taken)
    return (
        Diagnostic(
            "SB311",
            f"another program on {host.name} has {shown}",
            host=host.name,
            at=host.origin(),
            evidence=(("taken", shown),),
            hints=(f"see who it is: `ss -lntup | grep :{taken[0][1]}` as root; then stop it",),
        ),
    )
