"""Files by their first bytes: one `open` and one read each, nothing hashed, nothing behind the header looked at.

What `inspect` says of class and machine is said here as well, from the same
bytes by the same rule; whether the rest of the file is sound is not asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sealboot.artifacts.elf_ident import MalformedError, identify
from sealboot.artifacts.patterns import matches
from sealboot.artifacts.reader import Refusal, open_file
from sealboot.artifacts.sniff import HEAD, sniff
from sealboot.model.artifact import Kind
from sealboot.model.brief import Brief


def brief(path: Path, shown: str | None = None) -> Brief:
    """What the first bytes of the file at `path` say; never raises and never blocks."""
    label = str(path) if shown is None else shown
    opened = open_file(path)
    if isinstance(opened, Refusal):
        return Brief(label, opened.kind, trouble=opened.reason)
    with opened:
        try:
            head = opened.at(0, HEAD)
        except OSError as error:
            return Brief(label, Kind.UNKNOWN, trouble=(error.strerror or "cannot be read").lower())
    kind = sniff(head)
    if kind is not Kind.ELF:
        return Brief(label, kind)
    try:
        ident = identify(head)
    except MalformedError as error:
        return Brief(label, kind, trouble=str(error))
    return Brief(label, kind, ident.bits, ident.endian, ident.machine, ident.arch)


def briefs(patterns: Sequence[str], base: Path) -> tuple[tuple[Brief, ...], tuple[str, ...]]:
    """Every file that a pattern names, once, as `collect` would find them; and the patterns that name none."""
    found: dict[str, Brief] = {}
    nothing: list[str] = []
    for pattern in patterns:
        paths = matches(pattern, base).paths
        if not paths:
            nothing.append(pattern)
        for shown, path in paths:
            if shown not in found:
                found[shown] = brief(path, shown)
    return tuple(found.values()), tuple(nothing)
