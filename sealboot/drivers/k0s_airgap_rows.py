"""Every image against every node: what is needed there, and whether it will be there without a pull."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sealboot.drivers.base import Context
from sealboot.drivers.k0s_airgap_places import (
    HOMES,
    PLACES,
    PROXY,
    Pin,
    Place,
    Ref,
    Settings,
    flattened,
    settings_of,
    wanted,
)
from sealboot.drivers.k0s_airgap_scripts import DEFAULTS, LIVE, STORED
from sealboot.drivers.k0s_config import install_words
from sealboot.drivers.k0s_node import SLOT, release_of
from sealboot.drivers.k0s_options import NODES, K0sOptions
from sealboot.model.archive import IMAGE_LIST, ImageArchive
from sealboot.model.artifact import Artifact, Other
from sealboot.model.host import Host

#: The slot of a release's own list of images.
LIST_SLOT: Final = "image_list"
#: What can stand in a list of words of a shell; an archive may call its images anything.
_PLAIN: Final = re.compile(r"[A-Za-z0-9._:/@-]+")
_NUMBERS: Final = re.compile(r"\d+|\D+")


@dataclass(frozen=True, slots=True)
class Live:
    """What a controller said of the live ClusterConfig. `state`: `live`, `none`, `failed`, or nothing was asked."""

    host: Host | None = None
    state: str = ""
    why: str = ""
    settings: Settings = field(default_factory=Settings)


def live(ctx: Context, options: K0sOptions) -> Live:
    """The first answer that tells; a controller that cannot tell counts only where none can.

    Without dynamic configuration k0s.yaml alone decides, whatever object is left from before.
    """
    found = Live()
    if options.dynamic_config == "false":
        return found
    for host in ctx.reached:
        if host not in options.controllers(ctx.inventory):
            continue
        observed = ctx.facts[host.name].observed
        silent = "failed: only root can ask it" if "k0scontroller" in observed.get("k0s.units", "") else ""
        first, _, rest = (observed.get(LIVE, "").strip() or silent).partition("\n")
        state, _, why = first.partition(": ")
        if state == "live":
            flat = dict(line.partition("=")[::2] for line in rest.splitlines())
            return Live(host, state, settings=settings_of(flat))
        if state in {"none", "failed"} and found.state != "none":
            found = Live(host, state, why)
    return found


@dataclass(frozen=True, slots=True)
class Release:
    """The images of the release that is to come, by place, as `source` tells; `text` is its version."""

    text: str
    source: str
    images: Mapping[str, Ref]


def bundled(ctx: Context, options: K0sOptions, host: Host) -> tuple[Ref, ...]:
    """The images that the bundles of this host hold whole for its architecture."""
    arch = ctx.facts[host.name].kernel_arch
    names: dict[Ref, None] = {}
    for slot in options.image_slots(ctx.inventory):
        for layer in _layers(ctx.chosen.get((host.name, slot))):
            if isinstance(layer, ImageArchive):
                fitting = [i for i in layer.images if any(p.split("/")[1:2] == [arch] for p in i.platforms)]
                names.update(dict.fromkeys(Ref.of(image.name) for image in fitting))
    return tuple(names)


def _layers(artifact: Artifact | None) -> Sequence[object]:
    return artifact.layers if artifact else ()


def release(ctx: Context, options: K0sOptions, host: Host, repository: str) -> Release:
    """What the release has: its list where there is one, else the bundles, which are made from that list.

    Where this host has neither, as a controller that is no node, those of another tell: tags are the same.
    """
    others = (other for other in ctx.reached if other.name != host.name)
    told = (_release(ctx, options, one, repository) for one in (host, *others))
    return next((found for found in told if found.images), Release(_version(ctx, host), "", {}))


def _version(ctx: Context, host: Host) -> str:
    return release_of(ctx.chosen.get((host.name, SLOT))) or ctx.inventory.release or ""


def _release(ctx: Context, options: K0sOptions, host: Host, repository: str) -> Release:
    listed = ctx.chosen.get((host.name, LIST_SLOT))
    lines = [x.facts["images"] for x in _layers(listed) if isinstance(x, Other) and x.name == IMAGE_LIST]
    refs = tuple(Ref.of(text) for line in lines for text in line.split())
    source = listed.path if listed and refs else "the bundle"
    refs = tuple(ref for ref in refs or bundled(ctx, options, host) if _PLAIN.fullmatch(str(ref)))
    text = _version(ctx, host)
    images: dict[str, Ref] = {}
    for place in PLACES:
        offered = [ref for ref in refs if ref.product == place.product]
        homely = [r for r in offered if at_home(r, repository)] or offered
        if homely:
            images[place.path] = _newest(homely, place, text).moved(repository)
    return Release(text, source if refs else "", images)


def at_home(ref: Ref, repository: str) -> bool:
    """Whether a release could have this name itself."""
    homes = (*HOMES, f"{repository}/") if repository else HOMES
    return ref.name.startswith(homes)


def _newest(offered: Sequence[Ref], place: Place, text: str) -> Ref:
    """One of several: kube-proxy's tag is the release's own, of the others the newest one counts."""
    if place is PROXY:
        own = [ref for ref in offered if of_release(ref, text)]
        offered = own or offered

    def order(ref: Ref) -> tuple[tuple[int, str], ...]:
        return tuple((int(p), "") if p.isdigit() else (-1, p) for p in _NUMBERS.findall(ref.tag))

    return max(offered, key=order)


def of_release(proxy: Ref, text: str) -> bool:
    """Whether kube-proxy is this release's: its tag is the release's Kubernetes, perhaps with a build number."""
    core = text.partition("+")[0]
    return not core or proxy.tag == core or proxy.tag.startswith(f"{core}-")


@dataclass(frozen=True, slots=True)
class Row:
    """One image on one node. `needed` is `None` where nothing tells which it is."""

    place: Place
    needed: Ref | None
    pinned: bool
    bundled: bool
    stored: bool

    @property
    def missing(self) -> bool:
        """Whether it would have to be pulled."""
        return not (self.bundled or self.stored)


@dataclass(frozen=True, slots=True)
class Table:
    """All images of one node."""

    host: Host
    settings: Settings
    release: Release
    rows: tuple[Row, ...]


def tables(
    ctx: Context, options: K0sOptions, settings: Settings, drop: frozenset[str] = frozenset()
) -> tuple[Table, ...]:
    """A table for each node; pins of the places in `drop` are taken as gone."""
    return tuple(
        _table(ctx, options, settings, drop, host)
        for host in ctx.reached
        if host.role in NODES and not options.leaving(host) and (host.name, SLOT) in ctx.chosen
    )


def _table(ctx: Context, options: K0sOptions, settings: Settings, drop: frozenset[str], host: Host) -> Table:
    facts = ctx.facts[host.name]
    bundle = bundled(ctx, options, host)
    here = {Ref.of(line) for line in facts.observed.get(STORED, "").split()}
    has = release(ctx, options, host, settings.repository)
    rows = []
    for place in wanted(settings, flags(ctx, options), facts.kernel_arch):
        pin = settings.pins.get(place.path, Pin())
        pin = Pin() if place.path in drop else pin
        needed = pin.over(has.images.get(place.path))
        rows.append(Row(place, needed, pin != Pin(), needed in bundle, needed in here))
    return Table(host, settings, has, tuple(rows))


def flags(ctx: Context, options: K0sOptions) -> tuple[str, ...]:
    """The flags of the controllers, which decide which components there are."""
    first = options.first(ctx.inventory)
    return install_words(options, first, first=True) if first else ()


def intended(options: K0sOptions) -> Settings:
    """What the operator's own configuration says."""
    return settings_of(flattened(options.config))


@dataclass(frozen=True, slots=True)
class Defaults:
    """Pins of the live object that nobody meant: they hold what some release had by itself.

    `stale` are those of which the coming release has another image. Those that happen to be the same are in
    `every` as well: left alone they would be stale one release later.
    """

    every: Mapping[Place, Pin] = field(default_factory=dict)
    stale: Mapping[Place, Pin] = field(default_factory=dict)

    def dropped(self, options: K0sOptions) -> frozenset[str]:
        """The places that this run unpins."""
        removed = self.every if self.stale and options.unpin == "true" else {}
        return frozenset(place.path for place in removed)


def defaults(ctx: Context, options: K0sOptions, found: Live) -> Defaults:
    """What releases have pinned themselves.

    Proven where the installed release has this image by its own configuration; else by rule: a name of k0s'
    own, with another tag or in another registry than the coming release has. What the inventory's own
    `config` says is meant.
    """
    if found.host is None or found.state != "live":
        return Defaults()
    has = release(ctx, options, found.host, found.settings.repository)
    before = {Ref.of(line) for line in ctx.facts[found.host.name].observed.get(DEFAULTS, "").split()}
    meant = intended(options).pins
    every: dict[Place, Pin] = {}
    stale: dict[Place, Pin] = {}
    for place in PLACES:
        pin, coming = found.settings.pins.get(place.path), has.images.get(place.path)
        ref = pin.over(coming) if pin else None
        if pin is None or ref is None or meant.get(place.path) == pin or ref.product != place.product:
            continue
        if ref in before or at_home(ref, found.settings.repository):
            every[place] = pin
            if coming is not None and ref != coming:
                stale[place] = pin
    return Defaults(every, stale)
