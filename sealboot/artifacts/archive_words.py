"""What is said about archives: findings of a reading as diagnostics, apart from the reading."""

from __future__ import annotations

from collections.abc import Sequence

from sealboot.artifacts.compress import StreamError
from sealboot.model.archive import Image, ImageArchive, Programs, Rootfs
from sealboot.model.diagnostic import Diagnostic, Severity

_SHOWN = 8


def archive_findings(
    label: str,
    layer: ImageArchive,
    errors: Sequence[str],
    warnings: Sequence[str],
    stream: StreamError | None,
) -> tuple[Diagnostic, ...]:
    """SB401 or SB409 when the stream broke; else SB404: errors, doubts, and a note on what is only claimed."""
    if stream is not None:
        return (broken(label, stream),)
    found = [_images(label, text, Severity.ERROR) for text in errors]
    found += _incomplete(label, layer)
    found += [_images(label, text, Severity.WARNING) for text in warnings]
    found += [_images(label, f"not fit for k3s: {text}", Severity.WARNING) for text in layer.unfit]
    return tuple(found)


def _incomplete(label: str, layer: ImageArchive) -> list[Diagnostic]:
    """Images without any whole platform, platforms that only some images have, and claims."""
    if not layer.images:
        return [_images(label, "it holds no image", Severity.ERROR)]
    empty = [image for image in layer.images if not image.platforms]
    if empty:
        names = _names(empty)
        return [
            Diagnostic(
                code="SB404",
                summary=f"{label}: {len(empty)} of {len(layer.images)} images are not whole for any platform",
                artifact=label,
                evidence=(("images", names), ("claimed", _list(_absent(empty)) or "nothing")),
                hints=("export the images again, for the platforms that the hosts have",),
            )
        ]
    some = {p for image in layer.images for p in image.platforms} - set(layer.platforms)
    if not layer.platforms:
        return [_scattered(label, layer, Severity.ERROR, "no platform is in all of its images")]
    found: list[Diagnostic] = []
    if some:
        text = f"only some of its images are there for {_list(sorted(some))}"
        found.append(_scattered(label, layer, Severity.WARNING, text))
    claims = [p for p in _absent(layer.images) if p not in layer.platforms]
    if claims:
        found.append(
            Diagnostic(
                code="SB404",
                summary=f"{label} has {_list(layer.platforms)} only, though its index claims more",
                severity=Severity.NOTE,
                artifact=label,
                evidence=(("whole", _list(layer.platforms)), ("claimed", _list(claims))),
            )
        )
    return found


def _scattered(label: str, layer: ImageArchive, severity: Severity, text: str) -> Diagnostic:
    evidence = tuple((i.name or "without name", _list(i.platforms)) for i in layer.images[:_SHOWN])
    return Diagnostic(
        code="SB404", summary=f"{label}: {text}", severity=severity, artifact=label, evidence=evidence
    )


def _images(label: str, text: str, severity: Severity) -> Diagnostic:
    return Diagnostic(code="SB404", summary=f"{label}: {text}", severity=severity, artifact=label)


def tree_findings(
    label: str, tree: Rootfs | None, trouble: Sequence[str], stream: StreamError | None
) -> tuple[Diagnostic, ...]:
    """SB401 or SB409 when the stream broke; SB411 when the programs are of several machines."""
    if stream is not None:
        return (broken(label, stream),)
    found = [
        Diagnostic(code="SB401", summary=f"{label}: {text}", severity=Severity.WARNING, artifact=label)
        for text in trouble
    ]
    if tree is not None and len(tree.programs) > 1:
        found.append(_mixed(label, tree))
    return tuple(found)


def _mixed(label: str, tree: Rootfs) -> Diagnostic:
    """One machine is the tree's own; what is of another would fail on every host of the first."""
    own, *others = tree.programs
    first = others[0]
    return Diagnostic(
        code="SB411",
        summary=f"{label}: {first.paths[0]} is {first.platform} among {own.count} programs for {own.platform}",
        severity=Severity.ERROR if tree.sealos else Severity.WARNING,
        artifact=label,
        evidence=(_row(own, 1), *(_row(p, 4) for p in others[:_SHOWN])),
        hints=(f"replace what is not {own.platform}, or build one tree for each platform",),
    )


def _row(programs: Programs, paths: int) -> tuple[str, str]:
    more = programs.count - min(paths, len(programs.paths))
    shown = ", ".join(programs.paths[:paths])
    return programs.platform, f"{shown}, and {more} more" if more else shown


def broken(label: str, error: StreamError) -> Diagnostic:
    """SB409 for a stream that broke a bound, SB401 for one that is damaged."""
    if error.excess:
        return Diagnostic(
            code="SB409",
            summary=f"{label}: {error}",
            artifact=label,
            hints=("such files are made to exhaust whoever opens them; get it from its publisher again",),
        )
    return Diagnostic(
        code="SB401",
        summary=f"{label}: {error}",
        artifact=label,
        hints=("download or build the file again and compare its SHA-256",),
    )


def _absent(images: Sequence[Image]) -> list[str]:
    return sorted({p for image in images for p in image.absent})


def _names(images: Sequence[Image]) -> str:
    return _list([image.name or "(no name)" for image in images])


def _list(words: Sequence[str]) -> str:
    more = len(words) - _SHOWN
    return ", ".join(words[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
