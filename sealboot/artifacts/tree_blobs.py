"""The large blobs of a packed registry, kept apart: what is named after its content need not be sent twice.

A registry on disk is a few hundred small documents and links, and layers that
are nearly all of its bytes. The layers are taken out of its archive, each a
file under its own digest, so that a host gets those that it lacks and each can
be looked at by itself. A blob whose content is not what its name says is
damage, found here and not by the node that pulls it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from sealboot.artifacts.compress import StreamError
from sealboot.artifacts.tree_merge import Entry

#: Smaller ones stay in the archive: a round trip costs more than they do.
LARGE = 64 << 10
#: No more than this many, the largest first: each is a step of a plan.
_MOST = 1_000
_BLOB = re.compile(r"registry/docker/registry/v2/blobs/sha256/([0-9a-f]{2})/(\1[0-9a-f]{62})/data", re.ASCII)

#: Takes one blob: its digest, its size in bytes, its content.
TakeBlob: TypeAlias = Callable[[str, int, Iterator[bytes]], None]


def large_blobs(files: Sequence[Entry]) -> dict[str, str]:
    """By the path of each blob that is kept apart: its digest."""
    found = [(entry, match[2]) for entry in files if (match := _BLOB.fullmatch(entry.name))]
    ranked = sorted((-entry.size, entry.name, digest) for entry, digest in found if entry.size >= LARGE)
    return {name: digest for _, name, digest in ranked[:_MOST]}


def proven(digest: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The pieces; raises `StreamError` at their end when they are not what the digest says."""
    seen = hashlib.sha256()
    for piece in pieces:
        seen.update(piece)
        yield piece
    if seen.hexdigest() != digest:
        raise StreamError(
            f"the registry's blob {digest[:12]} is damaged: its content is {seen.hexdigest()[:12]}"
        )
