"""Whole folders at a glance: a line for each file, written as text and nothing more.

A thousand lines through a layout engine take longer than reading what they
are about, and a list is for `grep` and `sort` as much as for people.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from sealboot.model.brief import Brief
from sealboot.render.text import safe

HEADERS = ("PATH", "KIND", "CLASS", "ORDER", "MACHINE", "NOTE")

#: Longer paths push the columns of their own line aside, and of no other.
_WIDEST = 60


def cells(brief: Brief) -> tuple[str, ...]:
    """One file under `HEADERS`; empty where there is nothing to say."""
    machine = ""
    if brief.machine is not None:
        machine = brief.arch.field_name if brief.arch else f"{brief.machine:#x}"
    return (
        brief.path,
        brief.kind.value,
        str(brief.bits or ""),
        brief.endian or "",
        machine,
        brief.trouble,
    )


def lines(briefs: Sequence[Brief]) -> Iterator[str]:
    """`/usr/bin/env  elf  64-bit little-endian  x86-64`: what a file is not has no column."""
    shown = [safe(brief.path) for brief in briefs]
    width = min(max(map(len, shown), default=0), _WIDEST)
    for path, brief in zip(shown, briefs, strict=True):
        _, kind, bits, order, machine, note = cells(brief)
        line = f"{path:<{width}}  {kind}"
        if bits:
            line = f"{line}  {bits}-bit {order}-endian  {machine}"
        yield f"{line}  {safe(note)}" if note else line


def show(briefs: Sequence[Brief]) -> None:
    """Write the list to standard output."""
    sys.stdout.write("".join(f"{line}\n" for line in lines(briefs)))
    sys.stdout.flush()
