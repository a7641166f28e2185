"""Codes and their names, read from the pages in `explain/`.

The page is the single source: its first line is `# SB101 arch-mismatch`, and
its sections are *What happened*, *Why it matters*, *How to fix* and *Check it
yourself*. To add a code is to add a page (and the test that raises it).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

#: The sections that every page has, in this order.
SECTIONS = ("What happened", "Why it matters", "How to fix", "Check it yourself")

_TITLE = re.compile(r"# (SB\d{3}) ([a-z0-9-]+)\n")
_CODE = re.compile(r"SB\d{3}")


@dataclass(frozen=True, slots=True)
class Page:
    """One code: its stable name and its explanation in Markdown."""

    code: str
    name: str
    text: str


@cache
def codes() -> tuple[str, ...]:
    """Every code, in order."""
    folder = files(__package__) / "explain"
    return tuple(sorted(e.name.removesuffix(".md") for e in folder.iterdir() if e.name.endswith(".md")))


@cache
def page(code: str) -> Page:
    """The page of a code; raises `KeyError` for a code that does not exist."""
    if not _CODE.fullmatch(code):
        raise KeyError(code)
    entry = files(__package__) / "explain" / f"{code}.md"
    if not entry.is_file():
        raise KeyError(code)
    text = entry.read_text(encoding="utf-8")
    title = _TITLE.match(text)
    if title is None or title[1] != code:
        raise ValueError(f"{code}.md does not begin with '# {code} name'")
    return Page(code, title[2], text)


def name_of(code: str) -> str:
    """The stable name of a code (`arch-mismatch`); `unlisted` for one that has no page (a driver from elsewhere)."""
    try:
        return page(code).name
    except KeyError:
        return "unlisted"
