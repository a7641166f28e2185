"""Room for images on a k3s node: what each way of bringing them in takes, and which one a host has room for.

Kept in the images folder, an archive is stored as a file for as long as its
images are wanted, and what is in it (about its size unpacked) once more in
containerd's store. Streamed into containerd, it is stored there alone. Either
way the layers are unpacked when the first containers start, and the kubelet of
k3s begins to evict where less than 5 % of a file system is free.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from sealboot.checks.space import covering, size_text
from sealboot.drivers.k3s_options import K3sOptions
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.facts import Facts
from sealboot.model.host import Host

#: keep: a file in k3s' images folder. stream: into containerd, with no file on the host.
Way: TypeAlias = Literal["keep", "stream"]

#: Unpacked layers take this many times what is in the archive, as a rule of thumb.
_UNPACKED = 2.5
#: k3s starts its kubelet with eviction-hard at 5 % of the file system: images go when less is free.
_EVICTION = 0.05


@dataclass(frozen=True, slots=True)
class Load:
    """Bytes that archives bring: as they are, and what is in them."""

    files: int
    blobs: int


@dataclass(frozen=True, slots=True)
class Place:
    """A file system: where it is mounted, and its bytes."""

    mount: str
    total: int
    free: int

    @property
    def reserve(self) -> int:
        """What must stay free on it."""
        return round(self.total * _EVICTION)


@dataclass(frozen=True, slots=True)
class Places:
    """Where archives are kept, and where containerd stores; often one file system."""

    images: Place
    store: Place

    def lacking(self, load: Load, way: Way, *, unpacked: bool = False) -> tuple[Place, int] | None:
        """The file system that cannot take the load, and what it would have to take; `None` where all fits."""
        files = load.files if way == "keep" else 0
        store = load.blobs + (round(load.blobs * _UNPACKED) if unpacked else 0)
        if self.images.mount == self.store.mount:
            needs = [(self.store, files + store)]
        else:
            needs = [(self.images, files), (self.store, store)]
        return next(((p, need) for p, need in needs if need and need + p.reserve > p.free), None)


def question(data: str) -> str:
    """A script that tells what is free where archives are kept and where containerd stores, a line each.

    Either may be a file system of its own, before k3s has made the folder.
    """
    listed = " ".join(shlex.quote(f"{data}/agent/{name}") for name in ("images", "containerd"))
    return (
        f'for place in {listed}; do\n  while [ ! -d "$place" ]; do place=${{place%/*}}; : "${{place:=/}}"; done\n'
        '  df -Pk "$place" 2>/dev/null | tail -n 1\ndone\nexit 0\n'
    )


def places(facts: Facts, options: K3sOptions, host: Host) -> Places | None:
    """What the host told; what is known of the data directory where it told nothing."""
    told = [_place(line) for line in facts.observed.get("k3s.places", "").splitlines()]
    if len(told) == 2 and told[0] is not None and told[1] is not None:
        return Places(told[0], told[1])
    space = covering(facts, options.data(host))
    if space is None or space.free is None or space.total is None:
        return None
    one = Place(space.mount or space.existing, space.total, space.free)
    return Places(one, one)


def _place(line: str) -> Place | None:
    """One file system as `df -Pk` tells it."""
    words = line.split(maxsplit=5)
    if len(words) != 6 or not all(w.isascii() and w.isdigit() and len(w) < 16 for w in (words[1], words[3])):
        return None
    return Place(words[5], int(words[1]) * 1024, int(words[3]) * 1024)


def roomy(found: Places | None, coming: Load) -> Way:
    """How archives come in that are not there yet: kept where that fits, or where nothing else would fit either."""
    if found is None or found.lacking(coming, "keep") is None:
        return "keep"
    return "keep" if found.lacking(coming, "stream") else "stream"


def total(loads: Iterable[Load]) -> Load:
    """The sum."""
    listed = tuple(loads)
    return Load(sum(load.files for load in listed), sum(load.blobs for load in listed))


def finding(host: Host, found: Places | None, coming: Load, way: Way) -> Iterator[Diagnostic]:
    """SB636: no room for the images (an error), or none for their layers once containers start (a warning)."""
    if found is None or not coming.blobs:
        return
    short = found.lacking(coming, way)
    lacking = short or found.lacking(coming, way, unpacked=True)
    if lacking is None:
        return
    place, need = lacking
    text = "cannot hold its images" if short else "will be short of space once its images are unpacked"
    rows = (
        *((("archives", size_text(coming.files)),) if way == "keep" else ()),
        ("imported", f"{size_text(coming.blobs)} on {found.store.mount}"),
        ("unpacked", f"about {size_text(round(coming.blobs * _UNPACKED))}"),
        ("must stay free", f"{size_text(place.reserve)} (the kubelet removes images below 5 %)"),
        ("needed", f"{size_text(need + place.reserve)} in all on {place.mount}"),
    )
    streams = way == "keep" and short and found.lacking(coming, "stream") is None
    yield Diagnostic(
        "SB636",
        f"{host.name} {text}: {size_text(place.free)} are free on {place.mount}",
        Severity.ERROR if short else Severity.WARNING,
        host=host.name,
        at=host.origin("paths.data"),
        evidence=rows,
        hints=(
            *(("`images_import: stream` streams them into containerd, which fits",) if streams else ()),
            "make room, or set `paths: {data: …}` of this host to a larger file system",
        ),
    )
