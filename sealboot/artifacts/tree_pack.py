"""A tree becomes two plain tar archives: what every host needs, and what the registry serves.

The bytes depend on names, modes and contents alone, so that the same tree is
the same archive on every controller and the second run sends nothing. The
format is GNU's: busybox reads its long names, and not those of pax.
"""

from __future__ import annotations

import hashlib
import posixpath
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, cast

from sealboot.artifacts.compress import Meter, StreamError
from sealboot.artifacts.tarwalk import Shape
from sealboot.artifacts.tree_blobs import TakeBlob, large_blobs, proven
from sealboot.artifacts.tree_merge import Entry, Merged, contents
from sealboot.artifacts.tree_source import Layer

#: Lists the SHA-256 of every file that nothing on a host has reason to change, as `sha256sum -c` reads it.
MANIFEST = ".sealboot-manifest"
REGISTRY_MANIFEST = ".sealboot-registry"
_REGISTRY = "registry"
#: Rendered, filled in or appended to on the host.
_CHANGING = ("etc/",)
_TEMPLATES = (".tmpl", ".tpl")
_TIME = 1  # seconds; zero looks like a mistake to some tools


@dataclass(frozen=True, slots=True)
class Written:
    """What was written to one archive."""

    files: int
    sha256: str
    size: int


class _Archive:
    """One tar in the making, hashed as it is written."""

    def __init__(self, sink: IO[bytes], manifest: str, belongs: Callable[[str], bool]) -> None:
        self._digest = hashlib.sha256()
        self._sink = sink
        self._manifest = manifest
        self._belongs = belongs
        self._size = 0
        self._given_up = False
        self._tar = tarfile.open(fileobj=cast("IO[bytes]", self), mode="w|", format=tarfile.GNU_FORMAT)  # noqa: SIM115
        self._sums: list[str] = []
        self.files = 0

    def write(self, data: bytes) -> int:
        if self._given_up:
            return len(data)
        self._digest.update(data)
        self._size += len(data)
        return self._sink.write(data)

    def give_up(self) -> None:
        """Take nothing more: `tarfile` writes its end even when it is thrown away, and complains to the terminal."""
        self._given_up = True

    def mine(self, entries: Sequence[Entry]) -> list[Entry]:
        return [entry for entry in entries if self._belongs(entry.name)]

    def add(self, entry: Entry, kind: bytes, target: str = "") -> None:
        self._tar.addfile(_info(entry, kind, target))

    def file(self, entries: list[Entry], pieces: Iterator[bytes]) -> None:
        first, *others = entries
        body = _Body(pieces, first.size)
        self._tar.addfile(_info(first, tarfile.REGTYPE), body)
        for other in others:
            self.add(other, tarfile.LNKTYPE, first.name)
        self.files += len(entries)
        self._sums += [f"{body.digest.hexdigest()}  {e.name}\n" for e in entries if _stays(e.name)]

    def finish(self) -> Written:
        lines = "".join(sorted(self._sums, key=lambda line: line[66:])).encode()
        entry = Entry(self._manifest, Shape.FILE, 0o644, len(lines))
        self._tar.addfile(_info(entry, tarfile.REGTYPE), _Body(iter([lines]), len(lines)))
        self._tar.close()
        return Written(self.files, self._digest.hexdigest(), self._size)


class _Body:
    """Pieces as a file object of exactly one size, hashed on their way."""

    def __init__(self, pieces: Iterator[bytes], size: int) -> None:
        self._pieces = pieces
        self._left = b""
        self._missing = size
        self.digest = hashlib.sha256()

    def read(self, wanted: int = -1, /) -> bytes:
        wanted = self._missing if wanted < 0 else min(wanted, self._missing)
        while len(self._left) < wanted:
            piece = next(self._pieces, b"")
            if not piece:
                raise StreamError("a file changed while it was read")
            self._left += piece
        data, self._left = self._left[:wanted], self._left[wanted:]
        self._missing -= len(data)
        self.digest.update(data)
        return data


def pack(
    layers: Sequence[Layer],
    merged: Merged,
    meter: Meter,
    tree: IO[bytes],
    registry: IO[bytes],
    *,
    apart: TakeBlob | None = None,
) -> tuple[Written, Written]:
    """Write the tree without its registry, and the registry with paths as in the tree.

    With `apart`, the registry's large blobs go there instead.
    """
    archives = (
        _Archive(tree, MANIFEST, lambda name: not _served(name)),
        _Archive(registry, REGISTRY_MANIFEST, _served),
    )
    try:
        return _filled(archives, layers, merged, meter, apart)
    except BaseException:
        for archive in archives:
            archive.give_up()
        raise


def _filled(
    archives: tuple[_Archive, _Archive],
    layers: Sequence[Layer],
    merged: Merged,
    meter: Meter,
    apart: TakeBlob | None,
) -> tuple[Written, Written]:
    large = large_blobs(merged.files) if apart is not None else {}
    for archive in archives:
        for entry in archive.mine(_with_parents(merged.folders, (*merged.files, *merged.links))):
            archive.add(entry, tarfile.DIRTYPE)
    for entries, found in contents(layers, merged, meter):
        pieces = found.body()
        digest = large.get(entries[0].name) if len(entries) == 1 else None
        if apart is not None and digest is not None:
            apart(digest, entries[0].size, proven(digest, pieces))
            continue
        for archive in archives:
            mine = archive.mine(entries)
            if mine and len(mine) != len(entries):
                raise StreamError(f"{entries[0].name} is linked into and out of {_REGISTRY}/")
            if mine:
                archive.file(mine, pieces)
    for archive in archives:
        for entry in archive.mine(merged.links):
            archive.add(entry, tarfile.SYMTYPE, entry.target)
    first, second = archives
    return first.finish(), second.finish()


def _served(name: str) -> bool:
    return name == _REGISTRY or name.startswith(f"{_REGISTRY}/")


def _stays(name: str) -> bool:
    return not name.startswith(_CHANGING) and not name.endswith(_TEMPLATES)


def _with_parents(folders: Sequence[Entry], others: Sequence[Entry]) -> list[Entry]:
    """Folders that only their contents tell of are made as well, so that none depends on a host's umask."""
    made = {entry.name: entry for entry in folders}
    for entry in (*folders, *others):
        folder = posixpath.dirname(entry.name)
        while folder and folder not in made:
            made[folder] = Entry(folder, Shape.FOLDER, 0o755)
            folder = posixpath.dirname(folder)
    return sorted(made.values(), key=lambda e: e.name)


def _info(entry: Entry, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(entry.name)
    info.type = kind
    info.linkname = target
    info.size = entry.size if kind == tarfile.REGTYPE else 0
    info.mode = 0o777 if kind == tarfile.SYMTYPE else entry.mode
    info.mtime = _TIME
    return info
