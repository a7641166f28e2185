"""What holds for the nodes that are there already, in every distribution: one cluster, ours, by one release at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sealboot.drivers.kubelet import KUBEADM, RELEASE
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.host import Host


@dataclass(frozen=True, slots=True)
class Words:
    """What a distribution calls itself and what it saves, and its codes for what is found here."""

    product: str
    saved: str
    second: str
    step: str
    foreign: str


def second_cluster(
    words: Words, first: Host, members: Sequence[Host], servers: Sequence[Host]
) -> Diagnostic | None:
    """The host that begins the cluster is empty, and `members`, of which `servers` run it, are in one already."""
    if not members:
        return None
    hint = (
        f"put {servers[0].name} first in the inventory: then {first.name} joins its cluster"
        if servers
        else f"restore {words.saved}, or take {words.product} off the others first (`state: absent`): the cluster is lost"
    )
    return Diagnostic(
        words.second,
        f"{first.name} is empty and would begin a cluster, and {members[0].name} is in one already",
        host=first.name,
        also=tuple(host.name for host in members),
        at=first.origin(),
        evidence=(("members", ", ".join(host.name for host in members)),),
        hints=(hint,),
    )


def foreign(words: Words, host: Host, found: Sequence[str], *, adopted: bool) -> Diagnostic | None:
    """Paths by which a node of another hand is told: its settings would be replaced by ours.

    What was `adopted` is ours, except a node of a kubeadm cluster: two kubelets cannot share a host.
    """
    kubeadm = KUBEADM in found
    told = [path for path in found if path == KUBEADM] if adopted else list(found)
    if not told:
        return None
    what = "is a node of a kubeadm cluster" if kubeadm else f"has a {words.product} that is not of our making"
    hint = (
        "reset it first, or take it out of the inventory"
        if kubeadm
        else "to take it over with these settings: `options: {adopt: true}`"
    )
    return Diagnostic(
        words.foreign,
        f"{host.name} {what}",
        host=host.name,
        at=host.origin(),
        evidence=(("found", ", ".join(told)),),
        hints=(hint,),
    )


def release_step(words: Words, host: Host, installed: str, wanted: str) -> Diagnostic | None:
    """Kubernetes goes from one minor release to the next, and not back; a patch may go back with a warning.

    `None` where one of the two texts names no release.
    """
    old, new = RELEASE.search(installed), RELEASE.search(wanted)
    if old is None or new is None:
        return None
    before, after = ([int(part) for part in match.groups()] for match in (old, new))
    back = after < before
    if not back and after[0] == before[0] and after[1] <= before[1] + 1:
        return None
    return Diagnostic(
        words.step,
        f"{host.name} would {'go back' if back else 'skip releases'}: from {words.product} {old[0]} to {new[0]}",
        Severity.WARNING if back and after[:2] == before[:2] else Severity.ERROR,
        host=host.name,
        at=host.origin(),
        evidence=(("installed", old[0]), ("to be installed", new[0])),
        hints=(
            f"restore {words.saved} that the older release has made"
            if back
            else f"go by v{before[0]}.{before[1] + 1} first",
        ),
    )
