"""Image archives of a k3s node: dropped into its images folder whole, proven imported, superseded ones removed.

k3s watches that folder and takes every file whose name has an ending it
knows, two seconds after the first event, in the order of the names. So a file
appears under such an ending only by a rename, once its hash is right; its
name says its place in the order and its content; and a restart is never
needed. An import that fails is not tried again by k3s itself: a new
modification time makes it try.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sealboot.checks.space import covering, size_text
from sealboot.drivers.base import Context
from sealboot.drivers.k3s_node import Node
from sealboot.drivers.k3s_options import K3sOptions
from sealboot.model.arch import platform_arch
from sealboot.model.archive import ImageArchive
from sealboot.model.artifact import Artifact
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.facts import Facts
from sealboot.model.host import Host
from sealboot.model.plan import FileIs, PathExists, Run, Step, Succeeds, Upload

#: In the names of the files that are ours to remove. k3s goes by what follows it.
MARK = ".sealboot"
#: Unpacked layers take this many times their compressed size, as a rule of thumb.
_UNPACKED = 2.5
#: k3s starts its kubelet with eviction-hard at 5 % of the file system: images go when less is free.
_EVICTION = 0.05
#: Seconds after which an import that has not come is asked for once more.
_AGAIN = 60


@dataclass(frozen=True, slots=True)
class Archive:
    """One archive on its way to one host."""

    slot: str
    artifact: Artifact
    layer: ImageArchive
    name: str  # in the images folder


def folder(options: K3sOptions, host: Host) -> str:
    """The folder that k3s imports from."""
    return f"{options.data(host)}/agent/images"


def listing(options: K3sOptions, host: Host) -> str:
    """A script that lists our own files there."""
    return f"cd {shlex.quote(folder(options, host))} 2>/dev/null || exit 0\nls -1 | grep -F {MARK}.\nexit 0\n"


def archives(ctx: Context, options: K3sOptions, host: Host) -> tuple[Archive, ...]:
    """The archives of this host in import order; each name tells order, slot, architecture and content."""
    made: list[Archive] = []
    arch = ctx.facts[host.name].kernel_arch
    for number, slot in enumerate(options.image_slots(ctx.inventory), 1):
        artifact = ctx.chosen.get((host.name, slot))
        layer = next((x for x in artifact.layers if isinstance(x, ImageArchive)), None) if artifact else None
        if artifact is not None and layer is not None:
            name = f"{number:02}0-{slot}-{arch}-{artifact.sha256[:8]}{MARK}{layer.suffix}"
            made.append(Archive(slot, artifact, layer, name))
    return tuple(made)


def put(node: Node) -> Iterator[Step]:
    """The archives of the host's own architecture, and the file in which k3s remembers what it imported."""
    wanted = archives(node.ctx, node.options, node.host)
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
    limit = node.options.import_timeout
    yield Run(
        id=f"import/{host}/images",
        host=host,
        title=f"wait until {_count(wanted)} images are imported",
        timeout=float(limit + 30),
        check=Succeeds(_verify(node, wanted) + "sb_all\n", timeout=120.0),
        script=_verify(node, wanted) + _wait(node, wanted, limit),
    )
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


def findings(ctx: Context, options: K3sOptions) -> Iterator[Diagnostic]:
    """SB635: an archive that k3s would not import. SB636: too little space for what becomes of it."""
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
        yield from _space(ctx.facts[host.name], options, host, wanted)


def _unfit(ctx: Context, host: Host, slot: str, artifact: Artifact, reasons: Sequence[str]) -> Diagnostic:
    return Diagnostic(
        "SB635",
        f"k3s on {host.name} would not import {artifact.path}",
        host=host.name,
        artifact=artifact.path,
        at=ctx.inventory.origins.get(f"artifacts.{slot}"),
        evidence=tuple((f"reason {n}", text) for n, text in enumerate(reasons, 1)),
    )


def _space(facts: Facts, options: K3sOptions, host: Host, wanted: Sequence[Archive]) -> Iterator[Diagnostic]:
    """Archive, blobs, unpacked layers, and what must stay free: for archives that are not there yet."""
    there = set(facts.observed.get("k3s.images", "").split())
    coming = [archive for archive in wanted if archive.name not in there]
    place = covering(facts, options.data(host))
    if not coming or place is None or place.free is None or place.total is None:
        return
    files = sum(a.artifact.size for a in coming)
    blobs = sum(a.layer.unpacked for a in coming)
    kept = round(place.total * _EVICTION)
    unpacked = round(blobs * _UNPACKED)
    short = files + blobs + kept > place.free
    if not short and files + blobs + unpacked + kept <= place.free:
        return
    text = "cannot hold its images" if short else "will be short of space once its images are unpacked"
    yield Diagnostic(
        "SB636",
        f"{host.name} {text}: {size_text(place.free)} are free on {place.mount or place.existing}",
        Severity.ERROR if short else Severity.WARNING,
        host=host.name,
        at=host.origin("paths.data"),
        evidence=(
            ("archives", size_text(files)),
            ("imported", size_text(blobs)),
            ("unpacked", f"about {size_text(unpacked)}"),
            ("must stay free", f"{size_text(kept)} (the kubelet removes images below 5 %)"),
        ),
        hints=("make room, or set `paths: {data: …}` of this host to a larger file system",),
    )


def _count(wanted: Sequence[Archive]) -> int:
    return sum(len(archive.layer.images) for archive in wanted)


def _verify(node: Node, wanted: Sequence[Archive]) -> str:
    """Shell: `sb_all` succeeds when CRI shows every image with its digest and architecture; `sb_last` is the one that is not.

    What is asked is the image that a pod would run: an index lists platforms whose layers never came.
    """
    arch = node.ctx.facts[node.host.name].kernel_arch
    lines = [
        f"""sb_image() {{
  sb_last=$1
  sb_said=$({shlex.quote(node.binary)} crictl inspecti -o json "$1" 2>/dev/null | tr -d ' \\t\\r\\n')
  case $sb_said in *'"architecture":"{arch}"'*) ;; *) return 1 ;; esac
  [ -n "$2" ] || return 0
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
