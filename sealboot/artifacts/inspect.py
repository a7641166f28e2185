"""One file becomes one `Artifact`: opened once, read once, hashed from the same descriptor."""

from __future__ import annotations

from pathlib import Path

from sealboot.artifacts.elf import Parsed, parse
from sealboot.artifacts.name import arch_in_name
from sealboot.artifacts.reader import Reader, Refusal, Source, open_file
from sealboot.artifacts.sniff import HEAD, script_interpreter, sniff
from sealboot.artifacts.upx import is_packed
from sealboot.model.arch import Arch
from sealboot.model.artifact import Artifact, Elf, Kind, Layer, Other
from sealboot.model.diagnostic import Diagnostic, Severity


def inspect(path: Path, shown: str | None = None) -> Artifact:
    """What is in the file at `path`; `shown` is the path as the operator wrote it.

    Never raises and never blocks: what cannot be read is an artifact whose
    kind or diagnostics (SB401, SB408, SB409) say so. SB111 and SB402 are
    warning and note about a file that was read.
    """
    label = str(path) if shown is None else shown
    opened = open_file(path)
    if isinstance(opened, Refusal):
        return _refused(label, opened)
    with opened:
        try:
            return _read(label, opened)
        except OSError as error:  # the medium failed, or the file shrank under our hands
            return _refused(label, Refusal(Kind.UNKNOWN, "SB408", str(error.strerror).lower(), opened.size))


def _read(label: str, reader: Reader) -> Artifact:
    head = reader.at(0, HEAD)
    kind = sniff(head)
    claimed = arch_in_name(label)
    layers: tuple[Layer, ...] = ()
    diagnostics: list[Diagnostic] = []
    if kind is Kind.ELF:
        parsed = parse(reader)
        diagnostics += _malformed(label, parsed)
        if parsed.elf is not None:
            layers = (parsed.elf,)
            diagnostics += _remarks(label, reader, parsed.elf, claimed)
    elif kind is Kind.SCRIPT:
        layers = (Other("script", {"interpreter": script_interpreter(head)}),)
    digest = reader.sha256()
    if reader.changed:
        diagnostics.append(_finding("SB408", label, f"{label} changed while it was read"))
    return Artifact(
        path=label,
        kind=kind,
        size=reader.size,
        sha256=digest,
        platforms=_platforms(layers),
        layers=layers,
        named_arch=claimed,
        diagnostics=tuple(diagnostics),
    )


def _refused(label: str, refusal: Refusal) -> Artifact:
    diagnostics: tuple[Diagnostic, ...] = ()
    if refusal.code:
        diagnostics = (_finding(refusal.code, label, f"{label} cannot be read: {refusal.reason}"),)
    return Artifact(
        path=label,
        kind=refusal.kind,
        size=refusal.size,
        layers=(Other(refusal.reason),) if not refusal.code else (),
        named_arch=arch_in_name(label),
        diagnostics=diagnostics,
    )


def _malformed(label: str, parsed: Parsed) -> list[Diagnostic]:
    """Every finding of the parser as SB401: an error where the file is beyond use, else a warning."""
    return [
        Diagnostic(
            code="SB401",
            summary=f"{label}: {finding.what}",
            severity=Severity.ERROR if finding.fatal else Severity.WARNING,
            artifact=label,
            evidence=(("file", finding.what), ("offset", str(finding.offset))),
            hints=("download or build the file again and compare its SHA-256",) if finding.fatal else (),
        )
        for finding in parsed.findings
    ]


def _remarks(label: str, source: Source, elf: Elf, claimed: Arch | None) -> list[Diagnostic]:
    found: list[Diagnostic] = []
    if claimed is not None and elf.arch is not claimed:
        actual = elf.arch.field_name if elf.arch else f"machine {elf.machine}"
        found.append(
            Diagnostic(
                code="SB111",
                summary=f"{label} is {actual}, despite its name",
                severity=Severity.WARNING,
                artifact=label,
                evidence=(
                    ("name", claimed.both_names),
                    ("bytes", elf.arch.both_names if elf.arch else actual),
                ),
                hints=("rename the file, or replace it by the one that its name promises",),
            )
        )
    if is_packed(source, elf):
        found.append(
            Diagnostic(
                code="SB402",
                summary=f"{label} is packed with UPX",
                severity=Severity.NOTE,
                artifact=label,
                notes=("what its libraries and symbol versions demand shows only after unpacking",),
            )
        )
    return found


def _platforms(layers: tuple[Layer, ...]) -> tuple[str, ...]:
    elf = layers[0] if layers else None
    if not isinstance(elf, Elf) or elf.arch is None:
        return ()
    variant = f"/v{elf.arm_level}" if elf.arch is Arch.ARM and elf.arm_level else ""
    return (f"linux/{elf.arch}{variant}",)


def _finding(code: str, label: str, summary: str) -> Diagnostic:
    return Diagnostic(code=code, summary=summary, artifact=label)
