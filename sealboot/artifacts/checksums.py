"""Checksum files as `sha256sum` writes them, read strictly and compared exactly.

A checksum file is a promise about names. Whatever would let one name mean two
things (a path, a second line for a name, a line that is no checksum) makes the
whole file worthless, and is said so instead of being skipped.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from sealboot.model.artifact import Artifact
from sealboot.model.diagnostic import Diagnostic

#: Release pages list tens of files.
MAX_BYTES = 1 << 20

_PLAIN = re.compile(r"([0-9A-Fa-f]{64}) [ *](.+)")
_TAGGED = re.compile(r"SHA256 \((.+)\) = ([0-9A-Fa-f]{64})")


@dataclass(frozen=True, slots=True)
class Sums:
    """The SHA-256 for each file name, in lower case. `problem` is set, and nothing else, when it is unusable."""

    digests: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""


def parse_sums(data: bytes) -> Sums:
    """Read a checksum file, in GNU's or BSD's form; blank lines and `#` comments are allowed."""
    if len(data) > MAX_BYTES:
        return Sums(problem=f"{len(data)} bytes; a checksum file has at most {MAX_BYTES}")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return Sums(problem="not UTF-8 text")
    digests: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.startswith("#"):
            continue
        if line.endswith("\r"):
            return Sums(problem=f"line {number} ends as on Windows (CR LF): `dos2unix` makes it readable")
        entry = _entry(line)
        if entry is None:
            return Sums(problem=f"line {number} is no SHA-256 and name")
        digest, name = entry
        if not _is_basename(name):
            return Sums(problem=f"line {number} names a path or has control characters: names only")
        if name in digests:
            return Sums(problem=f"line {number} names {name} a second time")
        digests[name] = digest
    return Sums(digests) if digests else Sums(problem="no checksum in it")


def _entry(line: str) -> tuple[str, str] | None:
    plain = _PLAIN.fullmatch(line)
    if plain:
        return plain[1].lower(), plain[2]
    tagged = _TAGGED.fullmatch(line)
    return (tagged[2].lower(), tagged[1]) if tagged else None


def _is_basename(name: str) -> bool:
    return not any(c in "/\\" or not c.isprintable() for c in name) and name not in {".", ".."}


def check_digest(artifact: Artifact, expected: str, shown: str) -> tuple[Diagnostic, ...]:
    """SB406 unless the artifact's SHA-256 is `expected` (hexadecimal); `shown` says where that is written."""
    if artifact.sha256 and hmac.compare_digest(artifact.sha256.encode(), expected.strip().lower().encode()):
        return ()
    return (
        Diagnostic(
            code="SB406",
            summary=f"{artifact.path} is not the file that {shown} names",
            artifact=artifact.path,
            evidence=(("expected", expected), ("file", artifact.sha256 or "nothing could be read")),
            hints=("download the file again; if it differs again, ask its publisher before using it",),
        ),
    )


def check_signature(why: str, shown: str) -> tuple[Diagnostic, ...]:
    """SB406 when a signature over the checksum file `shown` is none; `why` is what `signatures` answered."""
    if not why:
        return ()
    return (
        Diagnostic(
            code="SB406",
            summary=f"{shown} is not verified: {why}",
            artifact=shown,
            hints=("nothing that it lists is used; get the file and its signature from the publisher again",),
        ),
    )
