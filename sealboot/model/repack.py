"""What can be made of a program's file without changing what it does: the parts, before and after."""

from __future__ import annotations

from dataclasses import dataclass

from sealboot.model.artifact import Artifact
from sealboot.model.diagnostic import Diagnostic


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a file: `program`, `padding` or `payload`, its bytes before and after, and why so."""

    name: str
    before: int
    after: int
    note: str


@dataclass(frozen=True, slots=True)
class Upx:
    """What packing with UPX would make of the file.

    `size` in bytes, `None` where nobody knows (UPX refuses the file, or it is
    packed already). `how` says whether that was measured or estimated, and by
    what. `effect` says what becomes of the payload, and what it costs.
    """

    size: int | None
    how: str
    effect: str


@dataclass(frozen=True, slots=True)
class RepackReport:
    """The end of `repack`.

    `source` is the file as it is. `parts` are the parts of the file that was
    written, or that would be (`output` empty). `result` is that file, read
    again after it was written, and `proofs` what was compared between the
    two, in words; both only where it was kept. `wire` is what the file as it is
    compresses to on its way, in bytes: no file needs to change for that.
    """

    source: Artifact
    parts: tuple[Part, ...] = ()
    upx: Upx | None = None
    output: str = ""
    result: Artifact | None = None
    proofs: tuple[str, ...] = ()
    wire: int | None = None
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def after(self) -> int:
        """Bytes of the file that was or would be written."""
        return sum(part.after for part in self.parts)

    @property
    def saved(self) -> int:
        """Bytes fewer than before; negative where a packed file was restored."""
        return self.source.size - self.after if self.parts else 0
