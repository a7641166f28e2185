"""The shapes of what documents are made of: findings, facts, files and their layers.

Facts and layers are frozen values of `model` written out field by field: their
shapes are derived from the values themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, Literal, NotRequired, TypeAlias, get_type_hints

from typing_extensions import TypedDict

from sealboot.model.arch import Arch
from sealboot.model.archive import ImageArchive, Rootfs
from sealboot.model.artifact import Elf, Initrd, Kernel, Kind, Pe, Uki
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.facts import Facts

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
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
