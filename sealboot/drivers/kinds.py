"""The kinds of value that options of several drivers have: inventories hold texts, lists of texts and maps."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, Field

_PATH = re.compile(r"(?:/[A-Za-z0-9._@+-]+)+")
#: A name or an address, without a port and without brackets.
PLACE = r"^[A-Za-z0-9:][A-Za-z0-9.:-]{0,254}$"


def plain_path(path: str) -> bool:
    """Whether a path can stand unquoted in a unit file, a YAML file and a list of words of a shell."""
    return bool(_PATH.fullmatch(path)) and not {".", ".."} & set(path.split("/"))


def number(value: object) -> object:
    """A text of digits as the number it is; anything else as it came, for pydantic to refuse."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value


def several(value: object) -> object:
    """One text where a list may stand is a list of one."""
    return [value] if isinstance(value, str) else value


Seconds = Annotated[int, BeforeValidator(number), Field(ge=10, le=7200)]
Place = Annotated[str, Field(pattern=PLACE)]
Places = Annotated[tuple[Place, ...], BeforeValidator(several)]
SlotNames = Annotated[
    tuple[Annotated[str, Field(pattern=r"^[a-z0-9]+(?:[_-][a-z0-9]+)*$")], ...], BeforeValidator(several)
]
