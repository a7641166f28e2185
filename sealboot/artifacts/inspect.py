"""One file becomes one `Artifact`: opened once, read once, hashed from the same descriptor.

The parsers are imported by the first file that has to be read: where all are
known from before (`cache`), a command starts in half the time.
"""

from __future__ import annotations

from pathlib import Path

from sealboot.artifacts.cache import Cache
from sealboot.artifacts.name import arch_in_name
from sealboot.artifacts.reader import Reader, Refusal, open_file
from sealboot.model.artifact import Artifact, Kind, Other
from sealboot.model.diagnostic import Diagnostic


def inspect(
    path: Path, shown: str | None = None, *, deep: bool = False, cache: Cache | None = None
) -> Artifact:
    """What is in the file at `path`; `shown` is the path as the operator wrote it.

    `deep` inflates what a program carries and compares every checksum: it takes
    as long as unpacking does. Otherwise only as much is inflated as tells what it is.
    With a `cache`, a file that has not changed since is not read again.

    Never raises and never blocks: what cannot be read is an artifact whose
    kind or diagnostics (SB401, SB408, SB409) say so. SB111 and SB402 are
    warning and note about a file that was read; SB403 and SB410 are about what
    it carries.
    """
    label = str(path) if shown is None else shown
    opened = open_file(path)
    if isinstance(opened, Refusal):
        whole = _whole_folder(path, label) if opened.kind is Kind.DIRECTORY else None
        return whole if whole is not None else _refused(label, opened)
    with opened:
        try:
            if cache is None:
                return _read(label, opened, deep=deep)
            return cache.find(label, opened, deep=deep) or _read_and_keep(label, opened, cache, deep=deep)
        except OSError as error:  # the medium failed, or the file shrank under our hands
            return _refused(label, Refusal(Kind.UNKNOWN, "SB408", str(error.strerror).lower(), opened.size))


def _read_and_keep(label: str, reader: Reader, cache: Cache, *, deep: bool) -> Artifact:
    settled = cache.prepare(reader)
    made = _read(label, reader, deep=deep)
    if settled:
        cache.keep(made, reader, deep=deep)
    return made


def _read(label: str, reader: Reader, *, deep: bool) -> Artifact:
    from sealboot.artifacts.contents import read  # noqa: PLC0415 (see above)

    return read(label, reader, deep=deep)


def _whole_folder(path: Path, label: str) -> Artifact | None:
    from sealboot.artifacts.folders import read_whole_folder  # noqa: PLC0415 (see above)

    return read_whole_folder(path, label)


def _refused(label: str, refusal: Refusal) -> Artifact:
    diagnostics: tuple[Diagnostic, ...] = ()
    if refusal.code:
        said = f"{label} cannot be read: {refusal.reason}"
        diagnostics = (Diagnostic(code=refusal.code, summary=said, artifact=label),)
    return Artifact(
        path=label,
        kind=refusal.kind,
        size=refusal.size,
        layers=(Other(refusal.reason),) if not refusal.code else (),
        named_arch=arch_in_name(label),
        diagnostics=diagnostics,
    )
