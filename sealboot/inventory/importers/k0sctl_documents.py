"""The documents of a k0sctl.yaml: the one `Cluster`, the k0s configurations behind it, and all others.

As in k0sctl v0.32.2 (`readConfig` in cmd/flags.go): kinds are compared without regard to case; each `ClusterConfig`
is merged into `spec.k0s.config` by dig v0.4.1 (`Mapping.Merge` in mapping.go), which adds what is missing and
replaces nothing. Variables are those of a8m/envsubst v1.4.3 (`lexText` and `lexVariable` in parse/lex.go).
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from sealboot.inventory.importers.k0sctl_host import wrong
from sealboot.inventory.importers.nodes import Document, entries, get, parse_documents, text, walk
from sealboot.inventory.tree import Entry, Map, Node, as_utf8
from sealboot.model.diagnostic import Diagnostic, Location

API: Final = "k0sctl.k0sproject.io/v1beta1"
_CONFIG: Final = ("k0s.k0sproject.io/v1beta1", "clusterconfig")
#: `$NAME`, `$1` or `${`; `$$` is a dollar sign, and a lone `$_` stays.
_VARIABLE = re.compile(r"(?<!\$)(?:\$\$)*(\$(?!_(?!\w))[\w{])")
_FILL_IN: Final = "fill variables in first: `envsubst <k0sctl.yaml >filled.yaml`"


class Documents(NamedTuple):
    """What there is to read, and what was told on the way to it."""

    cluster: Map
    config: Node | None
    found: tuple[Diagnostic, ...]


def read_documents(data: bytes, file: str) -> Documents | Diagnostic:
    """The documents of a file, or the first thing that stops it (SB021, or one of `parse`)."""
    data = as_utf8(data)
    if b"$" in data:
        written = parse_documents(data, file)
        variable = _variable(data, file) if isinstance(written, Diagnostic) else _first_variable(written)
        if variable is not None:
            return variable
        data = data.replace(b"$$", b"$")
    read = parse_documents(data, file)
    if isinstance(read, Diagnostic):
        return read
    roots = [document.root for document in read]
    clusters = [root for root in roots if text(root, "apiVersion") == API and _kind(root) == "cluster"]
    if not clusters or text(clusters[0], "kind") not in {"Cluster", "cluster"}:
        hint = f"it must have `apiVersion: {API}` and `kind: Cluster`"
        return wrong("it is no k0sctl.yaml", Location(file, 1), hint)
    if len(clusters) > 1:
        return wrong("it has two clusters", clusters[1].at, "give each a file of its own")
    found: list[Diagnostic] = []
    config = get(clusters[0], "spec", "k0s", "config")
    for root in roots:
        if (text(root, "apiVersion"), _kind(root)) == _CONFIG:
            config = _added(config, root, "", found)
        elif root is not clusters[0]:
            what = f"the {text(root, 'kind') or 'document'} behind it is not taken over"
            hint = "apply it when the cluster is up: `kubectl apply -f`"
            found.append(wrong(what, root.at, hint, warning=True))
    return Documents(clusters[0], config, tuple(found))


def _kind(root: Map) -> str:
    return text(root, "kind").casefold()


def _first_variable(written: list[Document]) -> Diagnostic | None:
    """The first value that k0sctl would fill in; a comment may say what it likes."""
    for document in written:
        for scalar in walk(document.root):
            if _VARIABLE.search(scalar.text):
                return wrong("it has variables", scalar.at, _FILL_IN)
    return None


def _variable(data: bytes, file: str) -> Diagnostic | None:
    """The first line with a variable, where the braces of one keep the text from being YAML."""
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        if not line.lstrip().startswith("#") and _VARIABLE.search(line):
            return wrong("it has variables", Location(file, number), _FILL_IN)
    return None


def _added(first: Node | None, later: Node, path: str, found: list[Diagnostic]) -> Node:
    """`first` with what `later` has besides it; what both say otherwise is told."""
    if first is None:
        return later
    if not isinstance(first, Map) or not isinstance(later, Map):
        if first._replace(at=later.at) != later and path not in {"apiVersion", "kind"}:
            what = f"`{path}` of this ClusterConfig is not taken over: an earlier one says it already"
            found.append(
                wrong(what, later.at, f"the first one holds for k0sctl, too: {first.at}", warning=True)
            )
        return first
    made = dict(first.entries)
    for key, entry in entries(later):
        below = get(first, key)
        made[key] = Entry(entry.at, _added(below, entry.node, f"{path}.{key}".lstrip("."), found))
    return Map(made, first.at)
