"""What the parsers of this room say is wrong with a file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong with the file: what, at which offset, and whether it is beyond use.

    `code` is SB401 for damage, SB405 for a boot image whose parts do not fit together.
    """

    what: str
    offset: int
    fatal: bool = True
    code: str = "SB401"
