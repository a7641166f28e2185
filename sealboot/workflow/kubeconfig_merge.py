"""One cluster's access added to a kubeconfig that has others: everything else stays as it is.

Works on YAML's nodes, below the layer that builds values: what is not ours
keeps its spelling, its quotes and its order, whatever it is. Only comments
are lost, as they are when kubectl writes the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import yaml

from sealboot.workflow.kubeconfig_text import Access, document, text

_TEXT: Final = "tag:yaml.org,2002:str"
_MAXIMUM_DEPTH: Final = 64
#: The lists of a kubeconfig, and what an entry of each holds beside its name.
_LISTS: Final = (("clusters", "cluster"), ("users", "user"), ("contexts", "context"))


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the file is left as it is; `forcible` when the operator may insist."""

    why: str
    forcible: bool = False


def merged(existing: str, access: Access, name: str, server: str, *, force: bool = False) -> str | Refusal:
    """`existing` with this cluster's three entries added, or put in place of its own earlier ones.

    Entries of that name which belong to another cluster are refused unless `force`. The current
    context stays what it is; where there is none, the new one becomes it.
    """
    root = _root(existing)
    if isinstance(root, Refusal):
        return root
    if root is None:
        return text(access, name, server)
    kind = _get(root, "kind")
    if kind is not None and _value(kind) != "Config":
        return Refusal("it is no kubeconfig")
    lists: dict[str, Any] = {}
    for several, _ in _LISTS:
        made = _list(root, several)
        if made is None:
            return Refusal(f"`{several}` in it is no list of entries with names")
        lists[several] = made
    if not force and _foreign(lists, access, name):
        return Refusal(f"it has entries called {name!r} that are another cluster's", forcible=True)
    ours = document(access, name, server)
    for several, one in _LISTS:
        _put(lists[several], ours[several][0], one, name)
    current = _get(root, "current-context")
    if current is None or _value(current) in {"", "null", "~"}:
        _set(root, "current-context", _node(name))
    for key in ("apiVersion", "kind"):
        if _get(root, key) is None:
            _set(root, key, _node(ours[key]))
    made_text: str = yaml.serialize(root, Dumper=yaml.SafeDumper, width=2**31 - 1, allow_unicode=True)
    again = _root(made_text)
    if isinstance(again, Refusal) or not _same(root, again, set()):
        return Refusal("it has texts that cannot be written again as they are")
    return made_text


def _same(one: Any, other: Any, seen: set[tuple[int, int]]) -> bool:
    """Whether two graphs say the same; what is shared by aliases is compared once."""
    if (id(one), id(other)) in seen:
        return True
    seen.add((id(one), id(other)))
    if type(one) is not type(other) or one.tag != other.tag:
        return False
    if isinstance(one, yaml.ScalarNode):
        return bool(one.value == other.value)
    if len(one.value) != len(other.value):
        return False
    pairs = zip(one.value, other.value, strict=True)
    if isinstance(one, yaml.SequenceNode):
        return all(_same(a, b, seen) for a, b in pairs)
    return all(_same(a[0], b[0], seen) and _same(a[1], b[1], seen) for a, b in pairs)


def _root(existing: str) -> Any:
    """The map that the file is, `None` for an empty file, or why it cannot be changed."""
    loader: Any = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
    try:
        depth = 0
        for event in yaml.parse(existing, Loader=loader):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > _MAXIMUM_DEPTH:  # before anything goes down as deep
                return Refusal(f"it is nested more than {_MAXIMUM_DEPTH} levels deep")
        root = yaml.compose(existing, Loader=loader)
    except (yaml.YAMLError, ValueError):
        return Refusal("it is no YAML that can be read")
    if root is None or (isinstance(root, yaml.ScalarNode) and root.value in {"", "null", "~"}):
        return None
    return root if isinstance(root, yaml.MappingNode) else Refusal("it is no kubeconfig")


def _value(node: Any) -> str | None:
    return str(node.value) if isinstance(node, yaml.ScalarNode) else None


def _get(node: Any, key: str) -> Any:
    """The value of a key; the last one where it stands twice, as kubectl takes it. `None` when it is not there."""
    found = None
    for name, value in node.value:
        if _value(name) == key:
            found = value
    return found


def _set(node: Any, key: str, value: Any) -> None:
    for number, (name, _) in enumerate(node.value):
        if _value(name) == key:
            node.value[number] = (name, value)
            return
    node.value.append((_node(key), value))


def _node(tree: Any) -> Any:
    """A value of our own as a node; texts are quoted where they would be taken for something else."""
    if isinstance(tree, dict):
        pairs = [(_node(key), _node(value)) for key, value in tree.items()]
        return yaml.MappingNode("tag:yaml.org,2002:map", pairs, flow_style=False)
    return yaml.ScalarNode(_TEXT, tree)


def _list(root: Any, key: str) -> Any:
    """The list of that name, made where there is none; `None` when it is something else."""
    found = _get(root, key)
    if found is None or _value(found) in {"", "null", "~"}:
        found = yaml.SequenceNode("tag:yaml.org,2002:seq", [], flow_style=False)
        _set(root, key, found)
    if not isinstance(found, yaml.SequenceNode):
        return None
    if not all(isinstance(entry, yaml.MappingNode) for entry in found.value):
        return None
    if not found.value:
        found.flow_style = False  # `clusters: []` would go on in one line
    return found


def _entry(entries: Any, name: str) -> Any:
    return next((e for e in entries.value if (n := _get(e, "name")) is not None and _value(n) == name), None)


def _inner(entry: Any, one: str) -> Any:
    """What an entry holds beside its name, where that is a map."""
    inner = None if entry is None else _get(entry, one)
    return inner if isinstance(inner, yaml.MappingNode) else None


def _foreign(lists: dict[str, Any], access: Access, name: str) -> bool:
    """Whether an entry of this name belongs to somebody else."""
    entries = {several: _entry(lists[several], name) for several, _ in _LISTS}
    if all(entry is None for entry in entries.values()):
        return False
    cluster = _inner(entries["clusters"], "cluster")
    authority = None if cluster is None else _get(cluster, "certificate-authority-data")
    if authority is None or not access.same_cluster(_value(authority) or ""):
        return True
    # The user of that name must not let somebody into another cluster as well.
    for entry in lists["contexts"].value:
        context = _inner(entry, "context")
        if context is None:
            continue
        named = [_value(node) if (node := _get(context, key)) else None for key in ("cluster", "user")]
        own = _value(_get(entry, "name")) == name if _get(entry, "name") is not None else False
        if (own and named != [name, name]) or (named[1] == name and named[0] != name):
            return True
    return False


def _put(entries: Any, ours: dict[str, Any], one: str, name: str) -> None:
    """Replace the entry of that name, or append it. A context keeps what else it says (a namespace).

    Copies are changed, because an alias may give the same node to somebody else's entry.
    """
    before = _entry(entries, name)
    if before is None:
        entries.value.append(_node(ours))
        return
    made, inner = _copy(before), _inner(before, one)
    if one == "context" and inner is not None:
        kept = _copy(inner)
        for key, value in ours[one].items():
            _set(kept, key, _node(value))
        _set(made, one, kept)
    else:
        _set(made, one, _node(ours[one]))
    entries.value[entries.value.index(before)] = made


def _copy(node: Any) -> Any:
    return yaml.MappingNode(node.tag, list(node.value), flow_style=node.flow_style)
