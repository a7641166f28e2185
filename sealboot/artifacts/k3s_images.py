"""What k3s asks of an image archive beyond being sound.

k3s imports every file in its images folder whose name has an ending it knows.
It chooses the decompression by that ending, gives zstd windows up to 32 MiB,
and tags every image again, which needs a whole name with a tag.
"""

from __future__ import annotations

import re

from sealboot.model.archive import ImageArchive
from sealboot.model.artifact import Kind

#: The decoder of k3s is built with this bound (rancher/wharfie, pkg/tarfile: 1 << 25).
MAX_WINDOW = 1 << 25

_SUFFIXES = {Kind.TAR: ".tar", Kind.GZIP: ".tar.gz", Kind.ZSTD: ".tar.zst", Kind.BZIP2: ".tar.bz2"}
#: `registry/path:tag`, where the registry has a dot, a port, or is localhost (distribution/reference).
_NAME = re.compile(
    r"(?=[^/]*[.:]|localhost/)[A-Za-z0-9.-]+(?::[0-9]{1,5})?"
    r"(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)+:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
)
_SHOWN = 3


def suffix_for(kind: Kind) -> str:
    """The ending that tells k3s the truth about the compression; empty when k3s has none for it."""
    return _SUFFIXES.get(kind, "")


def unfit_for_k3s(archive: ImageArchive, *, folder: bool = False) -> tuple[str, ...]:
    """Why k3s would not import the archive, or not under its names: one text for each reason."""
    reasons: list[str] = []
    if folder:
        reasons.append("it reads archives only: `tar -C FOLDER -cf images.tar .` makes one")
    elif not archive.suffix:
        reasons.append("k3s has no decompression for it: use zstd, gzip, bzip2 or none")
    if archive.window is not None and archive.window > MAX_WINDOW:
        reasons.append(
            f"its zstd window is {archive.window >> 20} MiB, k3s reads up to {MAX_WINDOW >> 20}: "
            "compress it again with at most --long=25 and no --ultra"
        )
    unnamed = sum(not image.name for image in archive.images)
    if unnamed:
        reasons.append(f"{unnamed} images have no name: nothing can refer to them")
    if "oci" in archive.form:  # `docker save` writes names that importers complete: busybox:1
        bad = [i.name for i in archive.images if i.name and not _NAME.fullmatch(i.name)]
        if bad:
            shown = ", ".join(bad[:_SHOWN]) + (", ..." if len(bad) > _SHOWN else "")
            reasons.append(f"k3s wants names like registry/path:tag, not {shown}")
    return tuple(reasons)
