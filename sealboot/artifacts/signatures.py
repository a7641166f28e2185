"""Signatures over checksum files: minisign's, and OpenSSH's (SSHSIG).

Formats: minisign's documentation, "Signature format"; OpenSSH's
PROTOCOL.sshsig and ssh-keygen(1), "ALLOWED SIGNERS". What is signed is a small
file that holds digests, so it is here as a whole. Every function returns an
empty text for a good signature, and otherwise why it is none: whatever cannot
be understood is refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_ssh_public_key

from sealboot.model.verification import NAMESPACE

_UNTRUSTED, _TRUSTED = b"untrusted comment:", b"trusted comment: "
_ARMOUR = re.compile(
    rb"\s*-----BEGIN SSH SIGNATURE-----\s([A-Za-z0-9+/=\s]{1,16384})-----END SSH SIGNATURE-----\s*"
)
_MAGIC = b"SSHSIG"
_KEY_TYPES = frozenset(
    {"ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"}
)
_NAMESPACES = re.compile(r'namespaces="([^"]*)"')
_CURVE_HASHES: dict[int, hashes.HashAlgorithm] = {
    256: hashes.SHA256(),
    384: hashes.SHA384(),
    521: hashes.SHA512(),
}
_MIN_RSA_BITS = 2048


def verify_minisign(data: bytes, signature: bytes, public_key: bytes) -> str:
    """Check a `.minisig` file over `data` with the public key file (or the bare key in base64)."""
    key = _decoded(_last_line(public_key), 42)
    lines = signature.replace(b"\r\n", b"\n").rstrip(b"\n").split(b"\n")
    if key is None or key[:2] != b"Ed":
        return "the public key is no minisign key"
    if len(lines) != 4 or not lines[0].startswith(_UNTRUSTED) or not lines[2].startswith(_TRUSTED):
        return "the signature is no minisign signature"
    made, over = _decoded(lines[1], 74), _decoded(lines[3], 64)
    if made is None or over is None or made[:2] not in {b"Ed", b"ED"}:
        return "the signature is no minisign signature"
    if made[2:10] != key[2:10]:
        return "the signature was made with another key"
    message = hashlib.blake2b(data).digest() if made[:2] == b"ED" else data
    public = Ed25519PublicKey.from_public_bytes(key[10:])
    try:
        public.verify(made[10:], message)
        public.verify(over, made[10:] + lines[2][len(_TRUSTED) :])
    except InvalidSignature:
        return "the signature does not fit the file"
    return ""


def minisign_key_id(public_key: bytes) -> str:
    """The key's number as minisign shows it; empty for what is no key."""
    key = _decoded(_last_line(public_key), 42)
    return f"{int.from_bytes(key[2:10], 'little'):016X}" if key is not None else ""


def sshsig_fingerprint(signature: bytes) -> str:
    """The fingerprint of the key in an SSH signature, as OpenSSH shows it; empty for what is no signature."""
    found = _parse(signature)
    if found is None:
        return ""
    return "SHA256:" + base64.b64encode(hashlib.sha256(found.key).digest()).decode().rstrip("=")


def _last_line(text: bytes) -> bytes:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else b""


def _decoded(text: bytes, length: int) -> bytes | None:
    try:
        found = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None
    return found if len(found) == length else None


@dataclass(frozen=True, slots=True)
class _SshSignature:
    key: bytes
    namespace: bytes
    reserved: bytes
    hash_name: bytes
    algorithm: bytes
    value: bytes


def verify_sshsig(data: bytes, signature: bytes, allowed_signers: bytes, namespace: str = NAMESPACE) -> str:
    """Check an armoured SSH signature over `data` against the keys of an allowed-signers file.

    Lines are `principals [options] type key`, or a bare public key; any of the
    keys will do. Of the options only `namespaces=` is understood; a line with
    another one is not used. The namespace must be `namespace`.
    """
    found = _parse(signature)
    if found is None:
        return "the signature is no SSH signature"
    if found.namespace != namespace.encode():
        return f"the signature was made for another purpose than {namespace!r}"
    if found.key not in set(_allowed(allowed_signers, namespace)):
        return "the signature was made with a key that is not allowed"
    digest = {b"sha256": hashlib.sha256, b"sha512": hashlib.sha512}.get(found.hash_name)
    if digest is None:
        return "the signature uses a hash that is not known"
    fields = (found.namespace, found.reserved, found.hash_name, digest(data).digest())
    signed = _MAGIC + b"".join(struct.pack(">I", len(f)) + f for f in fields)
    try:
        good = _verify(found, signed)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        good = False
    return "" if good else "the signature does not fit the file"


def _parse(armoured: bytes) -> _SshSignature | None:
    match = _ARMOUR.fullmatch(armoured)
    if match is None:
        return None
    try:
        blob = base64.b64decode(b"".join(match[1].split()), validate=True)
    except (binascii.Error, ValueError):
        return None
    if blob[:6] != _MAGIC or blob[6:10] != b"\0\0\0\1":
        return None
    outer = _strings(blob[10:], 5)
    inner = _strings(outer[4], 2) if outer else None
    if outer is None or inner is None:
        return None
    return _SshSignature(outer[0], outer[1], outer[2], outer[3], inner[0], inner[1])


def _strings(blob: bytes, count: int) -> list[bytes] | None:
    """Exactly `count` length-prefixed strings and nothing behind them."""
    found: list[bytes] = []
    at = 0
    for _ in range(count):
        length = int.from_bytes(blob[at : at + 4], "big")
        if at + 4 + length > len(blob):
            return None
        found.append(blob[at + 4 : at + 4 + length])
        at += 4 + length
    return found if at == len(blob) else None


def _allowed(text: bytes, namespace: str) -> Iterator[bytes]:
    """The key blobs that may sign for this namespace."""
    for line in text.decode("utf-8", "replace").splitlines():
        words = line.split()
        at = next((n for n, word in enumerate(words[:3]) if word in _KEY_TYPES), None)
        if line.startswith("#") or at is None or len(words) <= at + 1:
            continue
        if at == 2 and not _permits(words[1], namespace):
            continue
        try:
            yield base64.b64decode(words[at + 1], validate=True)
        except (binascii.Error, ValueError):
            continue


def _permits(options: str, namespace: str) -> bool:
    match = _NAMESPACES.fullmatch(options)
    return match is not None and namespace in match[1].split(",")


def _verify(found: _SshSignature, signed: bytes) -> bool:
    """Whether the signature fits; raises what the library raises when it does not."""
    types = _strings_head(found.key)
    if types not in _KEY_TYPES:
        return False
    key = load_ssh_public_key(types.encode() + b" " + base64.b64encode(found.key))
    if isinstance(key, Ed25519PublicKey) and found.algorithm == b"ssh-ed25519":
        key.verify(found.value, signed)
        return True
    if isinstance(key, RSAPublicKey) and key.key_size >= _MIN_RSA_BITS:
        return _verify_rsa(key, found, signed)
    if isinstance(key, ec.EllipticCurvePublicKey) and found.algorithm == types.encode():
        parts = _strings(found.value, 2)
        if parts is None:
            return False
        value = encode_dss_signature(*(int.from_bytes(p, "big") for p in parts))
        key.verify(value, signed, ec.ECDSA(_CURVE_HASHES[key.curve.key_size]))
        return True
    return False


def _verify_rsa(key: RSAPublicKey, found: _SshSignature, signed: bytes) -> bool:
    """Never the old `ssh-rsa`, which hashes with SHA-1."""
    match found.algorithm:
        case b"rsa-sha2-256":
            key.verify(found.value, signed, padding.PKCS1v15(), hashes.SHA256())
        case b"rsa-sha2-512":
            key.verify(found.value, signed, padding.PKCS1v15(), hashes.SHA512())
        case _:
            return False
    return True


def _strings_head(blob: bytes) -> str:
    """The first length-prefixed string: a key's type."""
    length = int.from_bytes(blob[:4], "big")
    return blob[4 : 4 + length].decode("ascii", "replace") if length <= 64 else ""
