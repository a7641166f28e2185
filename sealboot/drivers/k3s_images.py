"""Image archives of a k3s node: dropped into its images folder whole, proven imported, superseded ones removed.

k3s watches that folder and takes every file whose name has an ending it
knows, two seconds after the first event, in the order of the names. So a file
appears under such an ending only by a rename, once its hash is right; its
name says its place in the order and its content; and a restart is never
needed. An import that fails is not tried again by k3s itself: a new
modification time makes it try.

A host that has no room for the file is sent what is in it instead, straight
into containerd (`k3s_import`). An empty file beside the archives then says so.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from sealboot.drivers import k3s_images_space as room
from sealboot.drivers.base import Context
from sealboot.drivers.k3s_import import importing, pinning, stored_names
from sealboot.drivers.k3s_node import Node
from sealboot.drivers.k3s_options import K3sOptions
from sealboot.model.arch import platform_arch
from sealboot.model.archive import Image, ImageArchive
from sealboot.model.artifact import Artifact
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.feed import Feed
from sealboot.model.host import Host
from sealboot.model.plan import FileIs, PathExists, Run, Step, Succeeds, Upload

#: In the names of the files that are ours to remove. k3s goes by what follows it.
MARK = ".sealboot"
#: Endings of the empty files that stand for streamed archives; k3s takes no such file.
_STREAMED = ".streamed"
#: Begins the list of a host's own files, where that list can be believed to be all.
_SEEN = "./"
#: Seconds after which an import that has not come is asked for once more.
_AGAIN = 60


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
    kept = tuple(_kept(ctx, options, host))
    coming = [archive for archive in kept if not _there(ctx, host, archive)]
    way = _way(ctx, options, host, coming)
    made: list[Archive] = []
    for archive in kept:
        streamed = replace(archive, name=_marker(archive), way="stream")
        known = _listed(ctx, host)
        if options.images_import == "auto" and archive not in coming:
            # What is there stays as it came, so that a second run has nothing to do.
            made.append(streamed if archive.name not in known else archive)
        else:
            made.append(streamed if way == "stream" else archive)
    return tuple(made)


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


def _way(ctx: Context, options: K3sOptions, host: Host, coming: Sequence[Archive]) -> room.Way:
    """The way of what is coming. Where nobody could look, it may all be there: then nothing is decided by space."""
    if options.images_import != "auto":
        return options.images_import
    if _SEEN not in _listed(ctx, host):
        return "keep"
    load = room.total(archive.load for archive in coming)
    return room.roomy(room.places(ctx.facts[host.name], options, host), load)


def put(node: Node) -> Iterator[Step]:
    """The archives of the host's own architecture, and the file in which k3s remembers what it imported."""
    wanted = _of(archives(node.ctx, node.options, node.host), "keep")
    if not wanted:
        return
    host, place = node.host.name, folder(node.options, node.host)
    cache = f"{place}/.cache.json"
    yield Run(
        id=f"images/{host}/cache",
        host=host,
        title=f"let k3s remember its imports in {cache}",
        timeout=60.0,
        check=PathExists(cache),
        script=f"umask 022\nmkdir -p {shlex.quote(place)} && : >>{shlex.quote(cache)}\n",
    )
    for archive in wanted:
        dest = f"{place}/{archive.name}"
        yield Upload(
            id=f"images/{host}/{archive.slot}",
            host=host,
            title=f"upload {archive.slot} to {dest}",
            timeout=3600.0,
            check=FileIs(dest, archive.artifact.sha256, 0o644),
            source=archive.artifact.path,
            sha256=archive.artifact.sha256,
            size=archive.artifact.size,
            dest=dest,
            mode=0o644,
            keep_previous=False,
            slot=archive.slot,
            whole_mtime=True,
        )


def imported(node: Node) -> Iterator[Step]:
    """Proof that every image is there by the digest of its configuration, then away with superseded files."""
    wanted = archives(node.ctx, node.options, node.host)
    if not wanted:
        return
    host, place = node.host.name, folder(node.options, node.host)
    kept, limit = _of(wanted, "keep"), node.options.import_timeout
    if kept:
        yield Run(
            id=f"import/{host}/images",
            host=host,
            title=f"wait until {_count(kept)} images are imported",
            timeout=float(limit + 30),
            check=Succeeds(_verify(node, kept) + "sb_all\n", timeout=120.0),
            script=_verify(node, kept) + _wait(node, kept, limit),
        )
    for archive in _of(wanted, "stream"):
        yield from _streamed(node, archive, place)
    keep = "|".join(shlex.quote(archive.name) for archive in wanted)
    loop = f"cd {shlex.quote(place)} 2>/dev/null || exit 0\nfor file in *{MARK}.*; do\n  case $file in {keep}|'*{MARK}.*') continue ;; esac\n"
    yield Run(
        id=f"import/{host}/superseded",
        host=host,
        title="remove superseded archives",
        timeout=60.0,
        check=Succeeds(f"{loop}  exit 1\ndone\n"),
        script=f'{loop}  rm -f -- "$file" || exit 1\ndone\n',
    )


def _of(wanted: Sequence[Archive], way: room.Way) -> tuple[Archive, ...]:
    return tuple(archive for archive in wanted if archive.way == way)


def _streamed(node: Node, archive: Archive, place: str) -> Iterator[Step]:
    """An archive into containerd, then its pins; what is there already is neither sent nor pinned again."""
    host, layer = node.host.name, archive.layer
    why = "" if node.options.images_import == "stream" else ", as the archive itself has no room beside them"
    yield Run(
        id=f"import/{host}/{archive.slot}",
        host=host,
        title=f"stream the images of {archive.slot} into containerd{why}",
        timeout=3600.0,
        check=Succeeds(_verify(node, (archive,)) + "sb_all\n", timeout=120.0),
        script=importing(node.binary),
        feed=Feed(
            archive.artifact.path,
            archive.artifact.sha256,
            layer.unpacked,
            unpack=layer.suffix != ".tar",
        ),
    )
    marker = f"{place}/{archive.name}"
    asks = _verify(node, (archive,), pinned=True) + "sb_pinned() { sb_all; }\n"
    yield Run(
        id=f"import/{host}/{archive.slot}-pins",
        host=host,
        title=f"pin {_count((archive,))} streamed images, so that nothing collects them",
        timeout=120.0,
        check=Succeeds(f"{asks}[ -f {shlex.quote(marker)} ] && sb_pinned\n", timeout=120.0),
        script=asks + pinning(node.binary, tuple(stored_names(layer)), marker),
    )


def findings(ctx: Context, options: K3sOptions) -> Iterator[Diagnostic]:
    """SB635: an archive that k3s would not import. SB636: too little space for what becomes of it. SB665: one name twice."""
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
        coming = [a for a in _kept(ctx, options, host) if not _there(ctx, host, a)]
        found = room.places(ctx.facts[host.name], options, host)
        load = room.total(a.load for a in coming)
        yield from room.finding(host, found, load, _way(ctx, options, host, coming))


def _twice(ctx: Context, host: Host, wanted: Sequence[Archive]) -> Iterator[Diagnostic]:
    """SB665: two archives call different images by one name: the one that is imported last would have it."""
    known: dict[str, tuple[Archive, frozenset[str]]] = {}
    for archive in wanted:
        for image, name in zip(archive.layer.images, stored_names(archive.layer), strict=True):
            own = frozenset(_digests(ctx, host, image))
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


def _digests(ctx: Context, host: Host, image: Image) -> Iterator[str]:
    """What the runtime of this host would call the image's id."""
    arch = ctx.facts[host.name].kernel_arch
    return (digest for platform, digest in image.configs if platform.split("/")[1] == arch)


def _unfit(ctx: Context, host: Host, slot: str, artifact: Artifact, reasons: Sequence[str]) -> Diagnostic:
    return Diagnostic(
        "SB635",
        f"k3s on {host.name} would not import {artifact.path}",
        host=host.name,
        artifact=artifact.path,
        at=ctx.inventory.origins.get(f"artifacts.{slot}"),
        evidence=tuple((f"reason {n}", text) for n, text in enumerate(reasons, 1)),
    )


def _count(wanted: Sequence[Archive]) -> int:
    return sum(len(archive.layer.images) for archive in wanted)


def _verify(node: Node, wanted: Sequence[Archive], *, pinned: bool = False) -> str:
    """Shell: `sb_all` succeeds when CRI shows every image with its digest and architecture; `sb_last` is the one that is not.

    What is asked is the image that a pod would run: an index lists platforms whose layers never came.
    """
    arch = node.ctx.facts[node.host.name].kernel_arch
    pins = """  case $sb_said in *'"pinned":true'*) ;; *) return 1 ;; esac\n""" if pinned else ""
    lines = [
        f"""sb_image() {{
  sb_last=$1
  sb_said=$({shlex.quote(node.binary)} crictl inspecti -o json "$1" 2>/dev/null | tr -d ' \\t\\r\\n')
  case $sb_said in *'"architecture":"{arch}"'*) ;; *) return 1 ;; esac
{pins}  [ -n "$2" ] || return 0
  for sb_id in $2; do case $sb_said in *'"id":"'"$sb_id"'"'*) return 0 ;; esac; done
  return 1
}}
sb_all() {{
"""
    ]
    for archive in wanted:
        for image in archive.layer.images:
            ids = [digest for platform, digest in image.configs if platform_arch(platform) == arch]
            lines.append(f"  sb_image {shlex.quote(image.name)} {shlex.quote(' '.join(ids))} || return 1\n")
    return "".join([*lines, "  return 0\n}\n"])


def _wait(node: Node, wanted: Sequence[Archive], limit: int) -> str:
    files = " ".join(shlex.quote(f"{folder(node.options, node.host)}/{archive.name}") for archive in wanted)
    return f"""sb_until=$(( $(date +%s) + {limit} )) sb_again=$(( $(date +%s) + {_AGAIN} ))
until sb_all; do
  sb_now=$(date +%s)
  if [ "$sb_now" -ge "$sb_until" ]; then
    echo "not imported for {node.ctx.facts[node.host.name].kernel_arch}: $sb_last" >&2
    journalctl -u {node.service} -n 400 --no-pager -q -o cat 2>/dev/null | grep -F 'process image event' | tail -n 5 >&2
    exit 1
  fi
  if [ "$sb_now" -ge "$sb_again" ]; then
    sb_again=$(( sb_until + 1 ))
    touch -t "$(date +%Y%m%d%H%M.%S)" {files}
  fi
  sleep 1
done
"""
