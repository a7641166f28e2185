"""Who answers where no SSH does: real TLS servers, and things that are none."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from api_kit import api, identity

from sealboot.transport import knock as module
from sealboot.transport.base import Greeting
from sealboot.transport.knock import knock
from sealboot.transport.resolve import Resolver

ALPN = ("h2",)


async def ask(port: int, alpn: tuple[str, ...] | None = ALPN) -> Greeting | str:
    return await knock(Resolver(), "127.0.0.1", port, alpn)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


@asynccontextmanager
async def plain(says: bytes, *, hang: bool = False) -> AsyncIterator[int]:
    """A server without TLS that says these bytes."""
    ended = asyncio.Event()

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(says)
        if hang:
            await ended.wait()
        writer.transport.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        ended.set()
        server.close()
        await server.wait_closed()


async def test_a_system_in_maintenance_shows_its_key(tmp_path: Path) -> None:
    with api(tmp_path) as (port, who):
        assert await ask(port) == Greeting(who.key, "h2")
        assert await ask(port, None) == Greeting()
        assert await ask(port, ()) == Greeting(who.key, "")


async def test_a_configured_system_wants_a_certificate(tmp_path: Path) -> None:
    with api(tmp_path, configured=True) as (port, who):
        assert await ask(port) == Greeting(who.key, "h2", wants_certificate=True)


async def test_another_certificate_is_another_key(tmp_path: Path) -> None:
    one, other = identity("same"), identity("same")
    with api(tmp_path, who=one) as (first, _), api(tmp_path, who=other) as (second, _):
        assert await ask(first) == Greeting(one.key, "h2")
        assert await ask(second) == Greeting(other.key, "h2")


async def test_a_port_where_nobody_listens() -> None:
    assert await ask(free_port()) == "connection refused"


async def test_what_speaks_no_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    async with plain(b"SSH-2.0-OpenSSH_9.2\r\n") as port:
        assert await ask(port, None) == Greeting()
        said = await ask(port)
        assert isinstance(said, str)
        assert "TLS" in said or "closed" in said
    monkeypatch.setattr(module, "CONNECT_LIMIT", 0.1)
    async with plain(b"", hang=True) as port:
        assert await ask(port) == "it accepts connections but says no TLS"


async def test_a_server_that_hangs_up_at_once_is_no_answer() -> None:
    async with plain(b"") as port:
        assert isinstance(await ask(port), str)


async def test_a_name_that_is_none() -> None:
    assert "not a host name" in str(await knock(Resolver(), "no good", 1, ALPN))
