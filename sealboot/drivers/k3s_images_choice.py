"""Which archives a k3s node has, what they are called there, and whether they are kept or streamed."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace

from sealboot.drivers import k3s_images_space as room
from sealboot.drivers.base import Context
from sealboot.drivers.k3s_options import K3sOptions
from sealboot.model.arch import platform_arch
from sealboot.model.archive import Image, ImageArchive
from sealboot.model.artifact import Artifact
from sealboot.model.host import Host

#: In the names of the files that are ours to remove. k3s goes by what follows it.
MARK = ".sealboot"
#: Endings of the empty files that stand for streamed archives; k3s takes no such file.
_STREAMED = ".streamed"
#: Begins the list of a host's own files, where that list can be believed to be all.
_SEEN = "./"


@dataclass(frozen=True, slots=True)
class Archive:
    """One archive on its way to one host."""

    slot: str
    artifact: Artifact
    layer: ImageArchive
    name: str  # in the images folder: the archive, or the empty file that says that it was streamed
    way: room.Way = "keep"

    @property
    def load(self) -> room.Load:
        """What it takes on the host."""
        return room.Load(self.artifact.size, self.layer.unpacked)


def folder(options: K3sOptions, host: Host) -> str:
    """The folder that k3s imports from."""
    return f"{options.data(host)}/agent/images"


def listing(options: K3sOptions, host: Host) -> str:
    """A script that lists our own files there, behind `./` where whoever asks may see what is there."""
    place = shlex.quote(folder(options, host))
    return (
        f'if [ "$(id -u)" = 0 ] || [ -r {place} ]; then echo {_SEEN}; fi\n'
        f"cd {place} 2>/dev/null || exit 0\nls -1 | grep -F {MARK}.\nexit 0\n"
    )


def archives(ctx: Context, options: K3sOptions, host: Host) -> tuple[Archive, ...]:
    """The archives of this host in import order; each name tells order, slot, architecture and content."""
    way, listed = new_way(ctx, options, host), _listed(ctx, host)
    made: list[Archive] = []
    for archive in _kept(ctx, options, host):
        streamed = replace(archive, name=_marker(archive), way="stream")
        if options.images_import == "auto" and _there(ctx, host, archive):
            # What is there stays as it came, so that a second run has nothing to do.
            made.append(archive if archive.name in listed else streamed)
        else:
            made.append(streamed if way == "stream" else archive)
    return tuple(made)


def coming(ctx: Context, options: K3sOptions, host: Host) -> room.Load:
    """What the archives take that are not there yet, in either way."""
    return room.total(a.load for a in _kept(ctx, options, host) if not _there(ctx, host, a))


def new_way(ctx: Context, options: K3sOptions, host: Host) -> room.Way:
    """The way of those. Where nobody could look, it may all be there: then nothing is decided by space."""
    if options.images_import != "auto":
        return options.images_import
    if _SEEN not in _listed(ctx, host):
        return "keep"
    return room.roomy(room.places(ctx.facts[host.name], options, host), coming(ctx, options, host))


def _kept(ctx: Context, options: K3sOptions, host: Host) -> Iterator[Archive]:
    arch = ctx.facts[host.name].kernel_arch
    for number, slot in enumerate(options.image_slots(ctx.inventory), 1):
        artifact = ctx.chosen.get((host.name, slot))
        layer = next((x for x in artifact.layers if isinstance(x, ImageArchive)), None) if artifact else None
        if artifact is not None and layer is not None:
            name = f"{number:02}0-{slot}-{arch}-{artifact.sha256[:8]}{MARK}{layer.suffix}"
            yield Archive(slot, artifact, layer, name)


def _marker(archive: Archive) -> str:
    return archive.name.removesuffix(archive.layer.suffix) + _STREAMED


def _listed(ctx: Context, host: Host) -> frozenset[str]:
    return frozenset(ctx.facts[host.name].observed.get("k3s.images", "").split())


def _there(ctx: Context, host: Host, archive: Archive) -> bool:
    return not _listed(ctx, host).isdisjoint({archive.name, _marker(archive)})


def digests(ctx: Context, host: Host, image: Image) -> Iterator[str]:
    """What the runtime of this host would call the image's id."""
    arch = ctx.facts[host.name].kernel_arch
    return (digest for platform, digest in image.configs if platform_arch(platform) == arch)
