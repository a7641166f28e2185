"""Hosts as they are typed (`[user@]address[:port]`, ranges too) as hosts of a starter inventory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from sealboot.inventory.hygiene import UnsafeError, address, comparable, hop, host_name
from sealboot.model.names import expand, fold, is_pattern


@dataclass(frozen=True, slots=True)
class Target:
    """One machine. `given` counts what was typed, so that a range can be written as one again."""

    name: str
    address: str
    user: str | None = None
    port: int | None = None
    given: int = 0
    role: str = ""


def targets(given: Sequence[str], *, port: int = 22) -> tuple[Target, ...]:
    """The machines that are meant, in order; raises `UnsafeError`, whose text names the one that is wrong.

    `port` is that of hosts that name none: one address on two ports is two machines. A machine is called by the first label of its DNS name, `node1` and so on where it has none or the
    name is taken.
    """
    made: list[Target] = []
    taken: set[str] = set()
    places: dict[tuple[str, int], str] = {}
    for number, text in enumerate(given):
        for one in _each(text):
            user, where, own_port = _parts(one, text)
            place = (comparable(where), own_port or port)
            if place in places:
                raise UnsafeError(f"{text!r} is the machine that {places[place]!r} is")
            places[place] = text
            name = _name(where, len(made), taken)
            taken.add(name)
            made.append(Target(name, where, user, own_port, number))
    return tuple(made)


def _each(text: str) -> tuple[str, ...]:
    if not is_pattern(text):
        return (text,)
    try:
        return expand(text)
    except ValueError as error:
        raise UnsafeError(f"{text!r}: {error}") from None


def _parts(one: str, text: str) -> tuple[str | None, str, int | None]:
    try:
        return hop(one)
    except UnsafeError as error:
        hint = f" ({error.hint})" if error.hint else ""
        raise UnsafeError(f"{text!r} {error}{hint}") from None


def _name(where: str, number: int, taken: set[str]) -> str:
    try:
        label = host_name(address(where).partition(".")[0])
    except UnsafeError:
        label = ""
    free = bool(label) and not label.isdigit() and ":" not in label and label not in taken
    if free and not label.startswith("x-"):
        return label
    while f"node{number + 1}" in taken:
        number += 1
    return f"node{number + 1}"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the inventory: a host, or several that differ by a number. No address: the name is it."""

    name: str
    address: str | None
    role: str
    user: str | None
    port: int | None


def rows(made: Sequence[Target]) -> Iterator[Row]:
    """The lines for these machines: a range that was typed is a range again, as far as its roles are one."""
    for _, group in groupby(made, _alike):
        members = list(group)
        name = _folded([t.name for t in members])
        where = _folded([t.address for t in members])
        if len(members) > 1 and name and where:
            yield _row(members[0], name, where)
        else:
            yield from (_row(t, t.name, t.address) for t in members)


def _alike(one: Target) -> tuple[object, ...]:
    return one.given, one.role, one.user, one.port, one.name == one.address


def _row(one: Target, name: str, where: str) -> Row:
    return Row(name, None if one.name == one.address else where, one.role, one.user, one.port)


def _folded(texts: list[str]) -> str:
    """One pattern that means exactly these texts in this order; empty where there is none."""
    pattern = fold(texts)
    try:
        return pattern if list(expand(pattern)) == texts else ""
    except ValueError:
        return ""
