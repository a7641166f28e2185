"""Looking into a tree that was not written for sealboot, and making one that is: for files of other tools."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from sealboot.inventory.tree import Entry, List, Map, Node, Scalar
from sealboot.model.diagnostic import Location

_SEPARATOR = re.compile(rb"---(?:\s|$)")
_END = re.compile(rb"\.\.\.(?:\s|$)")


def get(node: Node | None, *path: str) -> Node | None:
    """What stands at a path of keys; `None` where nothing does."""
    for key in path:
        if not isinstance(node, Map) or key not in node.entries:
            return None
        node = node.entries[key].node
    return node


def text(node: Node | None, *path: str) -> str:
    """The text at a path of keys; empty for what is no text."""
    found = get(node, *path)
    return found.text if isinstance(found, Scalar) else ""


def scalars(node: Node | None, *path: str) -> list[Scalar]:
    """The texts of the list at a path of keys."""
    found = get(node, *path)
    return [item for item in found.items if isinstance(item, Scalar)] if isinstance(found, List) else []


def made_map(at: Location, entries: Mapping[str, Node]) -> Map:
    """A map whose values keep the places that they have."""
    return Map({key: Entry(node.at, node) for key, node in entries.items()}, at)


def documents(data: bytes) -> Iterator[bytes]:
    """The documents of a YAML stream, each behind as many empty lines as stood before it, in one pass.

    A `---` inside a block scalar is indented, so that it is none at the beginning of a line.
    """
    lines: list[bytes] = []
    before, begun = 0, False
    for line in data.splitlines(keepends=True):
        bare = line.strip(b"\xef\xbb\xbf \t\r\n")
        if _SEPARATOR.match(line) or _END.match(line):
            if begun:
                yield b"\n" * (before - len(lines)) + b"".join(lines)
            lines, begun = [], False
            if line.strip() not in {b"---", b"..."} and _SEPARATOR.match(line):
                lines, begun = [line], True
        else:
            begun = begun or not (not bare or bare.startswith(b"#"))
            lines.append(line)
        before += 1
    if begun:
        yield b"\n" * (before - len(lines)) + b"".join(lines)
