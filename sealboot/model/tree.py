"""A root filesystem made ready to be sent: packed into plain archives, its programs and images known."""

from __future__ import annotations

from dataclasses import dataclass

from sealboot.model.archive import Image
from sealboot.model.artifact import Artifact, Elf, Other


@dataclass(frozen=True, slots=True)
class Packed:
    """A file on the controller: where it is, its SHA-256 (hex) and its size in bytes."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Program:
    """One program of a tree, and how many others there are of which a kernel would think the same.

    A path inside an archive inside the tree is `cri/x.tar.gz!usr/bin/y`.
    """

    path: str
    elf: Elf
    count: int = 1


@dataclass(frozen=True, slots=True)
class Tree(Other):
    """A packed root filesystem as a layer: `name` is `tree`, `facts` say the rest as text.

    `registry` is what belongs to the host that serves images alone, `images`
    are those in it by repository and tag. Its large `blobs` are files of their
    own, whose name in a registry is their digest.
    """

    packed: Packed | None = None
    registry: Packed | None = None
    programs: tuple[Program, ...] = ()
    images: tuple[Image, ...] = ()
    blobs: tuple[Packed, ...] = ()


def tree_of(artifact: Artifact) -> Tree | None:
    """The packed tree of an artifact; `None` for one that is no root filesystem or could not be packed."""
    return next((layer for layer in artifact.layers if isinstance(layer, Tree)), None)
