"""Patterns become artifacts: deterministic, bounded, each file read once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sealboot.artifacts.cache import Cache
from sealboot.artifacts.inspect import inspect
from sealboot.artifacts.patterns import matches
from sealboot.model.artifact import Artifact
from sealboot.model.diagnostic import Diagnostic, Severity


def collect(
    patterns: Sequence[str], base: Path, *, deep: bool = False, cache: Cache | None = None
) -> tuple[tuple[Artifact, ...], tuple[Diagnostic, ...]]:
    """Read every file that a pattern names, relative to `base`; `deep` and `cache` as for `inspect`.

    `*`, `?`, `[...]` work within a name, `**` stands for any folders (links to
    folders are not followed). A pattern that names a folder means the files in
    it. Files begin with a dot only where the pattern says so. A plain path that
    does not exist is an artifact of kind MISSING; a pattern that matches
    nothing is a warning (SB407), as is one that matches too much.

    Artifacts come in the order of the patterns, then by path.
    """
    artifacts: dict[str, Artifact] = {}
    diagnostics: list[Diagnostic] = []
    for pattern in patterns:
        matched = matches(pattern, base)
        if not matched.paths:
            diagnostics.append(_warning(pattern, f"no file matches {pattern}"))
        elif matched.more:
            diagnostics.append(_warning(pattern, f"{pattern} matches too much: the rest was not looked at"))
        for shown, path in matched.paths:
            if shown not in artifacts:
                artifacts[shown] = inspect(path, shown, deep=deep, cache=cache)
    return tuple(artifacts.values()), tuple(diagnostics)


def _warning(pattern: str, summary: str) -> Diagnostic:
    return Diagnostic(
        code="SB407",
        summary=summary,
        severity=Severity.WARNING,
        evidence=(("pattern", pattern),),
        hints=("paths are relative to the folder of the inventory file",),
    )
