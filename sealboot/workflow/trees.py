"""Root filesystems made ready to be sent: one packed tree for each platform, kept on the controller."""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import NamedTemporaryFile, gettempdir
from typing import IO

from sealboot.artifacts.archive_words import broken, tree_findings
from sealboot.artifacts.compress import COMPRESSED, Limits, Meter, StreamError, inflate
from sealboot.artifacts.folder_marks import is_sealos_root
from sealboot.artifacts.reader import Reader, Refusal, Source, chunks, open_file
from sealboot.artifacts.sniff import HEAD, sniff
from sealboot.artifacts.tree_look import look, registry_images
from sealboot.artifacts.tree_merge import UnsafeError, merge
from sealboot.artifacts.tree_pack import Written, pack
from sealboot.artifacts.tree_source import FolderLayer, FolderStore, Layer, TarLayer, TarStore, image_layers
from sealboot.model.archive import Image, ImageArchive, Rootfs
from sealboot.model.artifact import Artifact, Kind
from sealboot.model.diagnostic import Diagnostic, has_errors
from sealboot.model.tree import Packed, Tree

#: A tree is written anew by each run that needs it.
_KEPT_SECONDS = 30 * 86400.0
#: What was written here, and nothing else in the folder, is ours to remove.
_OURS = re.compile(r"[0-9a-f]{64}\.tar|\.new-\w+")
_ARCHIVES = COMPRESSED | {Kind.TAR, Kind.DIRECTORY}


def tree_cache() -> Path:
    """Where packed trees are kept, by the XDG base directory specification; it may be deleted at any time.

    A relative `XDG_CACHE_HOME` counts as unset, as the specification says.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not base.startswith("/"):
        base = str(Path("~/.cache").expanduser())
    return Path(base) / "sealboot" / "trees"


def packed(artifacts: Sequence[Artifact], base: Path, cache: Path) -> tuple[Artifact, ...]:
    """The artifacts, each root filesystem or image replaced by its packed trees, one for each platform.

    A file that holds several platforms becomes several artifacts, named
    `FILE#PLATFORM`. What cannot be packed keeps its own reading and gets the
    reason: SB420 for what must not be unpacked, SB401 and SB409 for damage and
    broken bounds, SB408 when a medium fails. Other artifacts pass unchanged.
    """
    made: list[Artifact] = []
    for artifact in artifacts:
        made += _each(artifact, base, cache) if artifact.kind in _ARCHIVES else [artifact]
    return tuple(made)


def _each(artifact: Artifact, base: Path, cache: Path) -> Iterator[Artifact]:
    inside = artifact.layers[0] if artifact.layers else None
    if has_errors(artifact.diagnostics) or not isinstance(inside, (ImageArchive, Rootfs)):
        yield artifact
        return
    several = isinstance(inside, ImageArchive) and len(artifact.platforms) > 1
    for platform in artifact.platforms:
        name = f"{artifact.path}#{platform}" if several else artifact.path
        # What is told of it as something to import (SB404) is nothing to a tree.
        told = tuple(d for d in artifact.diagnostics if d.code != "SB404")
        one = replace(artifact, path=name, platforms=(platform,), diagnostics=told)
        yield _one(one, base / artifact.path, platform, cache)


def _one(artifact: Artifact, path: Path, platform: str, cache: Path) -> Artifact:
    label = artifact.path
    try:
        with ExitStack() as stack:
            layers = _layers(path, platform, stack, artifact.sha256 if artifact.verified else "")
            if isinstance(layers, str):
                return _refused(artifact, Diagnostic("SB420", f"{label}: {layers}", artifact=label))
            return _packed(artifact, layers, cache)
    except UnsafeError as error:
        hint = "a root filesystem is unpacked by root: build it again without this"
        return _refused(artifact, Diagnostic("SB420", f"{label}: {error}", artifact=label, hints=(hint,)))
    except StreamError as error:
        return _refused(artifact, broken(label, error))
    except OSError as error:
        at = Path(str(error.filename or "/"))
        where = f" in {cache}" if at in {cache, *cache.parents} - {Path("/")} or cache in at.parents else ""
        why = f"{label} cannot be packed{where}: {(error.strerror or 'the medium failed').lower()}"
        full = error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
        hint = f"it is inflated in {gettempdir()} and packed in {cache}: make room there, or set TMPDIR and XDG_CACHE_HOME"
        return _refused(artifact, Diagnostic("SB408", why, artifact=label, hints=(hint,) if full else ()))


def _not_ours(label: str, folder: Path) -> Diagnostic:
    return Diagnostic(
        "SB408",
        f"{label} cannot be packed: others can write to {folder}, where packed trees are kept",
        artifact=label,
        hints=(f"chmod go-w {folder}, if it is yours", "or set XDG_CACHE_HOME to a folder of your own"),
    )


def _refused(artifact: Artifact, why: Diagnostic) -> Artifact:
    return replace(artifact, diagnostics=(*artifact.diagnostics, why))


def _layers(path: Path, platform: str, stack: ExitStack, verified: str) -> tuple[Layer, ...] | str:
    """The layers of the tree for this platform, lowest first; words when there are none.

    `verified` is the digest that was vouched for, if one was: the file is packed by these bytes or not at all.
    """
    if path.is_dir():
        if verified:
            raise StreamError("it is no longer the file that was verified")
        if is_sealos_root(path):
            return (FolderLayer(path),)
        store = FolderStore(path)
        stack.callback(store.close)
        return image_layers(store, platform) or "it is no image"
    source = _plain(path, stack, verified)
    found = image_layers(TarStore(source, Meter(Limits())), platform)
    return (TarLayer(source),) if found is None else found


def _plain(path: Path, stack: ExitStack, verified: str) -> Source:
    """The file, inflated into a temporary one when it is compressed."""
    opened = open_file(path)
    if isinstance(opened, Refusal):
        raise StreamError(opened.reason)
    stack.enter_context(opened)
    if verified:
        if opened.sha256() != verified:
            raise StreamError("it is no longer the file that was verified")
        stack.callback(_unchanged, opened)
    kind = sniff(opened.at(0, HEAD))
    if kind not in COMPRESSED:
        return opened
    scratch = stack.enter_context(NamedTemporaryFile(prefix="sealboot-"))  # noqa: SIM115 (the stack closes it)
    for piece in inflate(chunks(opened), kind, Meter(Limits())):
        scratch.write(piece)
    scratch.flush()
    again = open_file(Path(scratch.name))
    if isinstance(again, Refusal):
        raise StreamError(again.reason)
    return stack.enter_context(again)


def _unchanged(opened: Reader) -> None:
    """Asked when all of it was read."""
    if opened.changed:
        raise StreamError("it changed after it was verified")


def _forget_old(cache: Path) -> None:
    """Remove what no run has made for a month, and what a killed one left."""
    for path in cache.iterdir():
        with suppress(OSError):  # another run was faster, or is not ours
            if _OURS.fullmatch(path.name) and time.time() - path.lstat().st_mtime > _KEPT_SECONDS:
                path.unlink()


def _open_to_others(cache: Path) -> Path | None:
    """Make the folder; the part of it in which somebody else could put another file under our names, if any.

    A link counts as its owner's: in a folder for everybody, anyone may have put it there.
    """
    for folder in (cache.parent, cache):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        owners, info = {folder.lstat().st_uid, folder.stat().st_uid}, folder.stat()
        if owners != {os.geteuid()} or info.st_mode & 0o022:
            return folder
    return None


def _packed(artifact: Artifact, layers: Sequence[Layer], cache: Path) -> Artifact:
    foreign = _open_to_others(cache)
    if foreign is not None:
        return _refused(artifact, _not_ours(artifact.path, foreign))
    _forget_old(cache)
    merged = merge(layers, Meter(Limits()))
    with ExitStack() as stack:
        tree = stack.enter_context(NamedTemporaryFile(dir=cache, prefix=".new-", delete=False))
        registry = stack.enter_context(NamedTemporaryFile(dir=cache, prefix=".new-", delete=False))
        for file in (tree, registry):
            stack.callback(Path(file.name).unlink, missing_ok=True)
        wrote, served = pack(layers, merged, Meter(Limits()), tree, registry)
        own = _keep(tree, wrote, cache)
        images = _keep(registry, served, cache) if served.files else None
    return _looked(artifact, own, images)


def _keep(file: IO[bytes], wrote: Written, cache: Path) -> Packed:
    """Give the archive its digest as its name; whoever finds it there finds it whole."""
    file.flush()
    dest = cache / f"{wrote.sha256}.tar"
    Path(file.name).replace(dest)
    return Packed(str(dest), wrote.sha256, wrote.size)


def _looked(artifact: Artifact, own: Packed, served: Packed | None) -> Artifact:
    label = artifact.path
    with _open(own) as opened:
        looked = look(opened, Meter(Limits()))
    images: tuple[Image, ...] = ()
    if served is not None:
        with _open(served) as opened:
            images = registry_images(opened, Meter(Limits()))
    found = tree_findings(label, looked.rootfs, looked.trouble, None)
    facts = {
        "programs": str(sum(p.count for p in looked.programs)),
        "images": str(len(images)),
        "packed": f"{own.size + (served.size if served else 0)} bytes",
    }
    tree = Tree("tree", facts, own, served, looked.programs, images)
    whole = looked.rootfs or Rootfs(sealos=False)
    known = [p.platform for p in whole.programs if "/" in p.platform]
    return replace(
        artifact,
        sha256=artifact.sha256 or own.sha256,
        platforms=tuple(known[:1]),
        layers=(whole, tree),
        diagnostics=tuple(dict.fromkeys((*artifact.diagnostics, *found))),
    )


def _open(file: Packed) -> Reader:
    opened = open_file(Path(file.path))
    if isinstance(opened, Refusal):
        raise StreamError(opened.reason)
    return opened
