"""Stand-ins for an API port: a certificate made here, and a TLS server as a system without SSH has one."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import hashlib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID

#: HTTP/2 settings without any: what a server says first.
_SETTINGS = b"\0\0\0\x04\0\0\0\0\0"


@dataclass(frozen=True)
class Identity:
    """A self-signed certificate with its key, both in PEM; `key` is the public key's SHA-256, base64."""

    certificate: bytes
    private: bytes
    key: str


def identity(name: str = "maintenance") -> Identity:
    """A certificate as such systems make at every start: for nobody's eyes."""
    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=36500))
        .sign(private, hashes.SHA256())
    )
    info = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Identity(
        made.public_bytes(Encoding.PEM),
        private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        base64.b64encode(hashlib.sha256(info).digest()).decode(),
    )


def context(
    who: Identity, folder: Path, *, configured: bool, alpn: tuple[str, ...] = ("h2",)
) -> ssl.SSLContext:
    """The server's side of TLS; `configured` systems turn away whoever has no certificate."""
    file = folder / f"{who.key[:8].replace('/', '_')}.pem"
    file.write_bytes(who.private + who.certificate)
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.load_cert_chain(file)
    made.set_alpn_protocols(list(alpn))
    if configured:
        made.verify_mode = ssl.CERT_REQUIRED
        made.load_verify_locations(cadata=who.certificate.decode())
    return made


class _Server:
    """Blocking TLS in threads: unlike asyncio's, it sends the alert before it hangs up, as real servers do."""

    def __init__(self, made: ssl.SSLContext, port: int) -> None:
        self._context = made
        self._socket = socket.create_server(("127.0.0.1", port))
        self.port: int = self._socket.getsockname()[1]
        self.accepted = 0
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # until it is closed
            while True:
                connection, _ = self._socket.accept()
                self.accepted += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(5)
        with connection, contextlib.suppress(OSError), self._context.wrap_socket(connection, True) as talk:
            talk.sendall(_SETTINGS)
            while talk.recv(1 << 12):
                pass

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)


@contextmanager
def api(
    folder: Path, *, configured: bool = False, who: Identity | None = None, port: int = 0
) -> Iterator[tuple[int, Identity]]:
    """A server that answers as such an API does, for as long as the block lasts: its port and identity."""
    who = who or identity()
    server = _Server(context(who, folder, configured=configured), port)
    try:
        yield server.port, who
    finally:
        server.close()
