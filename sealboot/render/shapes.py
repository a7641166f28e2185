"""The shapes of everything that is printed as JSON, for the type checker and for whoever reads the output.

`jsondoc` builds its documents as these types; the schemas in `schemas/` are
made from them (`render.schemas`), so that the three cannot part. `format`
counts breaking changes; new keys may appear at any time, so the schemas allow
keys they do not name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NotRequired, TypeAlias

from typing_extensions import TypedDict

from sealboot.model.outcome import HostOutcome
from sealboot.model.verdict import Outcome

if TYPE_CHECKING:
    pass


from sealboot.render.shape_parts import ArtifactShape, DiagnosticShape, FactsShape, LocationShape


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


class FormerShape(TypedDict):
    """The file that is on the host."""

    sha256: str


class StepShape(TypedDict):
    """One step of a plan and what applying it would do.

    `content` has `{{ secret.NAME }}` where a secret will stand. `diff` is there where what is on the host
    is known; for a new file it is all of it. `script` is what the step runs, or the smoke test of a file.
    """

    id: str
    host: str
    kind: str
    title: str
    action: Literal["create", "change", "remove", "none", "depends"]
    detail: str
    at: NotRequired[LocationShape]
    dest: NotRequired[str]
    mode: NotRequired[str]
    source: NotRequired[str]
    size: NotRequired[int]
    sha256: NotRequired[str]
    before: NotRequired[FormerShape]
    content: NotRequired[str]
    diff: NotRequired[str]
    script: NotRequired[str]


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
    diagnostics: list[DiagnosticShape]


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
