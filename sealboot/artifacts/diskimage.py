"""The disk image in a file, whether the file is the image itself or a compressed one.

Releases carry `metal-amd64.raw.zst`, factories `.raw.xz`: what counts is what
comes out, so its size and digest are what a plan holds. Images are mostly
zeros and shrink a thousandfold, so their ratio says nothing; their size is
bounded instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sealboot.artifacts.compress import Limits, Meter, StreamError, inflate
from sealboot.model.artifact import Kind

#: No disk image is believed to be larger, in bytes.
LARGEST = 256 << 30
#: Wall time for one image, in seconds: it may be sent over a slow line while it is read.
_SECONDS = 24 * 3600.0
_PIECE = 1 << 18
_MARKS = (
    (b"\x1f\x8b", Kind.GZIP),
    (b"\x28\xb5\x2f\xfd", Kind.ZSTD),
    (b"\xfd7zXZ\x00", Kind.XZ),
    (b"BZh", Kind.BZIP2),
)


class ImageError(Exception):
    """Why there is no whole image in the file, in words."""


def compression(head: bytes) -> Kind | None:
    """What a file that begins with `head` is compressed with; `None` for the image itself."""
    return next((kind for mark, kind in _MARKS if head.startswith(mark)), None)


def pieces(path: Path, limit: int = LARGEST) -> Iterator[bytes]:
    """The image, from its first byte to its last, in pieces of a bearable size.

    Raises `OSError`, and `ImageError` for a stream that is damaged, ends early or becomes more than
    `limit` bytes.
    """
    with path.open("rb") as file:
        head = file.read(8)
        file.seek(0)
        kind = compression(head)
        meter = Meter(Limits(output=limit, ratio=limit + 1, seconds=_SECONDS))
        try:
            yield from inflate(iter(lambda: file.read(_PIECE), b""), kind or Kind.EMPTY, meter)
        except StreamError as error:
            raise ImageError(str(error)) from None
