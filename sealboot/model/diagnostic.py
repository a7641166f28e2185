"""What sealboot found: one value for every finding, from a typo to a changed host key.

Errors are values until the command line: rooms return diagnostics, the CLI
decides the exit code, `render` decides how they look.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum


class Severity(StrEnum):
    """How much a finding weighs: an error stops, a warning is shown, a note explains."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True, order=True)
class Location:
    """A place in a text file; line and column count from 1."""

    file: str
    line: int
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding: what, about whom, where, on what evidence, and what to do.

    `code` is a key of the catalogue (`SB101`); `evidence` are label and text
    pairs, shown in order; every text may hold what a remote host or a file
    said, so only `render` may print it.
    """

    code: str
    summary: str
    severity: Severity = Severity.ERROR
    host: str | None = None
    artifact: str | None = None
    at: Location | None = None
    evidence: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    #: Further hosts that the same finding is about (duplicates, folded rows).
    also: tuple[str, ...] = field(default=())

    def located(self, at: Location | None) -> Diagnostic:
        """The same finding at `at`, unless it already knows its place."""
        return self if self.at or at is None else replace(self, at=at)


def has_errors(diagnostics: tuple[Diagnostic, ...] | list[Diagnostic]) -> bool:
    """Whether at least one of them is an error."""
    return any(d.severity is Severity.ERROR for d in diagnostics)
