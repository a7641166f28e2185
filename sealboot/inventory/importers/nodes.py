"""Looking into a tree that was not written for sealboot, and making one that is: for files of other tools.

Their programs read YAML with Go, where a key without a value (`key:`, `key: null`, `key: ~`) leaves the setting
as it was: such a key is not there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from sealboot.inventory.tree import MAXIMUM_BYTES, Entry, List, Map, Node, Scalar, nothing, parse
from sealboot.model.diagnostic import Diagnostic, Location

_SEPARATOR = re.compile(rb"---(?:\s|$)")
_END = re.compile(rb"\.\.\.(?:\s|$)")
_MAXIMUM_DOCUMENTS = 1000


#: What gopkg.in/yaml.v2 (resolve.go) reads as a switch, which k0sctl is built with.
_SWITCHES = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
}


class Document(NamedTuple):
    """One document of a file: its tree, and as it is written."""

    root: Map
    text: str


def parse_documents(data: bytes, file: str) -> list[Document] | Diagnostic:
    """The documents of another tool's file that hold anything; the first that is no map is a finding (SB007).

    Else the findings of `parse`, and SB005 for more documents than any tool writes.
    """
    hint = f"write the values out, or let yq do it: `yq 'explode(.)' {file} > plain.yaml`"
    made: list[Document] = []
    # What is too large was cut off where it was read: `parse` refuses it as a whole.
    pieces = documents(data) if len(data) <= MAXIMUM_BYTES else iter([(0, data)])
    for number, (above, document) in enumerate(pieces):
        at = Location(file, above + 1)
        if number >= _MAXIMUM_DOCUMENTS:
            return Diagnostic(
                "SB005", f"more than {_MAXIMUM_DOCUMENTS} documents", at=at, hints=("split the file",)
            )
        root = parse(document, file, above=above, alias_hint=hint)
        if isinstance(root, Diagnostic):
            return root
        if not isinstance(root, Map):
            return Diagnostic(
                "SB007", "this document is no map of settings", at=root.at, hints=("delete it",)
            )
        if root.entries:
            made.append(Document(root, document.decode("utf-8-sig")))
    return made


def get(node: Node | None, *path: str) -> Node | None:
    """What stands at a path of keys; `None` where nothing does."""
    for key in path:
        if not isinstance(node, Map) or key not in node.entries:
            return None
        node = node.entries[key].node
    return None if node is None or nothing(node) else node


def entries(node: Node | None) -> Iterator[tuple[str, Entry]]:
    """The keys of a map that have a value."""
    if isinstance(node, Map):
        yield from ((key, entry) for key, entry in node.entries.items() if not nothing(entry.node))


def switch(node: Node | None) -> bool | None:
    """Whether it says yes; `None` where it says neither."""
    return _SWITCHES.get(node.text) if isinstance(node, Scalar) else None


def walk(node: Node) -> Iterator[Scalar]:
    """Every value below a node, keys left out."""
    if isinstance(node, Scalar):
        yield node
    elif isinstance(node, Map):
        for entry in node.entries.values():
            yield from walk(entry.node)
    else:
        for item in node.items:
            yield from walk(item)


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


def documents(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The documents of a YAML stream, each with the number of lines before it.

    A `---` inside a block scalar is indented, so that it is none at the beginning of a line.
    """
    lines: list[bytes] = []
    begun = False
    for number, line in enumerate(data.splitlines(keepends=True)):
        bare = line.strip(b"\xef\xbb\xbf \t\r\n")
        if _SEPARATOR.match(line) or _END.match(line):
            if begun:
                yield number - len(lines), b"".join(lines)
            lines, begun = [], False
            if line.strip() not in {b"---", b"..."} and _SEPARATOR.match(line):
                lines, begun = [line], True
        else:
            begun = begun or not (not bare or bare.startswith(b"#"))
            lines.append(line)
    if begun:
        yield number + 1 - len(lines), b"".join(lines)
