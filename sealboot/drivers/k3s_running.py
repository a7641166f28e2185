"""What a run would do to a k3s that is there already: begin a second cluster, skip releases, take over another's."""

from __future__ import annotations

from collections.abc import Iterator

from sealboot.drivers.base import Context
from sealboot.drivers.k3s_config import node_name
from sealboot.drivers.k3s_node import SLOT, version_of
from sealboot.drivers.k3s_options import K3sOptions
from sealboot.drivers.members import Words, foreign, release_step, second_cluster
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.facts import Facts
from sealboot.model.host import Host

_WORDS = Words("k3s", "a snapshot", second="SB638", step="SB640", foreign="SB641")


def findings(ctx: Context, options: K3sOptions) -> Iterator[Diagnostic]:
    """SB638, SB640, SB641, SB645 and SB646, from what the hosts told."""
    yield from filter(None, (_second(ctx, options),))
    yield from _unasked(ctx, options)
    yield from _stale(ctx, options)
    for host in ctx.reached:
        facts = ctx.facts[host.name]
        yield from filter(None, (_foreign(host, facts, options), _step(ctx, host, facts)))


def _states(facts: Facts) -> set[str]:
    return {"server", "agent"} & set(facts.observed.get("k3s.state", "").split())


def _known(facts: Facts) -> bool:
    """Whether the host could tell of what it is a member: its directories are root's."""
    return "closed" not in facts.observed.get("k3s.state", "").split()


def _second(ctx: Context, options: K3sOptions) -> Diagnostic | None:
    """SB638: the server that begins the cluster is empty, and others are members of one."""
    first = options.first(ctx.inventory)
    if first is None or not _empty(ctx, first):
        return None
    members = [h for h in ctx.reached if h.name != first.name and _states(ctx.facts[h.name])]
    return second_cluster(
        _WORDS, first, members, [h for h in members if "server" in _states(ctx.facts[h.name])]
    )


def _empty(ctx: Context, first: Host) -> bool:
    """Whether the server that begins the cluster was asked, could tell, and has no datastore."""
    facts = ctx.facts.get(first.name)
    return facts is not None and _known(facts) and "server" not in _states(facts)


def _unasked(ctx: Context, options: K3sOptions) -> Iterator[Diagnostic]:
    """SB646: an empty first server asks whether a cluster is there already, if it has anything to ask with."""
    first = options.first(ctx.inventory)
    if first is None or not _empty(ctx, first):
        return
    observed = ctx.facts[first.name].observed
    unseen = [h.name for h in ctx.inventory.by_role("server") if h.name not in ctx.facts]
    unseen += [options.endpoint] if options.endpoint else []
    if "k3s.https" not in observed or observed["k3s.https"].strip() or not unseen:
        return
    yield Diagnostic(
        "SB646",
        f"{first.name} would begin a cluster and cannot ask {', '.join(unseen)} for one: it has no curl, wget or Python",
        Severity.WARNING,
        host=first.name,
        at=first.origin(),
        hints=("install curl on it, or make sure that no other server of this cluster runs",),
    )


def _stale(ctx: Context, options: K3sOptions) -> Iterator[Diagnostic]:
    """SB645: a machine that was made anew comes back under a name that the cluster still has."""
    first = options.first(ctx.inventory)
    told = {h.name: ctx.facts[h.name].observed.get("k3s.nodes", "").split() for h in ctx.reached}
    for host in ctx.reached:
        facts, name = ctx.facts[host.name], node_name(host)
        asked = next(
            (server for server, names in told.items() if name in names and server != host.name), None
        )
        lost = "agent" not in _states(facts) and "password" not in facts.observed.get("k3s.state", "").split()
        member = host.role == "server" and "server" not in _states(facts) and options.datastore == "etcd"
        begins = first is not None and host.name == first.name
        if asked is None or begins or not _known(facts) or not (lost or member):
            continue
        yield Diagnostic(
            "SB645",
            f"{host.name} is empty, and the cluster has a node {name} already: it would not be let in",
            host=host.name,
            at=host.origin(),
            evidence=(("told by", asked), ("listed as", "member of etcd and node" if member else "node")),
            hints=(f"on {asked}: `k3s kubectl delete node {name}`; then it joins as a new one",),
        )


def _foreign(host: Host, facts: Facts, options: K3sOptions) -> Diagnostic | None:
    """SB641: its settings would be replaced by ours."""
    found = facts.observed.get("k3s.foreign", "").split()
    return foreign(_WORDS, host, found, adopted=options.adopt == "true")


def _step(ctx: Context, host: Host, facts: Facts) -> Diagnostic | None:
    """SB640: Kubernetes goes from one minor release to the next, and not back."""
    if not (_states(facts) or facts.observed.get("k3s.units", "").split()):
        return None
    wanted = version_of(ctx.chosen.get((host.name, SLOT))) or ctx.inventory.release or ""
    return release_step(_WORDS, host, facts.observed.get("k3s.version", ""), wanted)
