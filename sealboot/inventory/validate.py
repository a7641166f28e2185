"""From a tree to a validated model: every mistake as a finding at its place, the rest still usable.

What is wrong is cut out of the tree and the remainder validated again, so
that the checks which need a whole inventory report in the same run.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ValidationError

from sealboot.inventory import secrets
from sealboot.inventory.schema import NAMING_KEYS, InventoryPart
from sealboot.inventory.tree import List, Map, Node, Scalar, plain
from sealboot.model.diagnostic import Diagnostic, Location
from sealboot.model.names import closest

Loc = tuple[int | str, ...]

_SECRET_KEY = re.compile(
    r"(?:^|[_.-])(?:pass|passwd|password|passphrase|pw|secret|token|api_?key|private_?key|credentials?)s?$"
)
#: Inside a driver's options `secret` and `token` may be names of captured values; these cannot.
_PASSWORD_KEY = re.compile(r"(?:^|[_.-])(?:pass|passwd|password|passphrase)s?$")
_KEY_TEXT = "PRIVATE KEY-----"
_MAP_HINT = "write its keys below it, indented, or in braces: `{key: value}`"
_LIST_HINT = "write its items below it, each after a `-`, or in brackets: `[one, two]`"
_MISTYPED: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "model_type": ("must be a map of settings", _MAP_HINT),
        "dict_type": ("must be a map", _MAP_HINT),
        "tuple_type": ("must be a list", _LIST_HINT),
        "list_type": ("must be a list", _LIST_HINT),
    }
)


def validate(root: Map) -> tuple[InventoryPart | None, tuple[Diagnostic, ...]]:
    """The model of the tree, and all findings (SB006, SB007, SB008, SB011, SB013, SB017).

    Cuts what is wrong, and the keys that begin with `x-`, out of `root`. The
    model is `None` only when nothing usable is left.
    """
    _drop_notes(root, naming=False)
    found = list(_inline_secrets(root))
    # The second pass meets what the first error of a value hid; three are more than any tree has needed.
    for _ in range(3):
        try:
            return InventoryPart.model_validate(plain(root)), tuple(found)
        except ValidationError as error:
            problems = error.errors(include_input=False, include_url=False)
        found += _findings(root, [(problem["loc"], dict(problem)) for problem in problems])
        for loc in sorted({_cut_at(p["loc"], p["type"]) for p in problems}, key=_deepest_last_first):
            _prune(root, loc)
    return None, tuple(found)


def looks_secret(key: str) -> bool:
    """Whether a key's name says that its value is a secret: `sudo_pass`, `join-token`."""
    return bool(_SECRET_KEY.search(key.lower()))


def _drop_notes(node: Node, *, naming: bool) -> None:
    """Forget the `x-…` keys, except where keys are the operator's own words."""
    if isinstance(node, List):
        for item in node.items:
            _drop_notes(item, naming=False)
    elif isinstance(node, Map):
        if not naming:
            for key in [key for key in node.entries if key.startswith("x-")]:
                del node.entries[key]
        for key, entry in node.entries.items():
            if key not in {"options", "phases"} or naming:
                _drop_notes(entry.node, naming=not naming and key in NAMING_KEYS)


def _inline_secrets(root: Map) -> typing.Iterator[Diagnostic]:
    """Secrets in places where any text is allowed: `vars`, and the driver's options."""
    levels = [root.entries.get("defaults"), *_children(root, "groups"), *_children(root, "hosts")]
    for level in levels:
        own = level.node.entries.get("vars") if level and isinstance(level.node, Map) else None
        if own:
            yield from _secret_values(own.node, _SECRET_KEY)
    for key in ("options", "phases"):
        if key in root.entries:
            yield from _secret_values(root.entries[key].node, _PASSWORD_KEY)


def _children(root: Map, key: str) -> list[Any]:
    entry = root.entries.get(key)
    return list(entry.node.entries.values()) if entry and isinstance(entry.node, Map) else []


def _secret_values(node: Node, pattern: re.Pattern[str]) -> typing.Iterator[Diagnostic]:
    if isinstance(node, List):
        for item in node.items:
            yield from _secret_values(item, pattern)
    elif isinstance(node, Map):
        for key, (_, child) in node.entries.items():
            if isinstance(child, Scalar):
                reference = not isinstance(secrets.parse_secret_ref(child.text), str) or "{{" in child.text
                if (child.text and pattern.search(key.lower()) and not reference) or _KEY_TEXT in child.text:
                    yield _inline(key, child.at)
            else:
                yield from _secret_values(child, pattern)
    elif _KEY_TEXT in node.text:
        yield _inline("a private key", node.at)


def _inline(key: str, at: Location) -> Diagnostic:
    return Diagnostic(
        "SB011",
        f"`{key}` looks like a secret written into the inventory",
        at=at,
        notes=("the value is not shown; if this file was shared or committed, change the secret",),
        hints=(f"refer to it instead, as `password_from` does: {secrets.FORMS}",),
    )


def _findings(root: Map, problems: list[tuple[Loc, dict[str, Any]]]) -> typing.Iterator[Diagnostic]:
    for loc, problem in problems:
        kind = str(problem["type"])
        context = problem.get("ctx") or {}
        where = _shown(loc)
        if kind == "extra_forbidden":
            yield _unknown_key(root, loc)
        elif kind == "missing":
            hint = f"add `{loc[-1]}: …`"
            yield Diagnostic("SB008", f"{where} is missing", at=_place(root, loc[:-1]), hints=(hint,))
        elif kind.startswith("SB"):
            at = _place(root, loc, key=loc[-1] == "[key]")
            hints = (str(context["hint"]),) if context.get("hint") else ()
            yield Diagnostic(kind, f"{where} {context['why']}", at=at, hints=hints)
        else:
            why, hint = _MISTYPED.get(
                kind, (str(problem["msg"]), "`sealboot inventory schema` shows what fits")
            )
            yield Diagnostic("SB007", f"{where} {why}", at=_place(root, loc), hints=(hint,))


def _unknown_key(root: Map, loc: Loc) -> Diagnostic:
    key = str(loc[-1])
    at = _place(root, loc, key=True)
    if looks_secret(key):
        return _inline(key, at)
    known = _known_keys(loc[:-1])
    near = closest(key, known)
    where = f" in {_shown(loc[:-1])}" if loc[:-1] else ""
    hint = f"did you mean `{near}`?" if near else f"known keys: {', '.join(known)}"
    note = "a key of your own begins with `x-`"
    return Diagnostic("SB006", f"unknown key `{key}`{where}", at=at, hints=(hint,), notes=(note,))


def _known_keys(loc: Loc) -> list[str]:
    current: Any = InventoryPart
    for part in loc:
        if isinstance(current, type) and issubclass(current, BaseModel):
            current = current.model_fields[str(part)].annotation
        else:
            current = typing.get_args(current)[0 if isinstance(part, int) else -1]
        while typing.get_origin(current) is typing.Annotated:
            current = typing.get_args(current)[0]
    return list(current.model_fields)


def _shown(loc: Loc) -> str:
    """`hosts.pi01.ignore[0].code`; pydantic's mark for a key is left out."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc if part != "[key]")
    return text.removeprefix(".") or "the inventory"


def _place(root: Map, loc: Loc, *, key: bool = False) -> Location:
    """Where `loc` is written, or the nearest thing around it; `key`: the key rather than its value."""
    node: Node = root
    at = root.at
    for part in loc:
        if isinstance(node, Map) and part in node.entries:
            entry = node.entries[str(part)]
            node = entry.node
            at = node.at if isinstance(node, Scalar) and not key else entry.at
        elif isinstance(node, List) and isinstance(part, int) and part < len(node.items):
            node = node.items[part]
            at = node.at
    return at


def _cut_at(loc: Loc, kind: str) -> Loc:
    """What to cut for an error: the wrong value, or the whole list item or map that it spoils."""
    numbers = [index for index, part in enumerate(loc) if isinstance(part, int)]
    if numbers:
        return loc[: numbers[0] + 1]
    cut = loc[:-1] if kind == "missing" or (loc and loc[-1] == "[key]") else loc
    return cut or loc


def _deepest_last_first(loc: Loc) -> tuple[int, list[int]]:
    """Deep before shallow, and later items before earlier ones, so that indices stay true."""
    return -len(loc), [-part for part in loc if isinstance(part, int)]


def _prune(root: Map, loc: Loc) -> None:
    node: Node = root
    for number, part in enumerate(loc):
        last = number == len(loc) - 1
        if isinstance(node, Map) and part in node.entries:
            if last or isinstance(node.entries[str(part)].node, Scalar):
                del node.entries[str(part)]
                return
            node = node.entries[str(part)].node
        elif isinstance(node, List) and isinstance(part, int) and part < len(node.items):
            if last:
                del node.items[part]
                return
            node = node.items[part]
