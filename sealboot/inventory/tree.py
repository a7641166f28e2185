"""YAML text as a tree of text, lists and maps, each with its place; nothing is interpreted.

Works on libyaml's events, below the layer that builds objects: there `no`,
`0777`, `22:22` and `1_000` are still what the operator typed, and aliases,
tags, duplicate keys and depth can be refused before they cost anything.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple, NoReturn, Protocol, TypeAlias

import yaml

from sealboot.model.diagnostic import Diagnostic, Location

MAXIMUM_BYTES = 8 * 1024 * 1024
MAXIMUM_DEPTH = 32
#: Keys that stand twice of which is told: a hostile file could hold a million.
_MOST_TWICE = 100


class Scalar(NamedTuple):
    """One value, as the text it is; `quoted` tells `""` from nothing at all, which `null` and `~` are too."""

    text: str
    at: Location
    quoted: bool = True


class Entry(NamedTuple):
    """One key of a map: where the key stands, and its value."""

    at: Location
    node: Node


class Map(NamedTuple):
    """A map in the order of writing."""

    entries: dict[str, Entry]
    at: Location


class List(NamedTuple):
    """A sequence."""

    items: list[Node]
    at: Location


Node: TypeAlias = Scalar | Map | List

#: What YAML's core schema (1.2.2, section 10.3.2) calls null, where it is not quoted.
_NULLS = frozenset({"null", "Null", "NULL", "~"})
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class _Mark(Protocol):
    index: int
    line: int
    column: int


class _Parser(Protocol):
    """What libyaml's and PyYAML's own parser have in common."""

    def get_event(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class _Refused(Exception):  # noqa: N818 - carries a finding, not an error of ours
    finding: Diagnostic


_ALIAS_HINT = "write the value out, or put it in `defaults` or a group: those are what sealboot merges"

#: libyaml's words for a problem -> what to do about it.
_FIXES: Mapping[str, str] = MappingProxyType(
    {
        "cannot start any token": "indent with spaces, not tabs; quote a value that begins with `@`, `` ` `` or `%`",
        "mapping values are not allowed": "quote the value if it holds `: `, or indent the key under its parent",
        "could not find expected ':'": "end every key with a colon and a space: `key: value`",
        "did not find expected key": "line the key up with the keys beside it, and close quotes and brackets",
        "did not find expected '-' indicator": "line the item up with the `-` of the items beside it",
        "did not find expected ',' or": "separate the items with commas and close the bracket",
        "unexpected end of stream": "close the quote or bracket that was opened here",
        "unknown escape character": "in double quotes write a backslash as `\\\\`, or use single quotes",
        "control characters are not allowed": "delete the control character; `cat -A FILE` shows it",
    }
)


def nothing(node: Node) -> bool:
    """Whether nothing was written: an empty value, `null` or `~`, none of them quoted."""
    return isinstance(node, Scalar) and not node.text and not node.quoted


def as_utf8(data: bytes) -> bytes:
    """UTF-16 that begins with its mark, as PowerShell's `>` writes it, as UTF-8; other bytes as they are."""
    if data[:2] not in _UTF16 or data[:4] == codecs.BOM_UTF32_LE:
        return data
    try:
        return data.decode("utf-16").encode()
    except UnicodeError:
        return data


def parse(data: bytes, file: str, *, above: int = 0, alias_hint: str = _ALIAS_HINT) -> Node | Diagnostic:
    """The tree of one YAML document, or the first thing that is wrong with it (SB002 to SB005, SB019).

    `file` is the name used in places, `above` the lines of the file before `data`; `alias_hint` is the fix for
    anchors and aliases. An empty document is an empty map. Raises nothing, whatever the bytes.
    """
    root, found = parse_on(data, file, above=above, alias_hint=alias_hint)
    return found[0] if found or root is None else root


def parse_on(
    data: bytes, file: str, *, above: int = 0, alias_hint: str = _ALIAS_HINT
) -> tuple[Node | None, tuple[Diagnostic, ...]]:
    """As `parse`, but past keys that stand twice (SB004): the first of each counts, and all are told.

    There is no tree exactly where something else is wrong.
    """
    if len(data) > MAXIMUM_BYTES:
        large = Diagnostic(
            "SB005",
            f"{file} is larger than {MAXIMUM_BYTES // 1024**2} MiB",
            at=Location(file, 1),
            evidence=(("bytes", str(len(data))),),
            hints=(
                "fold hosts with ranges such as `pi[001-400]`, or split the inventory into several files",
            ),
        )
        return None, (large,)
    data = as_utf8(data)
    if b"\0" in data[:2]:
        return None, (_without_mark(data, file, above),)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return None, (_not_utf8(data, file, above, error),)
    builder = _Builder(file, above, alias_hint)
    try:
        root = builder.document(_parser(text))
    except _Refused as refused:
        return None, (*builder.twice, refused.finding)
    except yaml.YAMLError as error:
        deep = _too_deep(error, text, _Builder(file, above, alias_hint))
        return None, (*builder.twice, deep or _syntax(error, text, file, above))
    return root, tuple(builder.twice)


def _too_deep(error: yaml.YAMLError, text: str, builder: _Builder) -> Diagnostic | None:
    """Levels too many before the place of an error.

    The parser reads ahead of the events it gives. Since PyYAML 6.0.4 (libyaml's `max_nest_level`) it refuses
    1,000 levels in what it has read ahead, before the event of the level that is one too many here.
    """
    mark: _Mark | None = getattr(error, "problem_mark", None)
    if mark is None:
        return None
    try:
        builder.document(_parser(text[: mark.index]))
    except _Refused as refused:
        return refused.finding if refused.finding.code == "SB005" else None
    except yaml.YAMLError:
        return None
    return None


def _parser(text: str) -> _Parser:
    # The pure Python parser has the same events and is some twenty times slower.
    loader: Any = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
    made: _Parser = loader(text)
    return made


class _Builder:
    """Builds one tree from events; holds the file's name, and refuses by raising `_Refused`.

    `twice` are the keys that stand twice, which do not keep it from going on.
    """

    def __init__(self, file: str, above: int, alias_hint: str) -> None:
        self._file = file
        self._first = above + 1
        self._alias_hint = alias_hint
        self.twice: list[Diagnostic] = []

    def document(self, parser: _Parser) -> Node:
        """The only document of the stream."""
        parser.get_event()  # the start of the stream
        event = parser.get_event()
        if isinstance(event, yaml.StreamEndEvent):
            return Map({}, Location(self._file, self._first))
        if event.tags:
            self._refuse("SB003", "a %TAG directive", event, "delete it: tags are not used here")
        root = self._node(parser, parser.get_event())
        parser.get_event()  # the end of the document
        event = parser.get_event()
        if not isinstance(event, yaml.StreamEndEvent):
            self._refuse(
                "SB003",
                "a second document",
                event,
                "put it into a file of its own: `-i one.yaml -i two.yaml`",
            )
        return Map({}, root.at) if nothing(root) else root

    def _node(self, parser: _Parser, event: Any, depth: int = 1) -> Node:
        kind = type(event)
        at = self._at(event)
        if kind is yaml.ScalarEvent:
            value = _scalar(event, at)
            return value._replace(text="") if value.text in _NULLS and not value.quoted else value
        if depth > MAXIMUM_DEPTH:
            raise _Refused(
                Diagnostic(
                    "SB005",
                    f"nested more than {MAXIMUM_DEPTH} levels deep",
                    at=at,
                    hints=(
                        "no setting of an inventory is that deep: look for a bracket that was not closed",
                    ),
                )
            )
        if kind is yaml.MappingStartEvent:
            return self._map(parser, at, depth)
        items: list[Node] = []
        while type(event := parser.get_event()) is not yaml.SequenceEndEvent:
            items.append(self._node(parser, event, depth + 1))
        return List(items, at)

    def _map(self, parser: _Parser, at: Location, depth: int) -> Map:
        entries: dict[str, Entry] = {}
        while type(event := parser.get_event()) is not yaml.MappingEndEvent:
            key_at = self._at(event)
            if type(event) is not yaml.ScalarEvent:
                self._refuse("SB003", "a key that is a list or a map", event, "a key is one word")
            key = _scalar(event, key_at)  # a word, `null` too
            if key.text == "<<" and not key.quoted:
                self._refuse("SB003", "a merge key (`<<`)", event, self._alias_hint)
            if key.text in entries:
                self._twice(key, entries[key.text].at)
            value = self._node(parser, parser.get_event(), depth + 1)
            entries.setdefault(key.text, Entry(key.at, value))
        return Map(entries, at)

    def _twice(self, key: Scalar, first: Location) -> None:
        if len(self.twice) < _MOST_TWICE:
            self.twice.append(
                Diagnostic(
                    "SB004",
                    f"the key `{key.text}` stands here twice",
                    at=key.at,
                    evidence=(("first", str(first)), ("again", str(key.at))),
                    hints=("keep one of the two; nothing is overwritten silently",),
                )
            )

    def _at(self, event: Any) -> Location:
        """The place of a value; what YAML has beside values is refused."""
        if type(event) is yaml.AliasEvent:
            self._refuse("SB003", f"an alias (`*{event.anchor}`)", event, self._alias_hint)
        if event.anchor is not None:
            self._refuse("SB003", f"an anchor (`&{event.anchor}`)", event, self._alias_hint)
        if event.tag is not None:
            self._refuse("SB003", f"a tag (`{event.tag}`)", event, "delete it: every value is read as text")
        mark: _Mark = event.start_mark
        return Location(self._file, mark.line + self._first, mark.column + 1)

    def _refuse(self, code: str, what: str, event: Any, hint: str) -> NoReturn:
        mark: _Mark = event.start_mark
        at = Location(self._file, mark.line + self._first, mark.column + 1)
        raise _Refused(Diagnostic(code, f"{what} has no place in an inventory", at=at, hints=(hint,)))


def _scalar(event: Any, at: Location) -> Scalar:
    return Scalar(event.value, at, event.style is not None and event.style != "")


def _not_utf8(data: bytes, file: str, above: int, error: UnicodeDecodeError) -> Diagnostic:
    before = data[: error.start]
    line = before.count(b"\n") + 1 + above
    column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
    return Diagnostic(
        "SB019",
        f"{file} is not UTF-8 text",
        at=Location(file, line, column),
        evidence=(("byte", f"0x{data[error.start]:02x} at offset {error.start}"),),
        hints=(f"convert it, if it is Latin-1: `iconv -f latin1 -t utf-8 {file} > new.yaml`",),
    )


def _without_mark(data: bytes, file: str, above: int) -> Diagnostic:
    """UTF-16 without the mark that says so; YAML text begins with no NUL."""
    encoding = "utf-16be" if data[:1] == b"\0" else "utf-16le"
    return Diagnostic(
        "SB019",
        f"{file} is not UTF-8 text, perhaps UTF-16",
        at=Location(file, above + 1),
        hints=(f"convert it: `iconv -f {encoding} -t utf-8 {file} > new.yaml`",),
    )


def _syntax(error: yaml.YAMLError, text: str, file: str, above: int) -> Diagnostic:
    problem = str(
        getattr(error, "problem", None) or getattr(error, "reason", None) or "cannot be read as YAML"
    )
    mark: _Mark | None = getattr(error, "problem_mark", None)
    if mark is not None:
        at = Location(file, mark.line + 1 + above, mark.column + 1)
    else:
        position = min(max(int(getattr(error, "position", 0) or 0), 0), len(text))
        before = text.encode()[:position].decode("utf-8", "ignore")
        at = Location(file, before.count("\n") + 1 + above, len(before) - before.rfind("\n"))
    context: _Mark | None = getattr(error, "context_mark", None)
    evidence = (("since", f"{file}:{context.line + 1 + above}:{context.column + 1}"),) if context else ()
    hint = next(
        (fix for words, fix in _FIXES.items() if words in problem), "check indentation, quotes and brackets"
    )
    return Diagnostic("SB002", f"not valid YAML: {problem}", at=at, evidence=evidence, hints=(hint,))


def plain(node: Node) -> Any:
    """The tree as text, lists and dictionaries; nothing at all (`null`, `~`, an empty value) is `None`."""
    if isinstance(node, Scalar):
        return None if nothing(node) else node.text
    if isinstance(node, Map):
        return {key: plain(entry.node) for key, entry in node.entries.items()}
    return [plain(item) for item in node.items]


def places(node: Node, path: str) -> Iterator[tuple[str, Location]]:
    """Every value below `node` as dotted path and place: `options.phases[2].run`.

    A value's place is its own; a list's or map's is its key, where it has one.
    """
    if isinstance(node, Map):
        for key, (at, child) in node.entries.items():
            below = f"{path}.{key}" if path else key
            yield below, child.at if isinstance(child, Scalar) else at
            yield from places(child, below)
    elif isinstance(node, List):
        for number, item in enumerate(node.items):
            yield f"{path}[{number}]", item.at
            yield from places(item, f"{path}[{number}]")
