"""The shapes of everything that is printed as JSON, for the type checker and for whoever reads the output.

`jsondoc` builds its documents as these types; the schemas in `schemas/` are
made from them, so that the three cannot part. Facts, layers and events
are frozen values of `model` written out field by field: their shapes are
derived from the values themselves. `format` counts breaking changes; new keys
may appear at any time, so the schemas allow keys they do not name.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NotRequired, TypeAlias, get_args, get_type_hints

from typing_extensions import TypedDict

from sealboot.model.arch import Arch
from sealboot.model.archive import ImageArchive, Rootfs
from sealboot.model.artifact import Elf, Initrd, Kernel, Kind, Pe, Uki
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.events import Event
from sealboot.model.facts import Facts
from sealboot.model.outcome import HostOutcome
from sealboot.model.verdict import Outcome

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic.json_schema import GenerateJsonSchema
    from pydantic_core import CoreSchema

FORMAT: Literal[1] = 1


@dataclass(frozen=True, slots=True)
class Written:
    """Says that a map holds the fields of a frozen value, and `extra` ones beside them."""

    kind: type
    extra: tuple[tuple[str, Any], ...] = ()

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The schema of a map with one key for each field."""
        return handler.generate_schema(_map_of(self.kind, self.extra))


def _map_of(kind: type, extra: tuple[tuple[str, Any], ...]) -> Any:
    """A typed map with the fields of a frozen value; findings in it have their own shape."""
    hints = get_type_hints(kind, include_extras=True)
    own = {f.name: hints[f.name] for f in fields(kind)}
    own = {name: DiagnosticShape if hint is Diagnostic else hint for name, hint in own.items()}
    made: Any = TypedDict(kind.__name__, {**dict(extra), **own})  # type: ignore[misc]
    made.__doc__ = kind.__doc__
    return made


class LocationShape(TypedDict):
    """A place in a text file; line and column count from 1."""

    file: str
    line: int
    column: int


class DiagnosticShape(TypedDict):
    """One finding; keys without a value are left out."""

    code: str
    name: str
    severity: Severity
    summary: str
    host: NotRequired[str]
    also: NotRequired[list[str]]
    artifact: NotRequired[str]
    at: NotRequired[LocationShape]
    evidence: NotRequired[dict[str, str]]
    notes: NotRequired[list[str]]
    hints: NotRequired[list[str]]


FactsShape: TypeAlias = Annotated[dict[str, Any], Written(Facts, (("emulates", list[Arch]),))]
ElfShape: TypeAlias = Annotated[dict[str, Any], Written(Elf, (("layer", Literal["elf"]),))]
#: A layer that is not ELF: `layer` names it, the other keys are facts about it.
OtherShape: TypeAlias = dict[str, str]
PeShape: TypeAlias = Annotated[dict[str, Any], Written(Pe, (("layer", Literal["pe"]),))]
UkiShape: TypeAlias = Annotated[dict[str, Any], Written(Uki, (("layer", Literal["uki"]),))]
KernelShape: TypeAlias = Annotated[dict[str, Any], Written(Kernel, (("layer", Literal["kernel"]),))]
InitrdShape: TypeAlias = Annotated[dict[str, Any], Written(Initrd, (("layer", Literal["initrd"]),))]
ImagesShape: TypeAlias = Annotated[
    dict[str, Any], Written(ImageArchive, (("layer", Literal["imagearchive"]),))
]
RootfsShape: TypeAlias = Annotated[dict[str, Any], Written(Rootfs, (("layer", Literal["rootfs"]),))]
LayerShape: TypeAlias = (
    ElfShape | PeShape | UkiShape | KernelShape | InitrdShape | ImagesShape | RootfsShape | OtherShape
)


class ArtifactShape(TypedDict):
    """One file: what its bytes are, whatever its name. `verified` says what vouches for it, if anything does."""

    path: str
    kind: Kind
    platforms: list[str]
    sha256: str
    size: int
    layers: list[LayerShape]
    diagnostics: list[DiagnosticShape]
    verified: NotRequired[str]


class HeadShape(TypedDict):
    """What every document begins with."""

    format: Literal[1]
    tool: str
    command: str


class PairShape(TypedDict):
    """One file on one host; `code` is the one reason why it does not simply run."""

    host: str
    artifact: str
    outcome: Outcome
    code: NotRequired[str]


class HostShape(TypedDict):
    """One host as `check` saw it; `artifacts` maps each slot to the chosen file.

    `assumed` is there, and true, where `arch` is the inventory's word because nobody could ask the host.
    """

    host: str
    role: str
    status: Literal["ok", "failed", "not_reached"]
    arch: str | None
    userland: str | None
    artifacts: dict[str, str]
    assumed: NotRequired[bool]


class CheckSummary(TypedDict):
    """Hosts by how they ended."""

    hosts: int
    ok: int
    failed: int
    not_reached: int


class CheckShape(HeadShape):
    """The document of `check`, and of `plan` and `apply` where findings stopped them."""

    summary: CheckSummary
    cluster: str
    driver: str
    release: str | None
    hosts: list[HostShape]
    artifacts: list[ArtifactShape]
    pairs: list[PairShape]
    diagnostics: list[DiagnosticShape]
    seconds: float


class StepShape(TypedDict):
    """One step of a plan and what applying it would do."""

    id: str
    host: str
    kind: str
    title: str
    action: Literal["create", "change", "remove", "none", "depends"]
    detail: str


class WaveShape(TypedDict):
    """Steps between two barriers; `parallel` hosts at once."""

    id: str
    title: str
    parallel: int | None
    steps: list[StepShape]


class PlanBody(TypedDict):
    """The plan; a file made by `plan -o` holds more (schemas/plan.schema.json)."""

    format: int
    cluster: str
    driver: str
    hosts: list[str]
    waves: list[WaveShape]


class PlanSummary(TypedDict):
    """What applying the plan would amount to."""

    changes: int
    upload_bytes: int


class PlanShape(HeadShape):
    """The document of `plan`, and of `reset` and `rollback` with `--dry-run`."""

    summary: PlanSummary
    plan: PlanBody
    diagnostics: list[DiagnosticShape]
    seconds: float


class AppliedHostShape(TypedDict):
    """How one host ended."""

    host: str
    role: str
    outcome: HostOutcome
    changed: int
    sent: int
    seconds: float


class ApplySummary(TypedDict):
    """Totals: `changed` counts steps that changed something."""

    hosts: int
    changed: int
    bytes_sent: int


class ApplyShape(HeadShape):
    """The document of `apply`, `reset` and `rollback`; `interrupted` is the signal's name."""

    cluster: str
    run: str
    summary: ApplySummary
    interrupted: str | None
    hosts: list[AppliedHostShape]
    diagnostics: list[DiagnosticShape]
    seconds: float


class InspectShape(HeadShape):
    """The document of `inspect`; its own `diagnostics` are about patterns that match no file."""

    artifacts: list[ArtifactShape]
    diagnostics: list[DiagnosticShape]


class PartShape(TypedDict):
    """One part of a file, in bytes: as it is, and as it is or would be written."""

    name: str
    before: int
    after: int
    note: str


class UpxShape(TypedDict):
    """What packing the whole file with UPX makes of it; `size` is null where UPX refuses."""

    size: int | None
    how: str
    effect: str


class RepackShape(HeadShape):
    """The document of `repack`; `output` and `result` are null where no file was kept."""

    source: ArtifactShape
    parts: list[PartShape]
    saved: int
    upx: UpxShape | None
    wire: int | None
    output: str | None
    result: ArtifactShape | None
    proofs: list[str]
    diagnostics: list[DiagnosticShape]


class KubeconfigShape(HeadShape):
    """The document of `kubeconfig`: what was written where, and nothing that is secret."""

    cluster: str
    host: str
    context: str
    server: str
    path: str
    state: Literal["created", "changed", "same"]
    merged: bool
    backup: str | None
    until: str
    diagnostics: list[DiagnosticShape]


class FactsReportShape(HeadShape):
    """The document of `facts`."""

    hosts: list[FactsShape]
    diagnostics: list[DiagnosticShape]


class FindingsShape(HeadShape):
    """Findings and nothing else: an invalid inventory, a refusal."""

    diagnostics: list[DiagnosticShape]


class RowsShape(HeadShape):
    """A table; the keys of a row are the headers in lower case."""

    rows: list[dict[str, str]]


class TextShape(HeadShape):
    """A page of text."""

    text: str


Document: TypeAlias = (
    CheckShape
    | PlanShape
    | ApplyShape
    | InspectShape
    | RepackShape
    | KubeconfigShape
    | FactsReportShape
    | FindingsShape
    | RowsShape
    | TextShape
)


class ReportEvent(TypedDict):
    """A document among the events of `--format jsonl`."""

    format: Literal[1]
    event: Literal["Report"]
    report: Document


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
        sys.stderr.write("usage: python -m sealboot.render.shapes FOLDER\n")
        return 2
    for name, made in (("report", report_schema()), ("events", events_schema())):
        path = Path(arguments[0]) / f"{name}.schema.json"
        path.write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
