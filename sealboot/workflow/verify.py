"""Files that must be vouched for: asked before anything is matched, told where a file would be used.

Whether a file is verified never decides which one is chosen. It decides
whether the chosen one may go anywhere: the hosts it was for fail, all others
do not. A digest that is contradicted is told even of files that nobody needs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sealboot.artifacts.vouching import Vouched, Vouchers, read_vouchers
from sealboot.model.artifact import Artifact
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.verification import Verification


@dataclass(frozen=True, slots=True)
class Verified:
    """The answers: `problems` with what should vouch, and each file by its path; `asked` when there are any."""

    asked: bool = False
    problems: tuple[Diagnostic, ...] = ()
    files: Mapping[str, Vouched] = field(default_factory=dict)
    diagnostics: tuple[Diagnostic, ...] = ()

    def replaced(self, artifacts: Sequence[Artifact]) -> tuple[Artifact, ...]:
        """The same files, each with what vouches for it."""
        return tuple(self.files[a.path].artifact if a.path in self.files else a for a in artifacts)


def verify(wanted: Verification, base: Path, artifacts: Sequence[Artifact]) -> Verified:
    """Read what vouches, and ask about every file; SB407 for digests of files that are not there."""
    vouchers = read_vouchers(wanted, base)
    files = {artifact.path: vouchers.vouch(artifact) for artifact in artifacts}
    return Verified(True, vouchers.problems, files, tuple(_absent(vouchers)))


def _absent(vouchers: Vouchers) -> list[Diagnostic]:
    return [
        Diagnostic(
            code="SB407",
            summary=f"there is no {written}, which `verify.sha256` has a digest for",
            severity=Severity.WARNING,
            at=vouchers.wanted.origins.get(f"sha256.{written}"),
            evidence=(("path", path),),
            hints=("paths are relative to the folder of the inventory file",),
        )
        for path, (written, _) in vouchers.pins.items()
        if not os.path.exists(path)  # noqa: PTH110 (Path.exists may raise)
    ]


def refusals(verified: Verified, chosen: Mapping[tuple[str, str], Artifact]) -> tuple[Diagnostic, ...]:
    """SB406 for the hosts that would get a file which is not verified; a warning for other contradicted files.

    A problem with what should vouch is the problem of every host that would get any file. What a
    chosen file was made of is asked where it is no file that was read itself (`FILE#PLATFORM`).
    """
    if not verified.asked:
        return ()
    hosts: dict[str, list[str]] = {}
    for (host, _), artifact in chosen.items():
        if not artifact.verified:
            hosts.setdefault(_origin(artifact.path, verified), []).append(host)
    everyone = list(dict.fromkeys(host for host, _ in chosen))
    found = [_of(problem, everyone) for problem in verified.problems]
    for path, named in hosts.items():
        vouched = verified.files.get(path)
        # What lost its word on the way is no file that somebody vouched for, whatever it is called.
        if vouched is None or vouched.artifact.verified:
            found.append(_of(_unasked(path), named))
        elif vouched.refusal is not None:
            found.append(_of(vouched.refusal, named))
    found += [
        replace(vouched.refusal, severity=Severity.WARNING)
        for path, vouched in verified.files.items()
        if vouched.refusal is not None and vouched.contradicted and path not in hosts
    ]
    return tuple(found)


def _origin(path: str, verified: Verified) -> str:
    """The file that was read, for one that was made of it."""
    return path if path in verified.files else path.rpartition("#")[0] or path


def _unasked(path: str) -> Diagnostic:
    """A file came from somewhere that nobody looked at: that is no way around the question."""
    return Diagnostic(
        code="SB406",
        summary=f"{path} is not verified: nothing was asked about it",
        artifact=path,
        hints=("this is a mistake of sealboot's; please report it",),
    )


def vouched(
    wanted: Verification, base: Path, artifacts: Sequence[Artifact]
) -> tuple[tuple[Artifact, ...], tuple[Diagnostic, ...]]:
    """The files with what vouches for each, or with the finding that refuses it; and the problems of all."""
    vouchers = read_vouchers(wanted, base)
    seen = [vouchers.vouch(artifact) for artifact in artifacts]
    return tuple(
        replace(v.artifact, diagnostics=(*v.artifact.diagnostics, v.refusal)) if v.refusal else v.artifact
        for v in seen
    ), vouchers.problems


def _of(finding: Diagnostic, hosts: Sequence[str]) -> Diagnostic:
    unique = [host for host in dict.fromkeys(hosts) if host]  # what is used on the controller is for no host
    return replace(finding, host=unique[0], also=tuple(unique[1:])) if unique else finding
