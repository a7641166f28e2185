"""An OCI image layout as a folder: what its archive would say, without one.

Links are never followed, so nothing outside the folder is read; what is only
linked is not there for us, and is said.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from sealboot.artifacts.archive_words import archive_findings
from sealboot.artifacts.blobs import MAX_FILES, Store
from sealboot.artifacts.compress import Limits, Meter, StreamError
from sealboot.artifacts.hasher import Hasher
from sealboot.artifacts.images import read_images
from sealboot.artifacts.k3s_images import unfit_for_k3s
from sealboot.artifacts.name import arch_in_name
from sealboot.artifacts.reader import Refusal, chunks, open_file
from sealboot.artifacts.sniff import HEAD
from sealboot.artifacts.tarwalk import Member, Shape
from sealboot.model.artifact import Artifact, Kind

_MAX_DEPTH = 4  # blobs/sha256/DIGEST is two folders down
_SHOWN = 3


def read_layout(path: Path, label: str, limits: Limits | None = None) -> Artifact:
    """The folder as one artifact of kind DIRECTORY, without a digest of its own; never raises.

    Findings as of an archive: SB404, SB409 for a folder that breaks a bound.
    """
    meter = Meter(limits or Limits())
    seen = _Seen()
    excess: StreamError | None = None
    with Hasher() as hasher:
        store = Store(hasher)
        try:
            for name, file in _files(path, seen):
                _record(store, name, file, meter, seen)
        except StreamError as error:
            excess = error
    reading = read_images(store)
    if reading is None:  # the mark went away while we looked
        return Artifact(path=label, kind=Kind.DIRECTORY, named_arch=arch_in_name(label))
    layer = replace(reading.layer, unpacked=meter.made)
    layer = replace(layer, unfit=unfit_for_k3s(layer, folder=True))
    if excess is not None:
        layer = replace(layer, platforms=())
    told = archive_findings(label, layer, reading.errors, [*reading.warnings, *seen.words()], excess)
    return Artifact(
        path=label,
        kind=Kind.DIRECTORY,
        size=meter.made,
        platforms=layer.platforms,
        layers=(layer,),
        named_arch=arch_in_name(label),
        diagnostics=told,
    )


@dataclass(slots=True)
class _Seen:
    """What was in the folder and is no file that could be read."""

    links: list[str] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)

    def words(self) -> list[str]:
        made = []
        if self.links:
            more = f" and {len(self.links) - _SHOWN} more" if len(self.links) > _SHOWN else ""
            made.append(f"links are not followed: {', '.join(self.links[:_SHOWN])}{more}")
        return made + self.trouble[:_SHOWN]


def _files(root: Path, seen: _Seen) -> Iterator[tuple[str, Path]]:
    """The regular files, in a stable order. Raises `StreamError` where there are more than any image has."""

    def closed(error: OSError) -> None:
        where = os.path.relpath(error.filename, root)
        seen.trouble.append(f"{where}: {(error.strerror or 'cannot be read').lower()}")

    count = 0
    for folder, folders, names in os.walk(root, followlinks=False, onerror=closed):
        where = Path(folder)
        depth = len(where.relative_to(root).parts)
        seen.links += [str((where / f).relative_to(root)) for f in folders if (where / f).is_symlink()]
        folders[:] = sorted(folders) if depth < _MAX_DEPTH else []
        for name in sorted(names):
            count += 1
            if count > MAX_FILES:
                raise StreamError(f"a folder of more than {MAX_FILES} files", excess=True)
            path = where / name
            relative = str(path.relative_to(root))
            if path.is_symlink():
                seen.links.append(relative)
            else:
                yield relative, path


def _record(store: Store, name: str, path: Path, meter: Meter, seen: _Seen) -> None:
    opened = open_file(path)
    if isinstance(opened, Refusal):
        if opened.code:  # a FIFO or socket is nothing that could not be read: it is nothing
            seen.trouble.append(f"{name}: {opened.reason}")
        return
    with opened:
        try:
            take = store.record(Member(name, Shape.FILE, opened.size, "", 0), opened.at(0, HEAD))
            for piece in chunks(opened):
                meter.take(len(piece))
                meter.make(len(piece))
                take(piece)
        except OSError as error:
            seen.trouble.append(f"{name}: {(error.strerror or 'cannot be read').lower()}")
            return
        if opened.changed:
            seen.trouble.append(f"{name}: changed while it was read")
            return
    store.finish()
