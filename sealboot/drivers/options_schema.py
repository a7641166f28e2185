"""A driver's options as JSON schema, for editors: of the same pydantic model that validates them.

The model reads text (`"true"`, `"6443"`, one text where a list may stand), and a person writes YAML, in which
an editor sees truth values and numbers. What is written down here is what may be typed.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from sealboot.drivers.base import Driver

_BOUNDS = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum"}
_REF = "#/$defs/"
_FIELD = re.compile(r"    ([a-z]\w*): [^#]*?(?:  # (.*))?")
_TYPES: Mapping[type, str] = {bool: "boolean", int: "integer", float: "number", str: "string"}


def options_schema(driver: Driver) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The schema of the driver's options, and the definitions it refers to, each led by the driver's name.

    Raises whatever pydantic raises for a model that has no JSON schema (`PydanticInvalidForJsonSchema`).
    """
    made = driver.Options.model_json_schema(mode="validation")
    definitions = made.pop("$defs", {})
    about = {model.__name__: _comments(model) for model in _models(driver.Options)}
    _describe(made, about.get(driver.Options.__name__, {}))
    for name, definition in definitions.items():
        _describe(definition, about.get(name, {}))
    named = {f"{driver.name}.{name}": _typed(tree, driver.name) for name, tree in definitions.items()}
    return _typed(made, driver.name), named


def _typed(tree: Any, prefix: str) -> Any:
    """The same schema for what people type, with its references led by `prefix`."""
    if isinstance(tree, list):
        return [_typed(part, prefix) for part in tree]
    if not isinstance(tree, dict):
        return tree
    made: dict[str, Any] = {}
    key: str
    for key, value in tree.items():
        if key == "$ref":
            made[key] = f"{_REF}{prefix}.{value.removeprefix(_REF)}"
        elif key in {"properties", "patternProperties"}:
            made[key] = {name: _typed(part, prefix) for name, part in value.items()}
        elif key in {"default", "enum", "const"}:
            made[key] = value
        elif key != "title":
            bound: str = _BOUNDS.get(key, key)
            made[bound] = _typed(value, prefix)
    return _widened(_without_null(made))


def _without_null(made: dict[str, Any]) -> dict[str, Any]:
    """`X or nothing` is X: what is not said is left out."""
    choices = made.get("anyOf")
    if not isinstance(choices, list):
        return made
    kept = [choice for choice in choices if choice != {"type": "null"}]
    if len(kept) == 1:
        return {**kept[0], **{key: value for key, value in made.items() if key != "anyOf"}}
    return {**made, "anyOf": kept}


def _widened(made: dict[str, Any]) -> dict[str, Any]:
    """Everything that YAML makes of a text the model would take."""
    if "additionalProperties" in made and made["additionalProperties"] is False:
        made["patternProperties"] = {**made.get("patternProperties", {}), "^x-": {}}
    if set(made.get("enum", ())) == {"true", "false"}:
        made = {**made, "enum": [True, False, "true", "false"]}
        made.pop("type", None)
    elif made.get("type") == "string" and "enum" not in made and "const" not in made:
        made["type"] = _scalars(made.get("pattern"))
    elif made.get("type") == "array" and _is_text(made.get("items")):
        about: dict[str, Any] = {key: made.pop(key) for key in ("default", "description") if key in made}
        made = {"anyOf": [made["items"], made], **about}
    return _with_default(made)


def _scalars(pattern: str | None) -> str | list[str]:
    if pattern is None:
        return ["string", "number", "boolean"]
    return ["string", "number"] if re.search(pattern, "10") else "string"


def _is_text(items: Any) -> bool:
    kind = items.get("type") if isinstance(items, dict) else None
    return kind == "string" or (isinstance(kind, list) and "string" in kind)


def _with_default(made: dict[str, Any]) -> dict[str, Any]:
    """The default stays where it can be typed as it is: `493` is nobody's `0755`."""
    default = made.get("default")
    kinds = made.get("type", [])
    typed = _TYPES.get(type(default)) in ([kinds] if isinstance(kinds, str) else kinds)
    if "default" in made and not (typed or default in made.get("enum", ())):
        return {key: value for key, value in made.items() if key != "default"}
    return made


def _models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """The model and all that it is made of, each once."""
    seen: dict[type[BaseModel], None] = {}
    queue = [model]
    while queue:
        one = queue.pop()
        if one not in seen:
            seen[one] = None
            for field in one.model_fields.values():
                queue += _mentioned(field.annotation)
    yield from seen


def _mentioned(annotation: Any) -> Iterator[type[BaseModel]]:
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    for part in getattr(annotation, "__args__", ()):
        yield from _mentioned(part)


def _comments(model: type[BaseModel]) -> dict[str, str]:
    """What the source says about each field: `#: ...` lines above it, or a comment behind it.

    The comments are the one place where options are explained to those who read the code; editors get
    the same words. Where there is no source there are no words.
    """
    try:
        lines = inspect.getsource(model).splitlines()
    except (OSError, TypeError):
        return {}
    found: dict[str, str] = {}
    above: list[str] = []
    for line in lines:
        if line.startswith("    #: "):
            above.append(line[7:])
            continue
        match = _FIELD.fullmatch(line)
        words = " ".join(above) or (match[2] if match and match[2] else "")
        if match and words and not words.startswith("noqa"):
            found[match[1]] = words
        above = []
    return found


def _describe(schema: dict[str, Any], about: Mapping[str, str]) -> None:
    for name, words in about.items():
        if name in schema.get("properties", {}):
            schema["properties"][name].setdefault("description", words)
