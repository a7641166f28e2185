"""One attempt to log in to one endpoint: options, deadline, and what its end means."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

import asyncssh

from sealboot.transport.algorithms import host_key_algorithms, offered
from sealboot.transport.client import Client
from sealboot.transport.endpoint import Endpoint
from sealboot.transport.errors import (
    EXPECTED,
    LOST,
    Failure,
    Stage,
    key_failure,
    login_failure,
    protocol_failure,
    timeout_failure,
)
from sealboot.transport.knownhosts import Known
from sealboot.transport.verdict import Trust, Verdict

#: A dead peer is noticed after about interval x count seconds.
KEEPALIVE_INTERVAL = 5.0
KEEPALIVE_COUNT = 3
#: More than any file that is sent, so that no transfer stops for a new key exchange in the middle.
REKEY_BYTES = 1 << 40
#: Seconds that an aborted attempt gets to end.
ABORT_GRACE = 1.0

_REVOKED = ("Host key is revoked", "Host CA key is revoked")


@dataclass(frozen=True, slots=True)
class Way:
    """How to get to the server: a connected socket, or a channel through a jump host."""

    sock: socket.socket | None = None
    tunnel: asyncssh.SSHClientConnection | None = None


@cache
def _options(*, legacy: bool) -> asyncssh.SSHClientConnectionOptions:
    """The settings that all connections share; made once, since making them costs more than copying.

    `config=None` and explicit lists everywhere: nothing is read from the
    home folder, and no ssh_config can weaken what is set here.
    """
    algorithms = offered(legacy=legacy)
    return asyncssh.SSHClientConnectionOptions(
        config=None,
        known_hosts=([], [], []),
        kex_algs=list(algorithms.kex),
        encryption_algs=list(algorithms.ciphers),
        mac_algs=list(algorithms.macs),
        signature_algs=list(algorithms.signatures),
        compression_algs=None,
        client_keys=None,
        agent_path=None,
        agent_forwarding=False,
        x11_forwarding=False,
        request_pty=False,
        gss_host=None,
        gss_kex=False,
        gss_auth=False,
        host_based_auth=False,
        x509_trusted_certs=None,
        x509_trusted_cert_paths=(),
        preferred_auth=["publickey", "password", "keyboard-interactive"],
        rekey_bytes=REKEY_BYTES,
        keepalive_interval=KEEPALIVE_INTERVAL,
        keepalive_count_max=KEEPALIVE_COUNT,
        utf8_decode_errors="replace",
        pkcs11_provider=None,
    )


async def attempt(
    endpoint: Endpoint,
    client: Client,
    way: Way,
    *,
    deadline: float,
    algorithms: Sequence[str] | None = None,
    certificates: bool = True,
) -> asyncssh.SSHClientConnection | Failure:
    """Log in, or say why not; `deadline` is loop time. The socket is used up either way."""
    legacy = endpoint.settings.legacy_crypto
    wanted = algorithms or host_key_algorithms(client.known, legacy=legacy, certificates=certificates)
    opening = asyncio.ensure_future(
        asyncssh.connect(
            endpoint.address.strip("[]"),
            endpoint.port,
            options=_options(legacy=legacy),
            config=None,
            sock=way.sock,
            tunnel=way.tunnel or (),
            client_factory=lambda: client,
            username=endpoint.user,
            host_key_alias=endpoint.trust_name,
            server_host_key_algs=list(wanted),
            known_hosts=([], [], _revoked(client.known)),
            login_timeout=endpoint.timeout,
            connect_timeout=None,
        )
    )
    try:
        done, _ = await asyncio.wait({opening}, timeout=max(0.0, deadline - opening.get_loop().time()))
        if not done:
            return timeout_failure(endpoint, _stage(client, way))
        return opening.result()
    except EXPECTED as error:
        return _failure(endpoint, client, way, error)
    except asyncio.CancelledError:
        # Nobody will take the connection, even if it came to stand in the same moment.
        if client.connection is not None:
            client.connection.abort()
        raise
    finally:
        if not opening.done():
            await _abort(opening, client)
        if client.connection is None and way.sock is not None:
            way.sock.close()


async def _abort(opening: asyncio.Future[asyncssh.SSHClientConnection], client: Client) -> None:
    # Cancelling first would wait for a peer that does not answer.
    if client.connection is not None:
        client.connection.abort()
    opening.cancel()
    await asyncio.wait({opening}, timeout=ABORT_GRACE)
    if opening.done() and not opening.cancelled():
        opening.exception()


def _failure(endpoint: Endpoint, client: Client, way: Way, error: Exception) -> Failure:
    stage = _stage(client, way)
    if isinstance(error, asyncssh.HostKeyNotVerifiable):
        return key_failure(endpoint, _verdict(client, error))
    if stage is not Stage.LOGIN:
        return protocol_failure(endpoint, stage, error)
    if isinstance(error, LOST) and not client.tried:
        return protocol_failure(endpoint, stage, error)
    if "timeout" in str(error).lower():
        return timeout_failure(endpoint, stage)
    return login_failure(
        endpoint, error, tried=tuple(client.tried), methods=client.methods, expired=client.expired
    )


def _verdict(client: Client, error: asyncssh.HostKeyNotVerifiable) -> Verdict:
    """Our own verdict, corrected by what only asyncssh saw: revoked keys and the rest of a certificate."""
    verdict = client.verdict
    if error.reason.startswith(_REVOKED):
        if verdict is None or verdict.trust is not Trust.REVOKED:
            return Verdict(Trust.REVOKED, None, client.known.revoked)
        return verdict
    if verdict is None or verdict.trust is Trust.TRUSTED:
        # The authority is trusted, but the certificate itself is expired or speaks for another name.
        reason = error.reason.partition(" for host ")[0].lower()
        lines = verdict.lines if verdict else client.known.authorities
        return Verdict(Trust.BAD_CERTIFICATE, verdict.offered if verdict else None, lines, reason)
    return verdict


def _stage(client: Client, way: Way) -> Stage:
    stage = client.stage
    return Stage.HOP if stage is Stage.CONNECT and way.tunnel is not None else stage


def _revoked(known: Known) -> list[asyncssh.SSHKey]:
    """The revoked keys for asyncssh, which alone sees the key inside a certificate."""
    keys: list[asyncssh.SSHKey] = []
    for line in known.revoked:
        # A type that asyncssh cannot read is one it cannot negotiate either.
        with suppress(*EXPECTED):
            keys.append(asyncssh.import_public_key(line.key.line))
    return keys


def certificate_failed(failure: Failure, known: Known) -> bool:
    """Whether a plain key may still speak for the host, as in OpenSSH, where its certificate does not."""
    return failure.code == "SB207" and bool(known.plain or known.portless)
