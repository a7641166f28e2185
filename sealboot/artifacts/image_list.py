"""A list of image names, one a line: what k0s publishes beside each release as `airgap-images-list.txt`."""

from __future__ import annotations

import re

from sealboot.artifacts.reader import Source
from sealboot.model.archive import IMAGE_LIST
from sealboot.model.artifact import Other

#: A release has about fifteen.
MAX_BYTES, MAX_NAMES = 1 << 16, 512

#: `registry/path:tag`, perhaps with a digest (distribution/reference); the registry has a dot, a port or is localhost.
_NAME = re.compile(
    r"(?=[^/]*[.:]|localhost/)[A-Za-z0-9.-]{1,255}(?::[0-9]{1,5})?"
    r"(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)+:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}(?:@sha256:[0-9a-f]{64})?"
)


def read_image_list(source: Source) -> Other | None:
    """The layer for a file in which every line is an image's name; `None` for any other file.

    Blank lines and `#` comments are allowed. The names stand in the fact
    `images`, with a blank between two.
    """
    if not 0 < source.size <= MAX_BYTES:
        return None
    try:
        lines = [line.strip() for line in source.at(0, MAX_BYTES).decode("ascii").splitlines()]
    except UnicodeDecodeError:
        return None
    names = [line for line in lines if line and not line.startswith("#")]
    if not names or len(names) > MAX_NAMES or not all(map(_NAME.fullmatch, names)):
        return None
    unique = tuple(dict.fromkeys(names))
    return Other(IMAGE_LIST, {"count": str(len(unique)), "images": " ".join(unique)})
