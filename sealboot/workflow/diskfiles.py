"""Disk images measured: inflated to their end once, and then remembered by the digest of their file.

An image is gigabytes of zeros behind some megabytes, so that inflating and
digesting it takes seconds each time. What is remembered is never taken on
trust: whoever writes the image digests it again, here and on the disk.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryFile
from typing import IO, Any

from sealboot.artifacts.disk_look import look
from sealboot.artifacts.diskimage import compression, pieces
from sealboot.artifacts.reader import Reader
from sealboot.model.arch import Arch
from sealboot.model.bootfiles import DiskImage
from sealboot.workflow.keeping import NEW, forget_old, open_to_others

_SUFFIX = ".disk"
#: An EFI system partition ends well before; what is in it is looked at through a temporary file.
_LOOKED_AT = 3 << 30
#: Of what is remembered of one image.
_MAX = 1 << 16


def measured(path: Path, sha256: str, folder: Path) -> DiskImage | None:
    """What is in the file, whose own digest is `sha256`; `None` when that is no disk.

    `folder` remembers it, if nobody else can write there. Raises `OSError`
    and `ImageError`.
    """
    place = folder / f"{sha256}{_SUFFIX}" if sha256 and open_to_others(folder) is None else None
    known = _recalled(place) if place is not None else None
    if known is not None:
        return known
    made = _measure(path)
    if made is not None and place is not None:
        forget_old(folder, _SUFFIX)
        _remember(place, made)
    return made


def _measure(path: Path) -> DiskImage | None:
    with path.open("rb") as file:
        method = compression(file.read(8))
    digest, size = hashlib.sha256(), 0
    with TemporaryFile(prefix="sealboot-") as scratch:
        for piece in pieces(path):
            digest.update(piece)
            if size < _LOOKED_AT:
                _sparse(scratch, piece)
            size += len(piece)
        scratch.truncate(min(size, scratch.tell()))
        scratch.flush()
        again = os.dup(scratch.fileno())
        with Reader(again, os.fstat(again)) as image:
            looked = look(image)
    if looked is None:
        return None
    return _named(
        DiskImage(
            "disk image",
            size=size,
            sha256=digest.hexdigest(),
            compression=str(method or ""),
            table=looked.table,
            bios=looked.bios,
            loaders=looked.loaders,
            esp=looked.esp,
            labels=looked.labels,
        )
    )


def _sparse(file: IO[bytes], piece: bytes) -> None:
    """Write what is not zero: an image of gigabytes is mostly nothing."""
    if piece.strip(b"\0"):
        file.write(piece)
    else:
        file.seek(len(piece), os.SEEK_CUR)


def _named(made: DiskImage) -> DiskImage:
    """The image with its facts as text, for people."""
    facts = {"table": made.table, "size": f"{made.size} bytes", "partitions": ", ".join(made.labels)}
    return DiskImage(made.name, facts, **{key: getattr(made, key) for key in _KEPT})


_KEPT = ("size", "sha256", "compression", "table", "bios", "loaders", "esp", "labels")


def _remember(place: Path, made: DiskImage) -> None:
    told = {key: getattr(made, key) for key in _KEPT}
    with ExitStack() as stack:
        file = stack.enter_context(NamedTemporaryFile("w", dir=place.parent, prefix=NEW, delete=False))
        stack.callback(Path(file.name).unlink, missing_ok=True)
        json.dump(told, file)
        file.flush()
        Path(file.name).replace(place)


def _recalled(place: Path) -> DiskImage | None:
    """What was remembered; anything that is not wholly understood was not."""
    with suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
        with place.open("rb") as file:
            told: Mapping[str, Any] = json.loads(file.read(_MAX))
        made = DiskImage(
            "disk image",
            size=int(told["size"]),
            sha256=str(told["sha256"]),
            compression=str(told["compression"]),
            table=str(told["table"]),
            bios=told["bios"] is True,
            loaders=tuple(Arch(name) for name in told["loaders"]),
            esp=None if told["esp"] is None else int(told["esp"]),
            labels=tuple(str(name) for name in told["labels"]),
        )
        return _named(made)
    return None
