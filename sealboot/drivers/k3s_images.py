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

from sealboot.drivers import k3s_images_space as room
from sealboot.drivers.k3s_images_choice import MARK, Archive, archives, digests, folder
from sealboot.drivers.k3s_import import importing, pinning, stored_names
from sealboot.drivers.k3s_node import Node
from sealboot.drivers.k3s_scripts import OPEN, unpacked
from sealboot.model.feed import Feed
from sealboot.model.steps import FileIs, PathExists, Run, Step, Succeeds, Upload

#: Seconds after which an import that has not come is asked for once more.
_AGAIN = 60


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
    asks = _verify(node, (archive,), pinned=True)
    yield Run(
        id=f"import/{host}/{archive.slot}-pins",
        host=host,
        title=f"pin the images of {archive.slot}, so that nothing collects them",
        timeout=120.0,
        check=Succeeds(f"{asks}[ -f {shlex.quote(marker)} ] && sb_all\n", timeout=120.0),
        script=asks + pinning(node.binary, tuple(stored_names(layer)), marker),
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
        f"""{OPEN}sb_image() {{
  sb_last=$1
  {unpacked(node.data)} || return 1
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
            ids = digests(node.ctx, node.host, image)
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
