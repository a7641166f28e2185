"""What stands against the image archives of a k3s node before one of them is sent."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from sealboot.drivers import k3s_images_space as room
from sealboot.drivers.base import Context
from sealboot.drivers.k3s_images_choice import Archive, archives, coming, digests, new_way
from sealboot.drivers.k3s_import import stored_names
from sealboot.drivers.k3s_node import SLOT, version_of
from sealboot.drivers.k3s_options import K3sOptions
from sealboot.model.artifact import Artifact
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.host import Host

#: The first patch of each minor release that imports archives while it runs; later ones all do (k3s-io/k3s#10973).
_AWAKE = {29: 13, 30: 9, 31: 5, 32: 0}
_RELEASE = re.compile(r"v1\.(\d{1,4})\.(\d{1,4})[\w.+-]*", re.ASCII)


def findings(ctx: Context, options: K3sOptions) -> Iterator[Diagnostic]:
    """What is wrong with the archives themselves, with two of them together, or with the host.

    SB635: k3s would not import it. SB636: too little space for what becomes of it. SB665: one name for
    two images. SB666: a release that looks for archives when it starts only.
    """
    for host in ctx.reached:
        wanted = archives(ctx, options, host)
        usable = {archive.slot for archive in wanted}
        for slot in options.image_slots(ctx.inventory):
            chosen = ctx.chosen.get((host.name, slot))
            if chosen is not None and slot not in usable:
                yield _unfit(ctx, host, slot, chosen, ("it is no image archive",))
        for archive in wanted:
            if archive.layer.unfit:
                yield _unfit(ctx, host, archive.slot, archive.artifact, archive.layer.unfit)
        yield from _twice(ctx, host, wanted)
        yield from _asleep(ctx, options, host)
        found = room.places(ctx.facts[host.name], options, host)
        yield from room.finding(host, found, coming(ctx, options, host), new_way(ctx, options, host))


def _asleep(ctx: Context, options: K3sOptions, host: Host) -> Iterator[Diagnostic]:
    """SB666: new archives for a node that runs, whose k3s would import them at its next start, and none is due."""
    facts = ctx.facts[host.name]
    here = _RELEASE.search(facts.observed.get("k3s.version", ""))
    stays = here is not None and here[0] in version_of(ctx.chosen.get((host.name, SLOT)))
    if here is None or not stays or not facts.observed.get("k3s.state", "").strip():
        return
    minor, patch = int(here[1]), int(here[2])
    if minor > max(_AWAKE) or patch >= _AWAKE.get(minor, patch + 1):
        return
    if coming(ctx, options, host).blobs and new_way(ctx, options, host) == "keep":
        yield Diagnostic(
            "SB666",
            f"k3s {here[0]} on {host.name} imports archives when it starts, and it runs",
            host=host.name,
            at=host.origin(),
            hints=("`images_import: stream` needs no start", "or bring a newer k3s in the same run"),
        )


def _twice(ctx: Context, host: Host, wanted: Sequence[Archive]) -> Iterator[Diagnostic]:
    """SB665: two archives call different images by one name: the one that is imported last would have it."""
    known: dict[str, tuple[Archive, frozenset[str]]] = {}
    for archive in wanted:
        for image, name in zip(archive.layer.images, stored_names(archive.layer), strict=True):
            own = frozenset(digests(ctx, host, image))
            first, theirs = known.setdefault(name, (archive, own))
            if own == theirs or not name:
                continue
            yield Diagnostic(
                "SB665",
                f"{first.artifact.path} and {archive.artifact.path} have different images called {name}",
                host=host.name,
                artifact=archive.artifact.path,
                at=ctx.inventory.origins.get(f"artifacts.{archive.slot}"),
                evidence=tuple(
                    (a.slot, ", ".join(sorted(ids))) for a, ids in ((first, theirs), (archive, own))
                ),
                hints=("leave the name out of one of them, or give it another tag",),
            )


def _unfit(ctx: Context, host: Host, slot: str, artifact: Artifact, reasons: Sequence[str]) -> Diagnostic:
    return Diagnostic(
        "SB635",
        f"k3s on {host.name} would not import {artifact.path}",
        host=host.name,
        artifact=artifact.path,
        at=ctx.inventory.origins.get(f"artifacts.{slot}"),
        evidence=tuple((f"reason {n}", text) for n, text in enumerate(reasons, 1)),
    )
