"""What is in an archive: container images with their platforms, and trees of programs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

#: The layer (`Other`) of a file that lists images, one a line: its fact `images` has them, blanks between.
IMAGE_LIST: Final = "image list"


@dataclass(frozen=True, slots=True)
class Image:
    """One image of an archive.

    `name` is what the archive calls it, empty when it has no name. `platforms`
    are those whose manifest, configuration and every layer are in the archive
    with the right digests; `absent` those that an index claims and that are not.
    `configs` are the digests of the configurations by platform: what runtimes
    call the image's id.
    """

    name: str
    platforms: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    configs: tuple[tuple[str, str], ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class ImageArchive:
    """A container image archive.

    `form` is `docker-archive`, `oci-layout` or `oci-layout+docker-archive`
    (both descriptions over the same blobs). `platforms` are those that every
    image has. `damaged` are the blobs whose bytes do not have the digest they
    are named by. `unfit` says, a reason each, why k3s would not import the file
    although it is sound; `suffix` is the ending of the name by which k3s knows
    its compression, empty where k3s knows none.
    """

    form: str
    images: tuple[Image, ...] = ()
    platforms: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()
    unfit: tuple[str, ...] = ()
    suffix: str = ""
    unpacked: int = 0  # bytes of the tar, decompressed
    window: int | None = None  # bytes; the largest window of a zstd frame


@dataclass(frozen=True, slots=True)
class Programs:
    """The programs of one platform in a tree: how many there are, and some of their paths."""

    platform: str
    count: int
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rootfs:
    """A tree of files with programs in it, in a folder or an archive.

    `sealos` is whether it has the parts of a Sealos root filesystem. `programs`
    are the ELF executables and libraries by platform, the most frequent first;
    a path inside an archive inside the tree is `cri/x.tar.gz!usr/bin/y`.
    """

    sealos: bool
    files: int = 0
    programs: tuple[Programs, ...] = ()
    unpacked: int = 0  # bytes of the files
