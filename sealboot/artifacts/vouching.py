"""Which files something vouches for: checksum files, their signatures, and digests set one by one.

A checksum file speaks of the files in its own folder and in those below it, by
their bare names, as `sha256sum -c` run in that folder would; where several
list a name, the nearest ones decide and must agree. Every byte of a checksum
file is read once: what was verified is what is believed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from sealboot.artifacts.checksums import MAX_BYTES, check_digest, check_signature, parse_sums
from sealboot.artifacts.patterns import files_of
from sealboot.artifacts.reader import Refusal, open_file
from sealboot.model.artifact import Artifact, Kind
from sealboot.model.diagnostic import Diagnostic, Location
from sealboot.model.verification import Verification

#: The last line of a minisign public key file: 42 bytes in base64, of which the first two are `Ed`.
_BARE_KEY = re.compile(r"RW[A-Za-z0-9+/]{54}", re.ASCII)
_SIGNATURES = (".minisig", ".sig")


@dataclass(frozen=True, slots=True)
class _Sums:
    """One checksum file that may be believed."""

    shown: str
    folder: str
    digests: Mapping[str, str]
    signed: str
    at: Location | None

    @property
    def words(self) -> str:
        return f"{self.shown}, {self.signed}" if self.signed else self.shown


@dataclass(frozen=True, slots=True)
class Vouched:
    """One file after the question: with `verified` set, or with the finding that refuses it (SB406).

    `contradicted` tells a file whose digest is another one from a file that nothing is said about.
    """

    artifact: Artifact
    refusal: Diagnostic | None = None
    contradicted: bool = False


@dataclass(frozen=True, slots=True)
class Vouchers:
    """Everything that was read for a `Verification`.

    `problems` (SB406) are about checksum files, signatures and keys. While
    there is one, nothing is verified: what the broken file says may be the
    very thing that somebody wanted unsaid.
    """

    wanted: Verification
    base: str
    problems: tuple[Diagnostic, ...] = ()
    sums: tuple[_Sums, ...] = ()
    pins: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # path -> (as written, digest)

    def vouch(self, artifact: Artifact) -> Vouched:
        """Whether these bytes may be used under this name."""
        path = _absolute(self.base, artifact.path)
        said = [(s.words, s.digests[_name(path)], s.at) for s in self._nearest(path)]
        if path in self.pins:
            written, digest = self.pins[path]
            said.append(("the inventory", digest, self.wanted.origins.get(f"sha256.{written}")))
        for words, digest, at in said:
            for refusal in check_digest(artifact, digest, words):
                return Vouched(artifact, refusal.located(at), contradicted=True)
        if self.problems:
            return Vouched(artifact)
        if said:
            return Vouched(replace(artifact, verified=" and ".join(words for words, _, _ in said)))
        return Vouched(artifact, self._unlisted(artifact, path))

    def _nearest(self, path: str) -> list[_Sums]:
        listing = [s for s in self.sums if _name(path) in s.digests and _below(path, s.folder)]
        depth = max((len(s.folder) for s in listing), default=0)
        return [s for s in listing if len(s.folder) == depth]

    def _unlisted(self, artifact: Artifact, path: str) -> Diagnostic | None:
        if self.wanted.unlisted == "allow":
            return None
        elsewhere = [s.shown for s in self.sums if _name(path) in s.digests]
        notes = tuple(
            f"{shown} lists that name, but speaks only of files in its own folder and below it"
            for shown in elsewhere[:1]
        )
        return Diagnostic(
            code="SB406",
            summary=f"{artifact.path} is not verified: {self._silence(artifact)}",
            artifact=artifact.path,
            at=self.wanted.origins.get("checksums") or self.wanted.origins.get(""),
            evidence=(("file", artifact.sha256),) if artifact.sha256 else (),
            notes=notes,
            hints=(
                "get the publisher's checksum file, or write a digest that you trust under `verify.sha256`",
            ),
        )

    def _silence(self, artifact: Artifact) -> str:
        """Why nothing vouches for it, in words."""
        if artifact.kind is Kind.DIRECTORY:
            return "a folder has no digest of its own"
        if not self.sums:
            return "the inventory has no digest of it"
        shown = [s.shown for s in self.sums]
        return f"{shown[0]} does not list it" if len(shown) == 1 else f"{', '.join(shown)} do not list it"


def read_vouchers(wanted: Verification, base: Path) -> Vouchers:
    """Read checksum files, keys and signatures, relative to `base`; never raises."""
    keys = _Keys(wanted, base)
    problems = list(keys.problems)
    sums: list[_Sums] = []
    for number, pattern in enumerate(wanted.checksums):
        at = wanted.origins.get(f"checksums[{number}]") or wanted.origins.get("checksums")
        matched = files_of(pattern, base)
        if not matched:
            problems.append(_problem(pattern, "no file matches", at))
        for shown, path in matched:
            if len(matched) > 1 and shown.endswith(_SIGNATURES):
                continue  # beside what they sign, under the same pattern
            made = _read_sums(shown, path, base, keys, at)
            problems += made if isinstance(made, list) else []
            sums += [made] if isinstance(made, _Sums) else []
    root = _absolute(str(base), "")
    pins = {_absolute(root, path): (path, digest) for path, digest in wanted.sha256.items()}
    return Vouchers(wanted, root, tuple(problems), tuple(sums), pins)


class _Keys:
    """The keys that must have signed every checksum file."""

    def __init__(self, wanted: Verification, base: Path) -> None:
        self.problems: list[Diagnostic] = []
        self._wanted = wanted
        self._minisign = b""
        self._signers = b""
        if wanted.minisign_key and _BARE_KEY.fullmatch(wanted.minisign_key):
            self._minisign = wanted.minisign_key.encode()
        elif wanted.minisign_key:
            self._minisign = self._key("minisign_key", wanted.minisign_key, base)
        if wanted.allowed_signers:
            self._signers = self._key("allowed_signers", wanted.allowed_signers, base)

    def _key(self, setting: str, shown: str, base: Path) -> bytes:
        found = _content(base / os.path.expanduser(shown))  # noqa: PTH111 (text)
        if isinstance(found, bytes) and found.strip():
            return found
        why = f"the key file cannot be used: {found if isinstance(found, str) else 'it is empty'}"
        self.problems.append(_problem(shown, why, self._wanted.origins.get(setting)))
        return b""

    def check(self, shown: str, path: Path, data: bytes) -> Iterator[tuple[str, str]]:
        """For each key: who signed, or why the signature is none; one of the two is empty.

        Keys that could not be read were told already.
        """
        if not (self._minisign or self._signers):
            return
        # Not needed by an inventory that names no key, and slow to import.
        from sealboot.artifacts import signatures as s  # noqa: PLC0415

        for suffix, key in ((".minisig", self._minisign), (".sig", self._signers)):
            if not key:
                continue
            made = _content(path.with_name(path.name + suffix))
            if isinstance(made, str):
                yield "", f"its signature {shown}{suffix} cannot be used: {made}"
            elif suffix == ".minisig":
                why = s.verify_minisign(data, made, key)
                yield ("", why) if why else (f"signed by minisign key {s.minisign_key_id(key)}", "")
            else:
                why = s.verify_sshsig(data, made, key, self._wanted.namespace)
                yield ("", why) if why else (f"signed by SSH key {s.sshsig_fingerprint(made)}", "")


def _read_sums(
    shown: str, path: Path, base: Path, keys: _Keys, at: Location | None
) -> _Sums | list[Diagnostic]:
    data = _content(path)
    if isinstance(data, str):
        return [_problem(shown, f"it cannot be read: {data}", at)]
    signed = list(keys.check(shown, path, data))
    sums = parse_sums(data)
    problems = [d.located(at) for _, why in signed for d in check_signature(why, shown)]
    if sums.problem:
        problems.append(_problem(shown, f"it cannot be used: {sums.problem}", at))
    if problems:
        return problems
    folder = os.path.dirname(_absolute(str(base), shown))  # noqa: PTH120 (text, and no link is followed)
    return _Sums(shown, folder, sums.digests, " and ".join(words for words, _ in signed), at)


def _problem(shown: str, why: str, at: Location | None) -> Diagnostic:
    return Diagnostic(
        code="SB406",
        summary=f"{shown} is not verified: {why}",
        artifact=shown,
        at=at,
        hints=("nothing is used until every checksum file and signature that is asked for is sound",),
    )


def _content(path: Path) -> bytes | str:
    """All of a small file, or why it cannot be had."""
    opened = open_file(path, MAX_BYTES)
    if isinstance(opened, Refusal):
        return opened.reason
    with opened:
        try:
            return opened.at(0, MAX_BYTES)
        except OSError as error:
            return (error.strerror or "cannot be read").lower()


def _absolute(base: str, path: str) -> str:
    """One spelling for each path; links are not followed."""
    return os.path.normpath(os.path.join(os.path.abspath(base), os.path.expanduser(path)))  # noqa: PTH100, PTH111, PTH118 (text)


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _below(path: str, folder: str) -> bool:
    return path.startswith(folder.rstrip("/") + "/")
