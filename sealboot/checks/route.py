"""SB312: a host without a default route, as air-gapped ones often are."""

from __future__ import annotations

from sealboot.model.diagnostic import Diagnostic
from sealboot.model.facts import Facts
from sealboot.model.host import Host

#: The key under which the answer to `QUESTION` is expected in `Facts.observed`.
KEY = "route"

#: Prints `yes` or `no`; nothing where the kernel's tables cannot be read. Flag 1 is RTF_UP, 0x200 RTF_REJECT:
#: every kernel with IPv6 has a rejecting default route on its loopback.
QUESTION = """r=no
[ -r /proc/net/route ] || exit 0
while read -r _ d _ f _ _ _ m _; do
  [ "$d$m" = 0000000000000000 ] && [ $((0x$f & 1)) = 1 ] && r=yes
done </proc/net/route
z=00000000000000000000000000000000
[ ! -r /proc/net/ipv6_route ] || while read -r d p _ _ _ _ _ _ f _; do
  [ "$d$p" = ${z}00 ] && [ $((0x$f & 0x201)) = 1 ] && r=yes
done </proc/net/ipv6_route
echo $r
exit 0
"""


def no_default_route(host: Host, facts: Facts) -> tuple[Diagnostic, ...]:
    """SB312: Kubernetes chooses a node's address and reaches its services by the default route."""
    if facts.observed.get(KEY, "").strip() != "no":
        return ()
    return (
        Diagnostic(
            "SB312",
            f"{host.name} has no default route, and a Kubernetes node needs one",
            host=host.name,
            at=host.origin(),
            hints=("one that leads nowhere is enough: `sealboot explain SB312` has the commands",),
        ),
    )
