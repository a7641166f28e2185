"""Root filesystems made ready to be sent: one packed tree for each platform, kept on the controller."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import NamedTemporaryFile, gettempdir

from sealboot.artifacts.archive_words import broken, tree_findings
from sealboot.artifacts.compress import COMPRESSED, Limits, Meter, StreamError, inflate
from sealboot.artifacts.folder_marks import is_sealos_root
from sealboot.artifacts.reader import Reader, Refusal, Source, chunks, open_file
from sealboot.artifacts.sniff import HEAD, sniff
from sealboot.artifacts.tree_look import look, registry_images
from sealboot.artifacts.tree_merge import UnsafeError, merge
from sealboot.artifacts.tree_pack import pack
from sealboot.artifacts.tree_source import FolderLayer, FolderStore, Layer, TarLayer, TarStore, image_layers
from sealboot.model.archive import Image, ImageArchive, Rootfs
from sealboot.model.artifact import Artifact, Kind
from sealboot.model.diagnostic import Diagnostic, has_errors
from sealboot.model.tree import Packed, Tree
from sealboot.workflow.keeping import NEW, forget_old, keep, kept_folder, not_ours, open_to_others

_SUFFIX, _BLOB = ".tar", ".blob"
_ARCHIVES = COMPRESSED | {Kind.TAR, Kind.DIRECTORY}


def tree_cache() -> Path:
    """Where packed trees are kept."""
    return kept_folder("trees")


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


def _packed(artifact: Artifact, layers: Sequence[Layer], cache: Path) -> Artifact:
    foreign = open_to_others(cache)
    if foreign is not None:
        return _refused(artifact, not_ours(artifact.path, foreign))
    for suffix in (_SUFFIX, _BLOB):
        forget_old(cache, suffix)
    merged = merge(layers, Meter(Limits()))
    with ExitStack() as stack:
        tree = stack.enter_context(NamedTemporaryFile(dir=cache, prefix=NEW, delete=False))
        registry = stack.enter_context(NamedTemporaryFile(dir=cache, prefix=NEW, delete=False))
        for file in (tree, registry):
            stack.callback(Path(file.name).unlink, missing_ok=True)
        blobs: list[Packed] = []

        def take(digest: str, size: int, pieces: Iterator[bytes]) -> None:
            blob = stack.enter_context(NamedTemporaryFile(dir=cache, prefix=NEW, delete=False))
            stack.callback(Path(blob.name).unlink, missing_ok=True)
            blob.writelines(pieces)
            blobs.append(keep(blob, digest, size, cache, _BLOB))
            blob.close()

        wrote, served = pack(layers, merged, Meter(Limits()), tree, registry, apart=take)
        own = keep(tree, wrote.sha256, wrote.size, cache, _SUFFIX)
        images = keep(registry, served.sha256, served.size, cache, _SUFFIX) if served.files else None
    return _looked(artifact, own, images, tuple(sorted(blobs, key=lambda blob: blob.sha256)))


def _looked(artifact: Artifact, own: Packed, served: Packed | None, blobs: tuple[Packed, ...]) -> Artifact:
    label = artifact.path
    with _open(own) as opened:
        looked = look(opened, Meter(Limits()))
    images: tuple[Image, ...] = ()
    if served is not None:
        with ExitStack() as stack, _open(served) as opened:
            # Opened when one of them is a document: layers only have to be there.
            apart = {blob.sha256: partial(lambda b: stack.enter_context(_open(b)), blob) for blob in blobs}
            images = registry_images(opened, Meter(Limits()), apart)
    found = tree_findings(label, looked.rootfs, looked.trouble, None)
    facts = {
        "programs": str(sum(p.count for p in looked.programs)),
        "images": str(len(images)),
        "packed": f"{sum(file.size for file in (own, *([served] if served else []), *blobs))} bytes",
    }
    tree = Tree("tree", facts, own, served, looked.programs, images, blobs)
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
