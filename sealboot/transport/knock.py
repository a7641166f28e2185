"""Who answers on a port, where no SSH does: one TLS handshake that verifies nothing and asks for nothing.

What is learnt is only what a server shows to everybody: the key of its
certificate, the protocol it chose, and whether it turns away whoever has no
certificate. No secret is sent, and nothing that comes back is believed.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import os
import ssl
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sealboot.transport.base import Greeting
from sealboot.transport.resolve import Address, NoAddress, Resolver

#: Seconds for the connection, and again for the handshake.
CONNECT_LIMIT = 5.0
#: Seconds in which a server that wants a certificate says so. In TLS 1.3 the handshake is over for
#: the client before the server has looked at the client's answer (RFC 8446, section 2).
#: Whoever wants none begins to talk at once (a gRPC server, with its settings), so this is the time for
#: servers that are silent. Nothing is sent meanwhile: what a server leaves unread would cost us its alert.
VERDICT_LIMIT = 5.0

#: How OpenSSL names the alerts that mean: not without a certificate (RFC 8446, section 6.2).
_REFUSALS = ("CERTIFICATE_REQUIRED", "BAD_CERTIFICATE", "HANDSHAKE_FAILURE", "ACCESS_DENIED")


async def knock(resolver: Resolver, name: str, port: int, alpn: Sequence[str] | None) -> Greeting | str:
    """Look who answers on `port` of the address or host name; a text says why nobody does. Never raises."""
    found = await resolver.resolve(name, port)
    if isinstance(found, NoAddress):
        return found.reason
    said = ""
    for address in found:
        answer = await _ask(address, port, alpn)
        if isinstance(answer, Greeting):
            return answer
        said = said or answer
    return said


async def _ask(address: Address, port: int, alpn: Sequence[str] | None) -> Greeting | str:
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(CONNECT_LIMIT):
            reader, writer = await asyncio.open_connection(_host(address), port)
        if alpn is None:
            return Greeting()
        async with asyncio.timeout(CONNECT_LIMIT):
            await writer.start_tls(_context(alpn), server_hostname=address.ip)
        return await _look(reader, writer)
    except TimeoutError:
        return "it accepts connections but says no TLS" if writer else "no answer"
    except ssl.SSLError as error:
        if _refused(error):
            return Greeting(wants_certificate=True)
        return f"it speaks no TLS that is understood here: {error.reason or error}"
    except (OSError, ValueError) as error:
        known = isinstance(error, OSError) and error.errno
        return os.strerror(known).lower() if known else str(error) or "the connection was closed"
    finally:
        if writer is not None:
            writer.transport.abort()


def _host(address: Address) -> str:
    scope = address.sockaddr[3] if len(address.sockaddr) > 3 else 0
    return f"{address.ip}%{scope}" if scope else address.ip


def _context(alpn: Sequence[str]) -> ssl.SSLContext:
    """A client that looks and does not trust: what it learns is shown to a person or compared, never believed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


async def _look(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Greeting:
    shown: ssl.SSLObject = writer.get_extra_info("ssl_object")
    key, chosen = _key(shown.getpeercert(binary_form=True)), shown.selected_alpn_protocol() or ""
    refused = False
    try:
        with contextlib.suppress(TimeoutError):  # silence: nobody objects to us
            async with asyncio.timeout(VERDICT_LIMIT):
                await reader.read(1)
    except ssl.SSLError as error:
        refused = _refused(error)
    except OSError:
        pass  # closed without a word: no sign of either
    return Greeting(key, chosen, refused)


def _refused(error: ssl.SSLError) -> bool:
    return any(word in (error.reason or "") for word in _REFUSALS)


def _key(certificate: bytes | None) -> str:
    """The SHA-256 of the certificate's public key, base64; raises `ValueError` for what is no certificate."""
    if not certificate:
        return ""
    key = x509.load_der_x509_certificate(certificate).public_key()
    info = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(info).digest()).decode()
