"""What is in an open file, whatever its name: the one place where a kind of content finds its parser."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sealboot.artifacts.boot import boot_arch, elf_kernel, read_bootable
from sealboot.artifacts.compress import COMPRESSED
from sealboot.artifacts.elf import parse
from sealboot.artifacts.findings import Finding
from sealboot.artifacts.hasher import Whole
from sealboot.artifacts.image_list import read_image_list
from sealboot.artifacts.inside import look_inside
from sealboot.artifacts.lz4 import look_at
from sealboot.artifacts.name import arch_in_name
from sealboot.artifacts.named import name_format
from sealboot.artifacts.reader import Reader
from sealboot.artifacts.sniff import HEAD, script_interpreter, sniff
from sealboot.model.arch import Arch, platform_arch
from sealboot.model.artifact import Artifact, Elf, Kernel, Kind, Layer, Other
from sealboot.model.diagnostic import Diagnostic, Severity

if TYPE_CHECKING:
    from sealboot.artifacts.archive import ArchiveFound

_ARCHIVES = COMPRESSED | {Kind.TAR}


def read(label: str, reader: Reader, *, deep: bool) -> Artifact:
    """Look into a regular file; see `inspect`. May raise `OSError` when the medium fails, nothing else."""
    head = reader.at(0, HEAD)
    kind = sniff(head)
    claimed = arch_in_name(label)
    layers: tuple[Layer, ...] = ()
    diagnostics: list[Diagnostic] = []
    archive: ArchiveFound | None = None
    digest = ""
    if kind is Kind.ELF:
        with Whole(reader) as whole:
            kind, layers, diagnostics = _read_elf(label, reader, claimed, deep=deep)
            digest = whole.hexdigest()
    elif kind is Kind.SCRIPT:
        layers = (Other("script", {"interpreter": script_interpreter(head)}),)
    elif (booted := read_bootable(reader, kind)) is not None:
        kind, layers = booted.kind, booted.layers
        diagnostics += _told(label, booted.findings)
        diagnostics += _misnamed(label, claimed, boot_arch(layers))
    elif kind is Kind.UNKNOWN and (listed := read_image_list(reader) or name_format(reader)) is not None:
        layers = (listed,)
    elif kind is Kind.LZ4:
        layer, told = look_at(reader, label)
        layers, diagnostics = (layer,), list(told)
    elif kind in _ARCHIVES:
        archive = _read_archive(reader, kind, label)
        layers = (archive.layer,) if archive.layer is not None else ()
        diagnostics += [*archive.diagnostics, *_archive_lies(label, claimed, archive.platforms)]
    digest = digest or (archive.sha256 if archive is not None else reader.sha256())
    if reader.changed:
        diagnostics.append(_finding("SB408", label, f"{label} changed while it was read"))
    return Artifact(
        path=label,
        kind=kind,
        size=reader.size,
        sha256=digest,
        platforms=archive.platforms if archive is not None else _platforms(layers),
        layers=layers,
        named_arch=claimed,
        diagnostics=tuple(diagnostics),
    )


def _read_archive(reader: Reader, kind: Kind, label: str) -> ArchiveFound:
    """Imported when there is one: most files are programs, and all of this is for archives alone."""
    from sealboot.artifacts.archive import read_archive  # noqa: PLC0415 (see above)

    return read_archive(reader, kind, label)


def _read_elf(
    label: str, reader: Reader, claimed: Arch | None, *, deep: bool
) -> tuple[Kind, tuple[Layer, ...], list[Diagnostic]]:
    """A program of userland, or a kernel, whose headers are judged by other rules."""
    parsed = parse(reader)
    elf = parsed.elf
    if elf is None:
        return Kind.ELF, (), _told(label, parsed.findings)
    kernel = elf_kernel(reader, elf)
    if kernel is None:
        inside = look_inside(reader, elf, label, deep=deep)
        remarks = [*_remarks(label, elf, claimed), *inside.diagnostics]
        return Kind.ELF, (inside.elf, *inside.layers), [*_told(label, parsed.findings), *remarks]
    # Loaded by a boot loader, it may use addresses that no program can. Its section table, which
    # told it from a program, stands at the end of the file: so it is whole.
    return Kind.KERNEL, (replace(elf, defect=""), kernel), _misnamed(label, claimed, kernel.arch)


def _told(label: str, findings: tuple[Finding, ...]) -> list[Diagnostic]:
    """Every finding of a parser: an error where the file is beyond use, else a warning."""
    return [
        Diagnostic(
            code=finding.code,
            summary=f"{label}: {finding.what}",
            severity=Severity.ERROR if finding.fatal else Severity.WARNING,
            artifact=label,
            evidence=(("file", finding.what), ("offset", str(finding.offset))),
            hints=(_HINTS[finding.code],) if finding.fatal else (),
        )
        for finding in findings
    ]


_HINTS = {
    "SB401": "download or build the file again and compare its SHA-256",
    "SB405": "build the image again from a stub and a kernel of one architecture",
}


def _misnamed(label: str, claimed: Arch | None, actual: Arch | None) -> list[Diagnostic]:
    """SB111 for a file whose name claims another architecture than its bytes have."""
    if claimed is None or actual is None or claimed is actual:
        return []
    return [_name_lies(label, claimed, actual.field_name, actual.both_names)]


def _name_lies(label: str, claimed: Arch, actual: str, names: str) -> Diagnostic:
    return Diagnostic(
        code="SB111",
        summary=f"{label} is {actual}, despite its name",
        severity=Severity.WARNING,
        artifact=label,
        evidence=(("name", claimed.both_names), ("bytes", names)),
        hints=("rename the file, or replace it by the one that its name promises",),
    )


def _remarks(label: str, elf: Elf, claimed: Arch | None) -> list[Diagnostic]:
    found: list[Diagnostic] = []
    if claimed is not None and elf.arch is not claimed:
        actual = elf.arch.field_name if elf.arch else f"machine {elf.machine}"
        found.append(_name_lies(label, claimed, actual, elf.arch.both_names if elf.arch else actual))
    return found


def _archive_lies(label: str, claimed: Arch | None, platforms: tuple[str, ...]) -> list[Diagnostic]:
    """SB111 for an archive whose name claims an architecture that it has nothing for."""
    if claimed is None or not platforms or any(platform_arch(p) == claimed for p in platforms):
        return []
    shown = ", ".join(platforms[:4])
    return [_name_lies(label, claimed, f"for {shown}", shown)]


def _platforms(layers: tuple[Layer, ...]) -> tuple[str, ...]:
    """Of a program, and of the kernel in what boots; an EFI program alone may be anybody's."""
    elf = layers[0] if layers else None
    kernels = [layer for layer in layers if isinstance(layer, Kernel)]
    arch = elf.arch if isinstance(elf, Elf) else None
    if kernels:
        arch = kernels[-1].arch
    if arch is None:
        return ()
    level = elf.arm_level if isinstance(elf, Elf) and arch is Arch.ARM else None
    return (f"linux/{arch}/v{level}" if level else f"linux/{arch}",)


def _finding(code: str, label: str, summary: str) -> Diagnostic:
    return Diagnostic(code=code, summary=summary, artifact=label)
