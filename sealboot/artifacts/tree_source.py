"""Where the files of a root filesystem come from: a folder, a tar, or the layers of a container image.

Each is a sequence of layers, each layer a sequence of members that can be
walked as often as needed: once to find out what the tree will be, once to copy.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sealboot.artifacts.blobs import MAX_DOCUMENT, File, document
from sealboot.artifacts.compress import Meter, StreamError, inflate
from sealboot.artifacts.images import platform_of
from sealboot.artifacts.reader import Refusal, Source, Window, chunks, open_file
from sealboot.artifacts.sniff import HEAD, sniff
from sealboot.artifacts.tarwalk import BLOCK, Member, Shape, TarWalk

_MAX_DEPTH = 8
_MAX_MANIFESTS = 1_000
_INDEX, _DOCKER = "index.json", "manifest.json"
_ATTESTATION = "vnd.docker.reference.type"


@dataclass(frozen=True, slots=True)
class Found:
    """A member, and its content as long as it is the current one."""

    member: Member
    body: Callable[[], Iterator[bytes]]


class Layer(Protocol):
    """One layer: its members in order."""

    def walk(self, meter: Meter) -> Iterator[Found]:
        """Every member; raises `StreamError` for damage and broken bounds, `OSError` when a medium fails."""
        ...


@dataclass(frozen=True, slots=True)
class TarLayer:
    """A tar, compressed or not, whose bytes can be read by position."""

    source: Source

    def walk(self, meter: Meter) -> Iterator[Found]:
        """Every member of the tar."""
        kind = sniff(self.source.at(0, HEAD))
        tar = TarWalk(inflate(chunks(self.source), kind, meter.inner()))
        for member in tar:
            yield Found(member, tar.body)


@dataclass(frozen=True, slots=True)
class FolderLayer:
    """A folder. Links are members, never followed."""

    root: Path

    def walk(self, meter: Meter) -> Iterator[Found]:
        """Every file, link and folder below it, in a stable order. A folder that cannot be read is no empty one."""
        for folder, folders, names in os.walk(self.root, followlinks=False, onerror=_raised):
            folders.sort()
            for name in sorted([*folders, *names]):
                path = Path(folder, name)
                yield _on_disk(path, str(path.relative_to(self.root)), meter)


def _raised(error: OSError) -> None:
    raise error


def _on_disk(path: Path, name: str, meter: Meter) -> Found:
    info = path.lstat()
    mode = stat.S_IMODE(info.st_mode)
    shape = {stat.S_IFREG: Shape.FILE, stat.S_IFDIR: Shape.FOLDER, stat.S_IFLNK: Shape.LINK}.get(
        stat.S_IFMT(info.st_mode), Shape.OTHER
    )
    target = str(path.readlink()) if shape is Shape.LINK else ""
    size = info.st_size if shape is Shape.FILE else 0

    def body() -> Iterator[bytes]:
        opened = open_file(path)
        if isinstance(opened, Refusal):
            raise StreamError(f"{name}: {opened.reason}")
        with opened:
            if opened.size != size:
                raise StreamError(f"{name} changed while it was read")
            for piece in chunks(opened):
                meter.take(len(piece))
                meter.make(len(piece))
                yield piece

    return Found(Member(name, shape, size, target, 0, mode), body)


class Store(Protocol):
    """The files of an image archive or layout, by name."""

    def get(self, name: str) -> Source | None:
        """The file of this name; `None` when there is none."""
        ...


class FolderStore:
    """An OCI image layout as a folder; what is opened stays open until `close`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._open: list[Any] = []

    def get(self, name: str) -> Source | None:
        """The file below the folder, unless a link is in the way."""
        path = self._root
        for part in name.split("/"):
            path /= part
            if part in {"", ".", ".."} or path.is_symlink():
                return None
        opened = open_file(path)
        if isinstance(opened, Refusal):
            return None
        self._open.append(opened)
        return opened

    def close(self) -> None:
        """Close every file."""
        for reader in self._open:
            reader.__exit__(None, None, None)


class TarStore:
    """The members of an uncompressed tar by name, found in one walk; the last of a name counts."""

    def __init__(self, source: Source, meter: Meter) -> None:
        self._source = source
        self._places: dict[str, tuple[int, int]] = {}
        self._links: dict[str, str] = {}
        for found in TarLayer(source).walk(meter):
            member = found.member
            if member.shape is Shape.FILE:
                self._places[member.name] = (member.offset + BLOCK, member.size)
            elif member.shape is Shape.LINK:
                joined = os.path.normpath(os.path.join(os.path.dirname(member.name), member.target))  # noqa: PTH118, PTH120
                self._links[member.name] = joined

    def get(self, name: str) -> Source | None:
        """A window on the member's content; older archives name equal layers by a link."""
        place = self._places.get(self._links.get(name, name))
        return Window(self._source, *place) if place else None


def image_layers(store: Store, platform: str) -> tuple[Layer, ...] | str | None:
    """The layers of the one image for `platform`, lowest first.

    `None` when the store is no image at all; words when it has no such image, or several.
    """
    index, docker = _document(store, _INDEX), _document(store, _DOCKER)
    if isinstance(index, dict) and isinstance(index.get("manifests"), list):
        lists = _oci(store, index, platform)
    elif isinstance(docker, list) and any(isinstance(e, dict) and "Config" in e for e in docker):
        lists = _saved(store, docker, platform)
    else:
        return None
    unique = list(dict.fromkeys(lists))
    if len(unique) != 1:
        return f"it has {len(unique)} images for {platform}, where one root filesystem was expected"
    layers = [store.get(name) for name in unique[0]]
    whole = [TarLayer(layer) for layer in layers if layer is not None]
    return tuple(whole) if len(whole) == len(layers) else f"a layer for {platform} is not in it"


def _oci(store: Store, index: dict[str, Any], platform: str) -> list[tuple[str, ...]]:
    made: list[tuple[str, ...]] = []
    pending = [(d, 0) for d in index["manifests"]]
    for count, (descriptor, depth) in enumerate(pending):
        # What waits counts as well: a thousand indexes of a thousand names each are a million.
        if max(count, len(pending) - 1) >= _MAX_MANIFESTS or depth > _MAX_DEPTH:
            raise StreamError("its indexes are nested too deeply or name too many manifests", excess=True)
        manifest = _blob(store, descriptor)
        if not isinstance(manifest, dict) or _is_attestation(descriptor):
            continue
        if isinstance(manifest.get("manifests"), list):
            pending += [(d, depth + 1) for d in manifest["manifests"]]
            continue
        layers = manifest.get("layers")
        if platform_of(_blob(store, manifest.get("config"))) == platform and isinstance(layers, list):
            made.append(tuple(_blob_name(d) for d in layers))
    return made


def _is_attestation(descriptor: Any) -> bool:
    annotations = descriptor.get("annotations") if isinstance(descriptor, dict) else None
    return isinstance(annotations, dict) and _ATTESTATION in annotations


def _saved(store: Store, entries: list[Any], platform: str) -> list[tuple[str, ...]]:
    made: list[tuple[str, ...]] = []
    for entry in entries[:_MAX_MANIFESTS]:
        config = entry.get("Config") if isinstance(entry, dict) else None
        if isinstance(config, str) and platform_of(_document(store, config)) == platform:
            layers = entry.get("Layers")
            made.append(tuple(str(name) for name in layers) if isinstance(layers, list) else ())
    return made


def _blob_name(descriptor: Any) -> str:
    digest = descriptor.get("digest") if isinstance(descriptor, dict) else None
    return f"blobs/{digest.replace(':', '/', 1)}" if isinstance(digest, str) else ""


def _blob(store: Store, descriptor: Any) -> Any:
    return _document(store, _blob_name(descriptor))


def _document(store: Store, name: str) -> Any:
    source = store.get(name)
    if source is None or source.size > MAX_DOCUMENT:
        return None
    data = b"".join(chunks(source))
    return document(File(len(data), "", sniff(data[:HEAD]), data))
