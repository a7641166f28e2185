"""What a run would do to a k0s that is there already: begin a second cluster, skip releases, take over another's."""

from __future__ import annotations

from collections.abc import Iterator

from sealboot.drivers.base import Context
from sealboot.drivers.k0s_config import address_of
from sealboot.drivers.k0s_node import SLOT, Node, release_of
from sealboot.drivers.k0s_options import CONTROLLERS, K0sOptions
from sealboot.drivers.kubelet import RELEASE
from sealboot.drivers.members import Words, foreign, release_step, second_cluster
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.facts import Facts
from sealboot.model.host import Host

_LEAVE = "k0s etcd leave --peer-address "
#: What holds a cluster, in words; and where in the data directory.
_STORES = {"etcd": "etcd", "kine": "SQLite (kine)", "elsewhere": "a datastore elsewhere"}
_PLACES = {"etcd": "etcd/member", "kine": "db"}
_WORDS = Words("k0s", "a backup", second="SB655", step="SB656", foreign="SB657")


def findings(ctx: Context, options: K0sOptions) -> Iterator[Diagnostic]:
    """SB655 to SB658, SB664 and SB667, from what the hosts told."""
    yield from filter(None, (_second(ctx, options),))
    yield from _etcd(ctx, options)
    yield from _workers(ctx, options)
    for host in ctx.reached:
        if options.leaving(host):
            continue
        facts = ctx.facts[host.name]
        told = (_foreign(host, facts, options), _step(ctx, host, facts), _storage(host, facts, options))
        yield from filter(None, told)


def nodes(ctx: Context, options: K0sOptions) -> tuple[Node, ...]:
    """The hosts that stay, were reached, and have their program."""
    return tuple(
        Node(ctx, options, host, ctx.chosen[host.name, SLOT])
        for host in ctx.reached
        if not options.leaving(host) and (host.name, SLOT) in ctx.chosen
    )


def _states(facts: Facts) -> set[str]:
    return set(facts.observed.get("k0s.state", "").split())


def _second(ctx: Context, options: K0sOptions) -> Diagnostic | None:
    """SB655: the controller that begins the cluster is empty, and others are members of one."""
    first = options.first(ctx.inventory)
    if first is None or first.name not in ctx.facts or "controller" in _states(ctx.facts[first.name]):
        return None
    staying = [h for h in ctx.reached if h.name != first.name and not options.leaving(h)]
    members = [h for h in staying if _states(ctx.facts[h.name])]
    return second_cluster(
        _WORDS, first, members, [h for h in members if "controller" in _states(ctx.facts[h.name])]
    )


def _etcd(ctx: Context, options: K0sOptions) -> Iterator[Diagnostic]:
    """SB658: an empty host is to join at an address that etcd has a member at; it would be turned away."""
    told = " ".join(facts.observed.get("k0s.members", "") for facts in ctx.facts.values())
    for node in nodes(ctx, options):
        place = address_of(node.host, node.facts)
        if not node.controller or not place or "controller" in _states(node.facts) or node.member:
            continue
        if f"//{f'[{place}]' if ':' in place else place}:" in told:
            yield Diagnostic(
                "SB658",
                f"{node.name} is empty, and etcd still has a member at its address",
                host=node.name,
                at=node.host.origin("address"),
                evidence=(("address", place),),
                hints=(f"take the old member out on a controller that lives: `{_LEAVE}{place}`",),
            )


def _storage(host: Host, facts: Facts, options: K0sOptions) -> Diagnostic | None:
    """SB667: k0s would start with another datastore than the one that holds the cluster, which is empty.

    Where both lie there, only the operator can tell which of them is in use.
    """
    there = sorted({"etcd", "kine"} & _states(facts))
    comes = options.storage(host.role)
    written = "type" in options.spec.get("storage", {})
    if host.role not in CONTROLLERS or not there or there == [comes] or (comes in there and written):
        return None
    both = len(there) > 1
    held = " and ".join(_STORES[name] for name in there)
    hint = (
        "name the one in use with `config: {storage: {type: …}}`: /etc/k0s/k0s.yaml on the host has it"
        if both
        else f"keep what is there: `config: {{storage: {{type: {there[0]}}}}}`"
    )
    return Diagnostic(
        "SB667",
        f"the data of {host.name} are in {held}, and {'nothing says which is in use' if both else f'k0s would start with {_STORES[comes]}'}",
        host=host.name,
        at=host.origin("role"),
        evidence=(("there", ", ".join(_PLACES[name] for name in there)), ("to come", comes)),
        hints=(hint, "k0s moves no data from one to the other: that takes a backup and a new cluster"),
    )


def _foreign(host: Host, facts: Facts, options: K0sOptions) -> Diagnostic | None:
    """SB657: its settings would be replaced by ours."""
    found = facts.observed.get("k0s.foreign", "").split()
    ours = bool(facts.observed.get("k0s.proven", "").strip())
    return foreign(_WORDS, host, found, adopted=ours or options.adopt == "true")


def _step(ctx: Context, host: Host, facts: Facts) -> Diagnostic | None:
    """SB656: Kubernetes goes from one minor release to the next, and not back."""
    if not _states(facts):
        return None
    wanted = release_of(ctx.chosen.get((host.name, SLOT))) or ctx.inventory.release or ""
    return release_step(_WORDS, host, facts.observed.get("k0s.version", ""), wanted)


def _workers(ctx: Context, options: K0sOptions) -> Iterator[Diagnostic]:
    """SB656 and SB664: a worker newer than its API server, and one that nobody can empty."""
    members = nodes(ctx, options)
    controllers = [node for node in members if node.host.role in CONTROLLERS]
    releases = {n.name: m for n in members if (m := RELEASE.search(n.release)) is not None}
    oldest = min(
        (n for n in controllers if n.name in releases),
        key=lambda n: [int(part) for part in releases[n.name].groups()],
        default=None,
    )
    for node in members:
        if node.controller:
            continue
        mine, theirs = releases.get(node.name), releases.get(oldest.name) if oldest else None
        if mine and theirs and oldest and _minor(mine.groups()) > _minor(theirs.groups()):
            yield Diagnostic(
                "SB656",
                f"{node.name} would be newer than its controller: {node.release}, and {oldest.name} {oldest.release}",
                host=node.name,
                also=(oldest.name,),
                at=node.host.origin("artifacts.k0s"),
                hints=("give both the same release",),
            )
        if node.emptied and not controllers:
            yield Diagnostic(
                "SB664",
                f"{node.name} is to be upgraded, and no controller of this run can empty it",
                host=node.name,
                at=node.host.origin(),
                hints=(
                    "widen --limit so that it includes a controller",
                    "or upgrade without: `drain: {enabled: false}`",
                ),
            )


def _minor(parts: tuple[str, ...]) -> list[int]:
    return [int(part) for part in parts[:2]]
