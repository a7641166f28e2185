"""ed25519 keys in the forms of OpenSSH and dropbear, made without any program."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class KeyPair:
    """One key: `openssh` and `dropbear` are private key files, `public` is `ssh-ed25519 AAAA…`."""

    openssh: bytes
    dropbear: bytes
    public: str


def generate() -> KeyPair:
    """Make a new key pair."""
    key = Ed25519PrivateKey.generate()
    openssh = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    kind = b"ssh-ed25519"
    secret = key.private_bytes_raw() + key.public_key().public_bytes_raw()
    # dropbear's buf_put_ed25519_priv_key: the kind as a string, then seed and public key as one string.
    dropbear = struct.pack(">I", len(kind)) + kind + struct.pack(">I", len(secret)) + secret
    return KeyPair(openssh, dropbear, public.decode())
