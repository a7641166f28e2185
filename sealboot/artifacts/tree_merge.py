"""Layers become one tree: whiteouts applied, and nothing in it that reaches outside of it.

Whiteouts are those of the OCI image specification 1.1 ("Layer Filesystem
Changeset"): `.wh.NAME` removes NAME of the layers below, `.wh..wh..opq` all
that they have in its folder. What a tree must not hold is refused, never
repaired: names and links that lead out, devices, files below what is no
folder. The tree is unpacked by root, so no set-user-ID bit and no writing by
others is passed on.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sealboot.artifacts.compress import Meter, StreamError
from sealboot.artifacts.tarwalk import MAX_MEMBERS, Member, Shape
from sealboot.artifacts.tree_source import Found, Layer

_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
_MODES = 0o755
_MAX_NAME = 4000
_MAX_DEPTH = 256
#: Names of ours in the tree; a tree that has one was not made by its publisher alone.
RESERVED = ".sealboot"


class UnsafeError(Exception):
    """Internal to this room: the tree has something that must not be unpacked."""


@dataclass(slots=True)
class Entry:
    """One path of the tree. The content is that of member number `order` of layer number `layer`."""

    name: str
    shape: Shape
    mode: int
    size: int = 0
    target: str = ""
    layer: int = 0
    order: int = 0


@dataclass(slots=True)
class Tree:
    """The paths so far, and what lies below each: a whiteout costs what it removes, not the whole tree."""

    entries: dict[str, Entry] = field(default_factory=dict)
    _below: dict[str, set[str]] = field(default_factory=dict)
    _cleared: set[tuple[int, str, bool]] = field(default_factory=set)

    def get(self, name: str) -> Entry | None:
        """The entry of a path; folders that no layer names have none."""
        return self.entries.get(name)

    def put(self, entry: Entry) -> None:
        """Add a path, or replace what it was."""
        name = entry.name
        self.entries[name] = entry
        while name:
            folder = posixpath.dirname(name)
            siblings = self._below.setdefault(folder, set())
            if name in siblings:
                break
            siblings.add(name)
            name = folder

    def whiteout(self, name: str, layer: int, *, itself: bool) -> None:
        """Remove what layers below this one have there; said twice in one layer, it is done once."""
        if (layer, name, itself) not in self._cleared:
            self._cleared.add((layer, name, itself))
            self.drop(name, layer, itself=itself)

    def drop(self, name: str, layer: int, *, itself: bool) -> None:
        """Remove what layers below this one have below a name, and the name `itself`."""
        todo, met = [name], []
        while todo:
            met.append(todo.pop())
            todo.extend(self._below.get(met[-1], ()))
        for path in reversed(met):
            entry = self.entries.get(path)
            if entry is not None and entry.layer < layer and (itself or path != name):
                del self.entries[path]
                entry = None
            if entry is None and path not in self._below:
                self._forget(path)

    def _forget(self, path: str) -> None:
        folder = posixpath.dirname(path)
        siblings = self._below.get(folder)
        if path and siblings is not None:
            siblings.discard(path)
            if not siblings:
                del self._below[folder]


@dataclass(frozen=True, slots=True)
class Merged:
    """The tree: folders first, parents before children; then files; then links."""

    folders: tuple[Entry, ...]
    files: tuple[Entry, ...]
    links: tuple[Entry, ...]


def merge(layers: Sequence[Layer], meter: Meter) -> Merged:
    """Walk all layers once. Raises `UnsafeError`, `StreamError`, and `OSError` when a medium fails."""
    tree = Tree()
    for number, layer in enumerate(layers):
        for order, found in enumerate(layer.walk(meter)):
            if len(tree.entries) > MAX_MEMBERS:
                raise StreamError(f"a tree of more than {MAX_MEMBERS} files", excess=True)
            _apply(tree, found.member, number, order)
    for entry in tree.entries.values():
        _check_place(tree, entry)
        if entry.shape is Shape.LINK:
            _check_turns(tree, entry)
    parts: dict[Shape, list[Entry]] = {Shape.FOLDER: [], Shape.FILE: [], Shape.LINK: []}
    for entry in sorted(tree.entries.values(), key=lambda e: e.name):
        parts[entry.shape].append(entry)
    return Merged(tuple(parts[Shape.FOLDER]), tuple(parts[Shape.FILE]), tuple(parts[Shape.LINK]))


def contents(layers: Sequence[Layer], merged: Merged, meter: Meter) -> Iterator[tuple[list[Entry], Found]]:
    """Every content that the tree has, in a fixed order, with the paths that have it."""
    wanted: dict[tuple[int, int], list[Entry]] = {}
    for entry in merged.files:
        wanted.setdefault((entry.layer, entry.order), []).append(entry)
    for number, layer in enumerate(layers):
        for order, found in enumerate(layer.walk(meter)):
            entries = wanted.pop((number, order), None)
            if entries is not None:
                if found.member.size != entries[0].size:
                    raise StreamError(f"{entries[0].name} changed while it was read")
                yield entries, found
    if wanted:
        raise StreamError(f"{next(iter(wanted.values()))[0].name} changed while it was read")


def _apply(tree: Tree, member: Member, layer: int, order: int) -> None:
    name = member.name
    if name == ".":
        return
    _check_name(name)
    folder, base = posixpath.split(name)
    if base == _OPAQUE:
        tree.whiteout(folder, layer, itself=False)
    elif base.startswith(_WHITEOUT):
        tree.whiteout(posixpath.join(folder, base.removeprefix(_WHITEOUT)), layer, itself=True)
    elif member.shape is Shape.HARD_LINK:
        _hard_link(tree, member)
    elif member.shape is Shape.OTHER:
        raise UnsafeError(f"{name} is a device, FIFO or socket")
    else:
        _put(tree, Entry(name, member.shape, member.mode & _MODES, member.size, member.target, layer, order))


def _put(tree: Tree, entry: Entry) -> None:
    before = tree.get(entry.name)
    if before is not None and before.shape is Shape.FOLDER and entry.shape is not Shape.FOLDER:
        tree.drop(entry.name, entry.layer + 1, itself=True)
    if entry.shape is Shape.LINK:
        _check_link(entry)
    if entry.shape is Shape.FOLDER:
        entry.mode = 0o755  # what root unpacks, root must be able to enter
    tree.put(entry)


def _hard_link(tree: Tree, member: Member) -> None:
    target = tree.get(posixpath.normpath(member.target.lstrip("/") or "."))
    if target is None or target.shape is not Shape.FILE:
        raise UnsafeError(f"{member.name} is a link to {member.target!r}, which is no file of the tree")
    _put(
        tree,
        Entry(member.name, Shape.FILE, target.mode, target.size, layer=target.layer, order=target.order),
    )


def _check_name(name: str) -> None:
    parts = name.split("/")
    if parts[0] == "..":
        raise UnsafeError(f"{name} leads out of the tree")
    if len(parts) > _MAX_DEPTH:
        raise UnsafeError(f"{name[:80]}...: nested deeper than {_MAX_DEPTH} folders")
    if not name.isprintable() or "\\" in name:  # so are the bytes that are no UTF-8, which cannot be encoded
        raise UnsafeError(
            f"{name[:80]!a}: a name with control characters, backslashes or bytes that are no UTF-8"
        )
    if len(name) > _MAX_NAME or any(len(part.encode()) > 255 for part in parts):
        raise UnsafeError(f"{name[:80]}...: the name is too long")
    if parts[0].startswith(RESERVED):
        raise UnsafeError(f"{name}: names that begin with {RESERVED} are not its own")


def _check_link(entry: Entry) -> None:
    """A link may only lead to a place inside: an absolute one is another file on every host."""
    landed = posixpath.normpath(posixpath.join(posixpath.dirname(entry.name), entry.target))
    if entry.target.startswith("/") or landed.split("/")[0] == "..":
        raise UnsafeError(f"{entry.name} is a link to {entry.target}, out of the tree")
    if not entry.target or not entry.target.isprintable():
        raise UnsafeError(f"{entry.name} is a link to nowhere")


def _check_place(tree: Tree, entry: Entry) -> None:
    """Every folder above must be a folder: writing below a link is how archives escape."""
    folder = posixpath.dirname(entry.name)
    while folder:
        above = tree.get(folder)
        if above is not None and above.shape is not Shape.FOLDER:
            raise UnsafeError(f"{entry.name} lies below {folder}, which is a {above.shape}")
        folder = posixpath.dirname(folder)


def _check_turns(tree: Tree, entry: Entry) -> None:
    """Behind another link `..` is not what the text says: `a/up/../x` with `a/up -> ..` is outside of `a`.

    Without such a turn every link that leads inside by its text does so in truth.
    """
    parts = [part for part in entry.target.split("/") if part not in {"", "."}]
    turns = max((at for at, part in enumerate(parts) if part == ".."), default=0)
    here = posixpath.dirname(entry.name)
    for part in parts[:turns]:
        here = posixpath.dirname(here) if part == ".." else posixpath.join(here, part)
        above = tree.get(here)
        if above is not None and above.shape is Shape.LINK:
            raise UnsafeError(
                f"{entry.name} is a link to {entry.target}, which turns back behind the link {here}"
            )
