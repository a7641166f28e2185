"""An `Artifact` as JSON and back, strictly: what is not exactly what was written is nothing.

The other direction reads a file that anybody may have written, so nothing in
it names code: a tag picks one of the frozen values listed here, each field
must have the type that its value declares, and no field may lack or be left over.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from sealboot.model.archive import Image, ImageArchive, Programs, Rootfs
from sealboot.model.artifact import (
    Artifact,
    Elf,
    Initrd,
    Kernel,
    Other,
    Pe,
    Profile,
    Section,
    Segment,
    Uki,
)
from sealboot.model.diagnostic import Diagnostic, Location
from sealboot.model.payload import Component, Payload

_TAG = "_"
_VALUES: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        Artifact, Component, Diagnostic, Elf, Image, ImageArchive, Initrd, Kernel, Location, Other, Payload, Pe,
        Profile, Programs, Rootfs, Section, Segment, Uki,
    )
}  # fmt: skip


def encode(value: object) -> Any:
    """Maps, lists, text and numbers. Raises `ValueError` for a value that has no place here."""
    if value is None or type(value) in {str, int, bool}:
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return [encode(item) for item in value]
    if isinstance(value, Mapping):
        return {key: encode(item) for key, item in value.items()}
    name = type(value).__name__
    if _VALUES.get(name) is not type(value):
        raise ValueError(f"no way to write {name}")
    made = {f.name: encode(getattr(value, f.name)) for f in fields(_VALUES[name])}
    return {_TAG: name, **made}


def decode(data: object) -> Artifact:
    """The artifact that was written. Raises `ValueError` for anything else."""
    made = _decoded(data, Artifact)
    if not isinstance(made, Artifact):
        raise ValueError("no artifact")  # noqa: TRY004 (one kind of error)
    return made


def _decoded(data: object, hint: Any) -> Any:
    origin = get_origin(hint)
    if origin in {Union, types.UnionType}:
        return _one_of(data, get_args(hint))
    if origin is tuple:
        return _tuple(data, get_args(hint))
    if origin is Literal:
        return _exactly(data, data in get_args(hint) and type(data) in {type(a) for a in get_args(hint)})
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping(data, get_args(hint))
    if hint in {str, int, bool, types.NoneType}:
        return _exactly(data, type(data) is hint)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint(_exactly(data, isinstance(data, str)))
    return _value(data, hint)


def _exactly(data: Any, fits: bool) -> Any:
    if not fits:
        raise ValueError(f"a {type(data).__name__} where something else belongs")
    return data


def _one_of(data: object, hints: tuple[Any, ...]) -> Any:
    """The first that fits: of values the tag tells, of texts only enumerations overlap."""
    for hint in hints:
        try:
            return _decoded(data, hint)
        except ValueError:
            continue
    raise ValueError("nothing that may stand here")


def _tuple(data: object, hints: tuple[Any, ...]) -> tuple[Any, ...]:
    if not isinstance(data, list):
        raise ValueError("no list")  # noqa: TRY004 (one kind of error)
    if len(hints) == 2 and hints[1] is Ellipsis:
        return tuple(_decoded(item, hints[0]) for item in data)
    if len(data) != len(hints):
        raise ValueError("a list of another length")
    return tuple(_decoded(item, hint) for item, hint in zip(data, hints, strict=True))


def _mapping(data: object, hints: tuple[Any, ...]) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise ValueError("no map")  # noqa: TRY004 (one kind of error)
    return {_decoded(key, hints[0]): _decoded(item, hints[1]) for key, item in data.items()}


def _value(data: object, hint: Any) -> Any:
    kind = _VALUES.get(str(data.get(_TAG))) if isinstance(data, dict) else None
    if kind is None or not is_dataclass(hint) or not issubclass(kind, hint):  # type: ignore[arg-type]
        raise ValueError("another value")
    given = {key: item for key, item in data.items() if key != _TAG}  # type: ignore[attr-defined]
    wanted = _hints(kind)
    if given.keys() != wanted.keys():
        raise ValueError(f"other fields than those of {kind.__name__}")
    return kind(**{name: _decoded(given[name], wanted[name]) for name in wanted})


@cache
def _hints(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {f.name: hints[f.name] for f in fields(kind)}
