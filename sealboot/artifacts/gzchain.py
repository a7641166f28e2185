"""A chain of gzip members behind a program: the payload of k0s up to 1.35.

The members follow each other without gaps, and the program finds each one by
its distance from the end of the file. A single byte behind the last one moves
them all.
"""

from __future__ import annotations

from dataclasses import dataclass

from sealboot.artifacts.deflate import GZIP, allowance, inflate, peek, program_arch
from sealboot.artifacts.reader import Source
from sealboot.artifacts.scan import find_all
from sealboot.model.payload import Component

#: A member's header as Go's compress/gzip writes it at its best level: no flags, no time, unknown system.
MARK = bytes.fromhex("1f8b08000000000002ff")
#: More members than this are no release of k0s (15 at most).
MAX_MEMBERS = 256


@dataclass(frozen=True, slots=True)
class Chain:
    """The members found, in order, and the end of the file they were found in."""

    starts: tuple[int, ...]
    size: int

    @property
    def start(self) -> int:
        """Where the payload begins."""
        return self.starts[0]

    @property
    def length(self) -> int:
        """Bytes from the first member to the end of the file: what the program must have been told."""
        return self.size - self.start


@dataclass(frozen=True, slots=True)
class Walked:
    """The outcome of inflating members: where the last whole one ends; the first damage, in words."""

    components: tuple[Component, ...]
    end: int
    broken: str = ""


def find_chain(source: Source, start: int, near: int | None = None) -> Chain | None:
    """The members at or behind `start`, by their headers; `None` when there is none.

    With `near`, the first one must begin within so many bytes: what follows
    an unknown program may be large, and is no chain that begins in its middle.
    """
    if near is not None and next(find_all(source, MARK, start, min(start + near, source.size)), None) is None:
        return None
    starts: list[int] = []
    for at in find_all(source, MARK, start, source.size):
        starts.append(at)
        if len(starts) == MAX_MEMBERS:
            break
    return Chain(tuple(starts), source.size) if starts else None


def glance(source: Source, chain: Chain) -> tuple[Component, ...]:
    """What each member is, by its first bytes."""
    ends = (*chain.starts[1:], chain.size)
    return tuple(
        Component("", at, program_arch(peek(source, at, end, GZIP)))
        for at, end in zip(chain.starts, ends, strict=True)
    )


def check_last(source: Source, chain: Chain) -> Walked:
    """Inflate only the last member: does it end, and where?"""
    return _step(source, chain, chain.starts[-1], allowance(chain.length))[0]


def check_all(source: Source, chain: Chain) -> Walked:
    """Inflate every member, from one to the next by where it ends, not by what looks like a header."""
    components: list[Component] = []
    left, end = allowance(chain.length), chain.start
    known = set(chain.starts)
    while end in known and len(components) < MAX_MEMBERS:
        step, used = _step(source, chain, end, left)
        components += step.components
        left, end = left - used, step.end
        if step.broken:
            return Walked(tuple(components), end, step.broken)
    gap = next((at for at in chain.starts if at >= end), None)
    broken = f"has {gap - end} bytes between two components, at {end}" if gap is not None else ""
    return Walked(tuple(components), end, broken)


def _step(source: Source, chain: Chain, at: int, most: int) -> tuple[Walked, int]:
    """One member, and the bytes that it inflated to."""
    found = inflate(source, at, chain.size, GZIP, most)
    broken = f"{found.broken}: the component at {at}" if found.broken else ""
    return Walked((Component("", at, program_arch(found.head)),), found.end, broken), found.size
