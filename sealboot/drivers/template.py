"""The small template language of phases: look-ups, one loop form, literals; nothing that computes.

    {{ host.name }}                       a value
    {{ vars.data_dir | sh }}              quoted for a POSIX shell (`json`: as a JSON string)
    {{ each role=member sep="," : {host.name}=http://{host.address}:2380 }}
    {{ secret.NAME }}                     stays as it is: the engine fills it in on its way to the host
    {{ "{{" }}                            the text between the quotes

It is a language of its own rather than a general one because templates are
data that a stranger may have written: there are no calls, no attributes of
Python objects, no recursion, and what is inserted is never read again. Size
and time are bounded by construction: one loop over hosts, never nested.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, TypeAlias

#: Characters of one template and of what it becomes.
SOURCE_LIMIT: Final = 256 << 10
OUTPUT_LIMIT: Final = 1 << 20

#: Names to values: `host.name`, `vars.x`, `first.server.address`.
Names: TypeAlias = Mapping[str, str]

# Every alternative begins with another character and nothing is given back (`*+`), so that no input
# makes the match slow.
_QUOTED = r'"(?:[^"\\]|\\.)*+"'
_TAG = re.compile(
    rf'\{{\{{((?:{_QUOTED}|[^"{{}}]|\{{(?:{_QUOTED}|[^"{{}}]|\{{[^{{}}]*+\}})*+\}})*+)\}}\}}', re.DOTALL
)
_LOOKUP = re.compile(r"([A-Za-z_][\w+-]*(?:\.[\w+-]+)+)\s*(?:\|\s*([a-z]+))?")
_LITERAL = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_EACH = re.compile(r'each((?:\s+[a-z]+=(?:"(?:[^"\\]|\\.)*"|[^\s":]+))*)\s*:\s*(.*)', re.DOTALL)
_SETTING = re.compile(r'([a-z]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s":]+))')
_ITEM = re.compile(r"\{([A-Za-z_][\w+-]*(?:\.[\w+-]+)*)\}")
_ESCAPES = {"n": "\n", "t": "\t", '"': '"', "\\": "\\"}

_FILTERS: Mapping[str, Callable[[str], str]] = {"sh": shlex.quote, "json": json.dumps}


class TemplateError(ValueError):
    """What is wrong with a template, in words that hold no value of it."""


@dataclass(frozen=True, slots=True)
class Member:
    """One host as a loop sees it; `names` are its `host.*` and `vars.*`."""

    name: str
    role: str
    names: Names


@dataclass(frozen=True, slots=True)
class Scope:
    """What a template may say: `names` for look-ups, `members` for loops, `secrets` that may stand in it."""

    names: Names
    members: tuple[Member, ...] = ()
    secrets: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Rendered:
    """The text, with `{{ secret.NAME }}` left in it for each name in `secrets`."""

    text: str
    secrets: tuple[str, ...] = ()


def render(source: str, scope: Scope) -> Rendered:
    """Fill in a template; raises `TemplateError` for anything that is not fully understood."""
    if len(source) > SOURCE_LIMIT:
        raise TemplateError(f"a template has at most {SOURCE_LIMIT >> 10} KiB")
    pieces: list[str] = []
    secrets: dict[str, None] = {}
    size = position = 0
    while (start := source.find("{{", position)) >= 0:
        tag = _TAG.match(source, start)
        if tag is None:
            raise TemplateError(
                f"line {_line(source, start)}: `{{{{` is not closed, or holds what no tag may"
            )
        try:
            filled = _fill(tag[1].strip(), scope, secrets)
        except TemplateError as error:
            raise TemplateError(f"line {_line(source, start)}: {error}") from None
        pieces += [source[position:start], filled]
        size += start - position + len(filled)
        if size > OUTPUT_LIMIT:
            raise TemplateError(f"the text grows beyond {OUTPUT_LIMIT >> 20} MiB")
        position = tag.end()
    return Rendered("".join([*pieces, source[position:]]), tuple(secrets))


def _line(source: str, position: int) -> int:
    return source.count("\n", 0, position) + 1


def _fill(expression: str, scope: Scope, secrets: dict[str, None]) -> str:
    if literal := _LITERAL.fullmatch(expression):
        return _unescape(literal[1])
    if each := _EACH.fullmatch(expression):
        return _loop(each[1], each[2], scope)
    lookup = _LOOKUP.fullmatch(expression)
    if lookup is None:
        raise TemplateError("expected `{{ name.part }}`, `{{ each ... : ... }}` or a quoted text")
    name, filtering = lookup[1], lookup[2]
    if name.startswith("secret."):
        return _secret(name.removeprefix("secret."), filtering, scope, secrets)
    value = _value(name, scope.names)
    if filtering is None:
        return value
    if filtering not in _FILTERS:
        raise TemplateError(f"no filter is called {filtering!r}; there are `sh` and `json`")
    return _FILTERS[filtering](value)


def _secret(name: str, filtering: str | None, scope: Scope, secrets: dict[str, None]) -> str:
    if name not in scope.secrets:
        raise TemplateError(f"no earlier phase captures the secret {name!r}")
    if filtering is not None:
        raise TemplateError("a secret takes no filter: its value is not known here")
    secrets[name] = None
    return f"{{{{ secret.{name} }}}}"


def _value(name: str, names: Names) -> str:
    if name in names:
        return names[name]
    stem = name.partition(".")[0]
    known = sorted(other for other in names if other.startswith(f"{stem}."))
    listed = f"; known: {', '.join(known[:12])}" if known else ""
    raise TemplateError(f"{name!r} has no value here{listed}")


def _loop(settings: str, item: str, scope: Scope) -> str:
    chosen = {key: bare or _unescape(quoted) for key, quoted, bare in _SETTING.findall(settings)}
    if unknown := sorted(set(chosen) - {"role", "host", "sep"}):
        raise TemplateError(f"`each` takes role=, host= and sep=, not {unknown[0]}=")
    roles = tuple(chosen["role"].split(",")) if "role" in chosen else ()
    members = [
        m
        for m in scope.members
        if (not roles or m.role in roles) and fnmatchcase(m.name, chosen.get("host", "*"))
    ]
    if not members:
        raise TemplateError("`each` matches no host of the inventory")
    item = item.strip()
    if not item:
        raise TemplateError("`each` needs a text after the colon")
    if "{{" in item:
        raise TemplateError("inside `each`, values stand in single braces: {host.name}")
    return chosen.get("sep", " ").join(
        _item(item, {**member.names, "index": str(index)}) for index, member in enumerate(members, 1)
    )


def _item(item: str, names: Names) -> str:
    return _ITEM.sub(lambda match: _value(match[1], names), item)


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[0]), text, flags=re.DOTALL)
