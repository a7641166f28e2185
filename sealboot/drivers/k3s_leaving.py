"""What becomes of the cluster that goes on when some of its hosts are taken off: votes of etcd, nodes that stay listed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sealboot.drivers.base import Context
from sealboot.drivers.k3s_config import node_name
from sealboot.drivers.k3s_options import K3sOptions
from sealboot.drivers.k3s_reset import staying
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.host import Host

#: The answers to `etcd_members`, and to `state`.
MEMBERS, STATE = "k3s.members", "k3s.state"


def told(ctx: Context) -> Mapping[str, str]:
    """What each host of this run said of the members of etcd."""
    return {host.name: ctx.facts[host.name].observed.get(MEMBERS, "") for host in ctx.reached}


def findings(ctx: Context, options: K3sOptions) -> Iterator[Diagnostic]:
    """SB649 and SB685, where servers go on with the cluster."""
    stays = staying(ctx.inventory, ctx.reached)
    if not stays or not ctx.reached:
        return
    yield from _remain(ctx, options, stays[0])
    if options.datastore == "etcd":
        yield from _votes(ctx, stays)


def _remain(ctx: Context, options: K3sOptions, other: Host) -> Iterator[Diagnostic]:
    """SB649: these nodes stay in the list, because no server of the run can delete them."""
    if any(answer.strip() for answer in told(ctx).values()):
        return
    # A server that answers for nobody and is no member has no node.
    left = [host for host in ctx.reached if host.role == "agent" or _member(ctx, host)]
    if not left:
        return
    names = " ".join(node_name(host) for host in left)
    yield Diagnostic(
        "SB649",
        f"the cluster goes on and will still list {names.replace(' ', ', ')}",
        Severity.NOTE,
        host=left[0].name,
        also=tuple(host.name for host in left[1:]),
        at=left[0].origin(),
        hints=(f"afterwards, on {other.name}: `{options.binary(other)} kubectl delete node {names}`",),
    )


def _member(ctx: Context, host: Host) -> bool:
    return "server" in ctx.facts[host.name].observed.get(STATE, "").split()


def _votes(ctx: Context, stays: tuple[Host, ...]) -> Iterator[Diagnostic]:
    """SB685: the members that go on would have no majority, which etcd does not come back from by itself.

    Where a server of the run answers, it knows all members and who of them is Ready, in the inventory or not; those
    that go leave etcd one by one. Where none answers, none can leave: they stay members, and miss every vote.
    """
    going = [host for host in ctx.reached if host.role == "server"]
    names = {node_name(host) for host in going}
    answer = next((text.split() for text in told(ctx).values() if text.strip()), None)
    if answer is not None:
        ready = {name: said == "True" for name, _, said in (word.partition("=") for word in answer)}
        rest = {name: ok for name, ok in ready.items() if name not in names}
        if names.isdisjoint(ready):
            return
    else:
        members = [host for host in going if _member(ctx, host)]
        lost = {host.name for host in ctx.selected} - set(ctx.facts)
        rest = {node_name(host): host.name not in lost for host in stays}
        rest |= {node_name(host): False for host in members}
        if not members:
            return
    alive, needed = [name for name, ok in rest.items() if ok], len(rest) // 2 + 1
    if not rest or len(alive) >= needed:
        return
    down = ", ".join(sorted(set(rest) - set(alive)))
    yield Diagnostic(
        "SB685",
        f"the servers that go on would have no majority in etcd: {len(alive)} of {len(rest)} votes, and {needed} are needed",
        host=going[0].name,
        also=tuple(host.name for host in going[1:]),
        at=going[0].origin(),
        evidence=(
            ("would vote", ", ".join(alive) or "nobody"),
            ("would not", down),
            (
                "told by",
                "the cluster" if answer is not None else "the inventory: no server of this run answers",
            ),
        ),
        hints=(
            f"bring {down} up first, or delete its node while there is a majority: `k3s kubectl delete node NAME`"
            if answer is not None
            else "start k3s on the servers that are to go: one that runs leaves etcd before it is stopped",
            "or take k3s off all hosts: then no cluster goes on",
        ),
    )
