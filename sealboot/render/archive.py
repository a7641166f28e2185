"""Archives in words: the images in one, or the programs."""

from __future__ import annotations

from collections.abc import Iterator

from sealboot.model.archive import Image, ImageArchive, Rootfs
from sealboot.render.text import human_bytes, safe

#: Images and paths listed; JSON has all of them.
_SHOWN = 24


def images_lines(archive: ImageArchive) -> Iterator[str]:
    """Its form and platforms, then an image a line."""
    yield f"container images, {archive.form}"
    yield f"platforms {safe(', '.join(archive.platforms)) or 'none that is whole in every image'}"
    window = f", zstd window {human_bytes(archive.window)}" if archive.window else ""
    yield f"unpacked  {human_bytes(archive.unpacked)}{window}"
    for image in archive.images[:_SHOWN]:
        yield f"image     {safe(image.name) or '(no name)'}{_difference(image, archive)}"
    if len(archive.images) > _SHOWN:
        yield f"          and {len(archive.images) - _SHOWN} more"
    yield f"k3s       {'fit' if not archive.unfit else safe('; '.join(archive.unfit))}"


def _difference(image: Image, archive: ImageArchive) -> str:
    """What an image has beyond the archive's platforms, or claims; nothing when it is like all others."""
    own = "" if image.platforms == archive.platforms else f"  {safe(', '.join(image.platforms))}"
    if not image.platforms:
        own = "  not whole"
    return own + (f"  (claims {safe(', '.join(image.absent))} too)" if image.absent else "")


def rootfs_lines(tree: Rootfs) -> Iterator[str]:
    """How many files and programs, and where the programs of rarer machines are."""
    kind = "a Sealos root filesystem" if tree.sealos else "a tree of files"
    yield f"{kind}, {tree.files} files, {human_bytes(tree.unpacked)}"
    for number, programs in enumerate(tree.programs):
        where = "" if number == 0 else f": {safe(', '.join(programs.paths))}"
        yield f"programs  {programs.count} for {safe(programs.platform)}{where}"
