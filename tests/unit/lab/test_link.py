"""The lab's links: every byte in order, no faster than they are, and cut when the lab ends."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator

import pytest

from sealboot.lab.link import Link

DATA = hashlib.shake_128(b"link").digest(400_000)


@pytest.fixture
async def echo() -> AsyncIterator[int]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def test_what_arrives_is_what_was_sent_at_the_speed_of_the_link(echo: int) -> None:
    link = Link(echo, 1_000_000)
    reader, writer = await asyncio.open_connection("127.0.0.1", await link.open())
    begun = time.monotonic()
    writer.write(DATA)
    assert await asyncio.wait_for(reader.readexactly(len(DATA)), 30) == DATA
    assert time.monotonic() - begun > 0.35
    writer.close()
    await writer.wait_closed()
    await link.close()


async def test_a_machine_that_is_gone_hangs_up(echo: int) -> None:
    link = Link(1, 1e6)  # nobody listens there
    reader, writer = await asyncio.open_connection("127.0.0.1", await link.open())
    assert await asyncio.wait_for(reader.read(), 30) == b""
    writer.close()
    await link.close()


async def test_closing_cuts_what_is_under_way(echo: int) -> None:
    link = Link(echo, 100_000)
    port = await link.open()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(DATA)
    seen = await asyncio.wait_for(reader.readexactly(1000), 30)
    await asyncio.wait_for(link.close(), 30)
    with contextlib.suppress(OSError):
        while more := await asyncio.wait_for(reader.read(1 << 16), 30):
            seen += more
    assert len(seen) < len(DATA)
    assert not link._carrying
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncio.open_connection("127.0.0.1", port)
    writer.close()
