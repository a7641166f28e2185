"""known_hosts files, parsed once per run into an index.

The format is that of sshd(8), section SSH_KNOWN_HOSTS FILE FORMAT. Each line
stands alone: one that cannot be read is a warning and nothing else suffers,
except that an `@revoked` line which cannot be read closes the door to every
host it may be about.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import translate
from pathlib import Path
from typing import Literal, TypeAlias

from sealboot.model.diagnostic import Diagnostic, Location, Severity
from sealboot.transport.smallfile import read_small

Marker: TypeAlias = Literal["", "cert-authority", "revoked"]

SSH_PORT = 22
#: A larger file is no known_hosts; the operator hears of it instead of waiting.
MAX_BYTES = 64 << 20

_MARKERS: dict[str, Marker] = {"@cert-authority": "cert-authority", "@revoked": "revoked"}
_LABELS = {
    "ssh-ed25519": "ED25519",
    "ssh-ed448": "ED448",
    "ssh-rsa": "RSA",
    "ssh-dss": "DSA",
    "sk-ssh-ed25519@openssh.com": "ED25519-SK",
    "sk-ecdsa-sha2-nistp256@openssh.com": "ECDSA-SK",
}


@dataclass(frozen=True, slots=True)
class HostKey:
    """A public key as it travels: `algorithm` names its type, `blob` is RFC 4253 section 6.6."""

    algorithm: str
    blob: bytes

    @property
    def label(self) -> str:
        """The type as OpenSSH prints it: `ED25519`, `ECDSA`, `RSA`."""
        if self.algorithm.startswith("ecdsa-sha2-"):
            return "ECDSA"
        return _LABELS.get(self.algorithm, self.algorithm)

    @property
    def fingerprint(self) -> str:
        """`SHA256:` and the unpadded base64 digest, as OpenSSH prints it."""
        digest = base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")
        return f"SHA256:{digest}"

    @property
    def line(self) -> str:
        """The key as known_hosts and authorized_keys spell it."""
        return f"{self.algorithm} {base64.b64encode(self.blob).decode()}"

    def __str__(self) -> str:
        return f"{self.label} {self.fingerprint}"


@dataclass(frozen=True, slots=True)
class KnownKey:
    """One key of one line of a known_hosts file."""

    key: HostKey
    marker: Marker
    at: Location


@dataclass(frozen=True, slots=True)
class Known:
    """What the files say about one host.

    `plain` and `authorities` may confirm an offered key; `portless` are plain
    keys written for the host without its port: they may confirm too, but they
    never accuse, since another server may listen on port 22. `unreadable` are
    revocations nobody can check.
    """

    plain: tuple[KnownKey, ...] = ()
    portless: tuple[KnownKey, ...] = ()
    authorities: tuple[KnownKey, ...] = ()
    revoked: tuple[KnownKey, ...] = ()
    unreadable: tuple[Location, ...] = ()


@dataclass(frozen=True, slots=True)
class _Entry:
    """A line: `key` is `None` for a revocation that cannot be read."""

    key: HostKey | None
    marker: Marker
    at: Location


@dataclass(slots=True)
class KnownHosts:
    """The index over all files: dictionary look-ups for plain names, one HMAC for each hashed line."""

    findings: list[Diagnostic] = field(default_factory=list)
    _exact: dict[str, list[_Entry]] = field(default_factory=dict)
    _patterns: list[tuple[_Patterns, _Entry]] = field(default_factory=list)
    _hashed: list[tuple[bytes, bytes, _Entry]] = field(default_factory=list)
    _cache: dict[tuple[str, int], Known] = field(default_factory=dict)

    def read(self, path: Path) -> None:
        """Add a file; a missing one counts as empty, an unreadable one is a finding."""
        try:
            data = read_small(path, MAX_BYTES)
        except FileNotFoundError:
            return
        except OSError as error:
            self._warn(Location(str(path), 1), f"could not be read: {error.strerror}")
            return
        if isinstance(data, str):
            self._warn(Location(str(path), 1), f"could not be read: {data}")
            return
        self.add(str(path), data)

    def add(self, name: str, data: bytes) -> None:
        """Add the text of a file called `name`; any bytes are survived."""
        self._cache.clear()
        if data[:2] in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}:
            # Some shells redirect as UTF-16: passed over, a known or revoked key would count as never seen.
            data = data.decode("utf-16", "replace").encode("utf-8", "replace")
        for number, raw in enumerate(data.split(b"\n"), 1):
            # Comments may be in any encoding; names and keys are ASCII. Editors put their mark before either.
            line = raw.removeprefix(codecs.BOM_UTF8).decode("latin-1").strip()
            if line and not line.startswith("#"):
                self._line(line, Location(name, number))

    def pin(self, name: str, key: HostKey, at: Location) -> None:
        """Count a line that was just written to the project's file."""
        self._cache.clear()
        self._exact.setdefault(name, []).append(_Entry(key, "", at))

    def lookup(self, name: str, port: int) -> Known:
        """Everything known about `name` (lower case is applied) at `port`."""
        found = self._cache.get((name, port))
        if found is None:
            found = self._cache[name, port] = self._lookup(name.lower(), port)
        return found

    def _lookup(self, name: str, port: int) -> Known:
        own = list(self._matching(spelled(name, port)))
        bare = list(self._matching(name)) if port != SSH_PORT else []
        both = own + bare
        return Known(
            plain=tuple(_keys(own, "")),
            portless=tuple(_keys(bare, "")),
            authorities=tuple(_keys(both, "cert-authority")),
            revoked=tuple(_keys(both, "revoked")),
            unreadable=tuple(e.at for e in both if e.key is None),
        )

    def _matching(self, name: str) -> Iterator[_Entry]:
        yield from self._exact.get(name, ())
        for patterns, entry in self._patterns:
            if patterns.match(name):
                yield entry
        encoded = name.encode()
        for salt, digest, entry in self._hashed:
            if hmac.digest(salt, encoded, "sha1") == digest:
                yield entry

    def _line(self, line: str, at: Location) -> None:
        words = line.split(None, 4)
        marker: Marker = ""
        if words[0].startswith("@"):
            if words[0] not in _MARKERS:
                self._warn(at, f"unknown marker {words[0]!r}")
                return
            marker = _MARKERS[words.pop(0)]
        parsed = _key(words[1:3])
        if isinstance(parsed, str):
            self._bad(marker, words, at, parsed)
            return
        if not self._index(words[0], _Entry(parsed, marker, at)):
            self._bad(marker, words, at, "the hashed host name is damaged")

    def _bad(self, marker: Marker, words: list[str], at: Location, why: str) -> None:
        if marker == "revoked":
            # Nobody can tell which key is meant, so the hosts it names stay closed.
            if not (words and self._index(words[0], _Entry(None, marker, at))):
                self._index("*", _Entry(None, marker, at))
            self._warn(at, f"a revocation that cannot be read ({why})")
        else:
            self._warn(at, why)

    def _index(self, names: str, entry: _Entry) -> bool:
        if names.startswith("|"):
            parts = _hashed(names)
            if parts is None:
                return False
            self._hashed.append((*parts, entry))
        elif any(c in names for c in "*?!"):
            self._patterns.append((_Patterns(names), entry))
        else:
            for name in names.lower().split(","):
                self._exact.setdefault(name, []).append(entry)
        return True

    def _warn(self, at: Location, why: str) -> None:
        self.findings.append(
            Diagnostic(
                "SB209",
                f"a line of a known_hosts file was skipped: {why}",
                Severity.WARNING,
                at=at,
                hints=("correct or delete the line; all other lines count",),
            )
        )


class _Patterns:
    """A comma-separated list of wildcards; `!` before one of them excludes (ssh_config(5), PATTERNS)."""

    def __init__(self, text: str) -> None:
        parts = [part for part in text.lower().split(",") if part]
        self._denied = [_wildcard(p[1:]) for p in parts if p.startswith("!")]
        self._allowed = [_wildcard(p) for p in parts if not p.startswith("!")]

    def match(self, name: str) -> bool:
        return not any(p.match(name) for p in self._denied) and any(p.match(name) for p in self._allowed)


def _wildcard(pattern: str) -> re.Pattern[str]:
    # `*` and `?` are all there is: brackets mean themselves ([host]:port).
    return re.compile(translate(re.sub(r"\*+", "*", pattern).replace("[", "[[]")))


def read_known_hosts(paths: Iterable[Path]) -> KnownHosts:
    """Parse these files, the project's own first."""
    known = KnownHosts()
    for path in paths:
        known.read(path)
    return known


def spelled(name: str, port: int) -> str:
    """A host as known_hosts spells it: `[name]:port` unless the port is 22."""
    return name if port == SSH_PORT else f"[{name}]:{port}"


def names_of(field_text: str, name: str) -> bool:
    """Whether the host field of a plain or hashed line names exactly this host (no wildcards)."""
    if field_text.startswith("|"):
        parts = _hashed(field_text)
        return parts is not None and hmac.digest(parts[0], name.encode(), "sha1") == parts[1]
    return name in field_text.lower().split(",")


def _keys(entries: list[_Entry], marker: Marker) -> Iterator[KnownKey]:
    for entry in entries:
        if entry.marker == marker and entry.key is not None:
            yield KnownKey(entry.key, entry.marker, entry.at)


def _hashed(text: str) -> tuple[bytes, bytes] | None:
    parts = text.split("|")
    if len(parts) != 4 or parts[1] != "1":
        return None
    try:
        salt, digest = (base64.b64decode(p, validate=True) for p in parts[2:])
    except (binascii.Error, ValueError):
        return None
    return (salt, digest) if len(digest) == hashlib.sha1().digest_size else None  # noqa: S324 (the format)


def _key(words: list[str]) -> HostKey | str:
    """The key of a line, or why there is none."""
    if len(words) < 2:
        return "a line needs a host, a key type and a key"
    algorithm, text = words
    try:
        blob = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return "the key is not base64"
    inner = blob[4 : 4 + int.from_bytes(blob[:4], "big")]
    if inner != algorithm.encode() or len(blob) <= 4 + len(inner):
        return f"the key is not of type {algorithm!r}"
    return HostKey(algorithm, blob)
