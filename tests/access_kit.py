"""Kubeconfigs as k3s and kubeadm write them, with certificates and keys made for the test."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

UNTIL = datetime(2027, 11, 21, 9, 30, tzinfo=UTC)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@dataclass(frozen=True)
class Admin:
    """The base64 texts of one cluster's administrator."""

    authority: str
    certificate: str
    key: str

    def document(self, name: str = "default", server: str = "https://127.0.0.1:6443") -> dict[str, object]:
        """What k3s writes: everything is called `default`."""
        return {
            "apiVersion": "v1",
            "clusters": [
                {"cluster": {"certificate-authority-data": self.authority, "server": server}, "name": name}
            ],
            "contexts": [{"context": {"cluster": name, "user": name}, "name": name}],
            "current-context": name,
            "kind": "Config",
            "preferences": {},
            "users": [
                {
                    "name": name,
                    "user": {"client-certificate-data": self.certificate, "client-key-data": self.key},
                }
            ],
        }

    def text(self, name: str = "default", server: str = "https://127.0.0.1:6443") -> str:
        """The same as YAML."""
        made: str = yaml.safe_dump(self.document(name, server))
        return made


def _issued(subject: str, key: ec.EllipticCurvePrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(UNTIL - timedelta(days=365))
        .not_valid_after(UNTIL)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(Encoding.PEM)


def admin(cluster: str = "lab") -> Admin:
    """The administrator of a cluster; the same for the same name in one process."""
    return _admin(cluster)


@cache
def _admin(cluster: str) -> Admin:
    ca, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    return Admin(b64(_issued(f"{cluster}-ca", ca)), b64(_issued("system:admin", key)), b64(pem))
