"""The JSON schemas of what is printed, made from its shapes; `python -m sealboot.render.schemas FOLDER` writes them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from sealboot.model.events import Event

if TYPE_CHECKING:
    from pydantic.json_schema import GenerateJsonSchema


from sealboot.render.shape_parts import Written
from sealboot.render.shapes import Document, ReportEvent


def _generator() -> type[GenerateJsonSchema]:
    """A maker of schemas of what is written: every field is there, so none is optional and none has a default."""
    from pydantic.json_schema import GenerateJsonSchema  # noqa: PLC0415 (not needed to print a document)

    class Generator(GenerateJsonSchema):
        def field_is_required(self, field: Any, total: bool) -> bool:
            if field["type"] == "typed-dict-field":
                return super().field_is_required(field, total)
            return True

        def default_schema(self, schema: Any) -> dict[str, Any]:
            return self.generate_inner(schema["schema"])

    return Generator


def _schema(title: str, shape: Any) -> dict[str, Any]:
    from pydantic import TypeAdapter  # noqa: PLC0415 (not needed to print a document)

    made = TypeAdapter(shape).json_schema(mode="serialization", schema_generator=_generator())
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **made}


def report_schema() -> dict[str, Any]:
    """The JSON schema (2020-12) of what `--format json` prints."""
    return _schema("sealboot report", Document)


def events_schema() -> dict[str, Any]:
    """The JSON schema (2020-12) of one line of `--format jsonl`."""
    lines: Any = ReportEvent
    for kind in get_args(Event):
        first = (("format", Literal[1]), ("event", Literal[kind.__name__]))
        lines = lines | Annotated[dict[str, Any], Written(kind, first)]
    return _schema("sealboot event", lines)


def main(arguments: list[str]) -> int:
    """Write the schemas into the folder that is named."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m sealboot.render.schemas FOLDER\n")
        return 2
    for name, made in (("report", report_schema()), ("events", events_schema())):
        path = Path(arguments[0]) / f"{name}.schema.json"
        path.write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
