"""Which algorithms are offered to a server, in which order, and why.

curve25519 comes before the post-quantum exchanges because a bootstrap opens
hundreds of short connections, and AES-GCM before ChaCha20 because the latter
costs twice the time in Python; everything else stays as a fallback for old,
small or FIPS servers. SHA-1 appears only where the operator asks for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from asyncssh.encryption import get_encryption_algs
from asyncssh.kex import get_kex_algs
from asyncssh.mac import get_mac_algs
from asyncssh.public_key import get_certificate_algs, get_public_key_algs

from sealboot.transport.knownhosts import Known

_KEX = (
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "mlkem768x25519-sha256",
    "sntrup761x25519-sha512@openssh.com",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "diffie-hellman-group-exchange-sha256",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group18-sha512",
    "diffie-hellman-group14-sha256",
)
_CIPHERS = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
    "chacha20-poly1305@openssh.com",
)
_MACS = (
    "hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-512-etm@openssh.com",
    "umac-128-etm@openssh.com",
    "hmac-sha2-256",
    "hmac-sha2-512",
    "umac-128@openssh.com",
)
_SIGNATURES = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)
_LEGACY_KEX = ("diffie-hellman-group14-sha1", "diffie-hellman-group-exchange-sha1")
_LEGACY_MACS = ("hmac-sha1-etm@openssh.com", "hmac-sha1")
_LEGACY_SIGNATURES = ("ssh-rsa",)


@dataclass(frozen=True, slots=True)
class Algorithms:
    """What is offered, in order of preference."""

    kex: tuple[str, ...]
    ciphers: tuple[str, ...]
    macs: tuple[str, ...]
    signatures: tuple[str, ...]


@cache
def offered(*, legacy: bool) -> Algorithms:
    """The algorithms this installation can do; `legacy` admits the SHA-1 ones, last."""
    return Algorithms(
        _able(_KEX + _LEGACY_KEX * legacy, get_kex_algs()),
        _able(_CIPHERS, get_encryption_algs()),
        _able(_MACS + _LEGACY_MACS * legacy, get_mac_algs()),
        _able(_SIGNATURES + _LEGACY_SIGNATURES * legacy, get_public_key_algs()),
    )


def host_key_algorithms(known: Known, *, legacy: bool, certificates: bool = True) -> tuple[str, ...]:
    """The host key algorithms to offer to a host, what is known about it first.

    A server that still has the key on record will be asked for that very one,
    so a second key of another type is no false alarm. The other types follow
    instead of being left out: a server that no longer has the known type then
    shows what it has, and the verdict can say so, where a failed negotiation
    would look like a broken network. Certificates are asked for only where an
    authority is known that could vouch for them.
    """
    types = [k.key.algorithm for k in (*known.plain, *known.portless)]
    signatures = offered(legacy=legacy).signatures
    plain = _ordered(types, signatures)
    if not (known.authorities and certificates):
        return plain
    named = [_certified(algorithm) for algorithm in plain]
    return (*_able(named, get_certificate_algs()), *plain)


def types_to_ask(*, legacy: bool) -> tuple[tuple[str, ...], ...]:
    """One group of algorithms for each type of key a host may have, for asking after all of its keys."""
    able = offered(legacy=legacy).signatures
    ecdsa = tuple(a for a in able if a.startswith("ecdsa-"))
    rsa = tuple(a for a in able if a.startswith(("rsa-", "ssh-rsa")))
    return (("ssh-ed25519",), ecdsa, rsa)


def _ordered(types: Iterable[str], signatures: Sequence[str]) -> tuple[str, ...]:
    first = [a for t in types for a in signatures if a == t or (t == "ssh-rsa" and a.startswith("rsa-"))]
    return tuple(dict.fromkeys((*first, *signatures)))


def _certified(algorithm: str) -> str:
    stem = algorithm.removesuffix("@openssh.com")
    return f"{stem}-cert-v01@openssh.com"


def _able(wanted: Iterable[str], possible: Iterable[bytes]) -> tuple[str, ...]:
    names = {name.decode() for name in possible}
    return tuple(name for name in wanted if name in names)
