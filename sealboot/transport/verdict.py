"""The decision about an offered host key: pure, on bytes, and never skipped."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from sealboot.transport.knownhosts import HostKey, Known, KnownKey


class Trust(StrEnum):
    """What the known_hosts files make of a key."""

    TRUSTED = "trusted"
    UNKNOWN = "unknown"
    CHANGED = "changed"
    CHANGED_TYPE = "changed-type"
    REVOKED = "revoked"
    BAD_CERTIFICATE = "bad-certificate"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision, the key it is about, and the lines that led to it."""

    trust: Trust
    offered: HostKey | None
    lines: tuple[KnownKey, ...] = ()
    reason: str = ""


def judge(known: Known, offered: HostKey) -> Verdict:
    """Decide about a plain host key.

    A revocation wins over everything. A known key of another type is not
    "unknown": a host that was known by ED25519 and now offers only ECDSA is
    exactly what an impostor without the old key looks like.
    """
    revoked = _same(known.revoked, offered)
    if revoked:
        return Verdict(Trust.REVOKED, offered, revoked)
    confirmed = _same((*known.plain, *known.portless), offered)
    if confirmed:
        return Verdict(Trust.TRUSTED, offered, confirmed)
    if not known.plain:
        return Verdict(Trust.UNKNOWN, offered, known.authorities)
    if any(k.key.algorithm == offered.algorithm for k in known.plain):
        return Verdict(Trust.CHANGED, offered, known.plain)
    return Verdict(Trust.CHANGED_TYPE, offered, known.plain)


def judge_authority(known: Known, authority: HostKey) -> Verdict:
    """Decide about the key that signed a host certificate."""
    revoked = _same(known.revoked, authority)
    if revoked:
        return Verdict(Trust.REVOKED, authority, revoked)
    confirmed = _same(known.authorities, authority)
    if confirmed:
        return Verdict(Trust.TRUSTED, authority, confirmed)
    return Verdict(
        Trust.BAD_CERTIFICATE, authority, known.authorities, "signed by an authority that is not known"
    )


def _same(lines: Iterable[KnownKey], key: HostKey) -> tuple[KnownKey, ...]:
    return tuple(line for line in lines if line.key.blob == key.blob)
