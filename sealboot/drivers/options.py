"""A driver's own options: from the inventory's plain tree to a validated model, or every error at once.

Values are never repeated in a message: what was misspelt may be a password.
"""

from __future__ import annotations

import copy
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from sealboot.drivers.base import Driver
from sealboot.model.diagnostic import Diagnostic, Location
from sealboot.model.host import Inventory
from sealboot.model.names import closest

_EXTRA = "extra_forbidden"


def validate(driver: Driver, inventory: Inventory) -> BaseModel | tuple[Diagnostic, ...]:
    """The driver's options as its own model, or all findings (SB603), each at its place in the inventory.

    Keys that begin with `x-` are the operator's own and are left out.
    """
    tree = copy.deepcopy(dict(inventory.options))
    made = _attempt(driver, tree)
    if isinstance(made, BaseModel):
        return made
    own = [e["loc"] for e in made if e["type"] == _EXTRA and str(e["loc"][-1]).startswith("x-")]
    for loc in own:
        _drop(tree, loc)
    again = _attempt(driver, tree) if own else made
    if isinstance(again, BaseModel):
        return again
    return tuple(_finding(driver, inventory, problem) for problem in again)


def _attempt(driver: Driver, tree: Mapping[str, Any]) -> BaseModel | list[Mapping[str, Any]]:
    """The model, or pydantic's problems without their inputs and without those that only follow from others.

    A list whose items are all wrong is also reported as too short, which it is not.
    """
    try:
        return driver.Options.model_validate(tree)
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False, include_context=False)
    return [
        dict(problem)
        for problem in found
        if problem["type"] != "too_short"
        or not any(
            len(other["loc"]) > len(problem["loc"]) and other["loc"][: len(problem["loc"])] == problem["loc"]
            for other in found
        )
    ]


def path_text(loc: tuple[int | str, ...]) -> str:
    """`("phases", 2, "steps", 0)` as the inventory's origins spell it: `options.phases[2].steps[0]`."""
    return "options" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)


def origin_of(inventory: Inventory, path: str) -> Location | None:
    """Where `path` was written, or the nearest thing around it that was."""
    while path:
        if path in inventory.origins:
            return inventory.origins[path]
        cut = max(path.rfind("."), path.rfind("["))
        path = path[:cut] if cut > 0 else ""
    return inventory.origins.get("")


def _drop(tree: Any, loc: tuple[int | str, ...]) -> None:
    """Delete one key from nested lists and maps."""
    for part in loc[:-1]:
        tree = tree[part]
    del tree[loc[-1]]


def _finding(driver: Driver, inventory: Inventory, problem: Mapping[str, Any]) -> Diagnostic:
    loc: tuple[int | str, ...] = problem["loc"]
    path = path_text(loc)
    shown = path.removeprefix("options.")
    hints: tuple[str, ...] = ()
    if problem["type"] == _EXTRA:
        fields = _fields_at(driver.Options, loc[:-1])
        where = path_text(loc[:-1]).removeprefix("options").removeprefix(".")
        summary = f"unknown key `{loc[-1]}`" + (f" in {where}" if where else "")
        close = closest(str(loc[-1]), fields)
        hints = (f"did you mean `{close}`?",) if close else (f"known keys: {', '.join(fields)}",)
    elif problem["type"] == "missing":
        summary = f"{shown} is missing"
    else:
        message = str(problem["msg"]).removeprefix("Value error, ")
        summary = f"{shown or 'the options'}: {message}"
    return Diagnostic(
        "SB603",
        f"driver {driver.name}: {summary}",
        at=origin_of(inventory, path),
        evidence=(("option", shown),) if shown else (),
        hints=hints,
    )


def _fields_at(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """The keys that the model at `loc` knows; empty where the tree is not a model's."""
    current: type[BaseModel] | None = model
    for part in loc:
        if current is None or isinstance(part, int):
            continue
        field = next((f for name, f in current.model_fields.items() if part in {name, f.alias}), None)
        current = next(_models_in(field.annotation), None) if field else None
    return [f.alias or name for name, f in current.model_fields.items()] if current else []


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The pydantic models that an annotation mentions, through tuples, optionals and unions."""
    if isinstance(annotation, type) and not typing.get_args(annotation):
        if issubclass(annotation, BaseModel):
            yield annotation
        return
    for argument in typing.get_args(annotation):
        yield from _models_in(argument)
