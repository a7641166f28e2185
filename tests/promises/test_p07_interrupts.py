"""P7: Ctrl-C is answered within 5 s wherever the command waits: for hosts, for the network, for a person."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from promise_kit import Process, Room, ended, first_lines, hostile
from session_kit import folder
from sshd_kit import openssh

#: The promise, in seconds.
LIMIT = 5.0
#: What a machine that does other things meanwhile is granted: so many times what it takes to start and end
#: `sealboot --version` right then. On a quiet one that is less than the promise.
GRANTED = 8
#: Seconds until a process that hangs is given up.
GUARD = 60.0


@pytest.fixture
def place() -> Iterator[Path]:
    with folder() as made:
        yield made


async def interrupt(process: asyncio.subprocess.Process, number: signal.Signals = signal.SIGINT) -> int:
    """Send the signal; the exit code, which must come in time."""
    began = time.monotonic()
    process.send_signal(number)
    ran = await ended(process, GUARD)
    in_time(time.monotonic() - began)
    return ran.code


def in_time(seconds: float) -> None:
    """The promise is kept, as far as the machine lets anything be quick."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "sealboot", "--version"], check=True, capture_output=True)
    assert seconds < max(LIMIT, GRANTED * (time.monotonic() - began))


async def output_until(fd: int, wanted: bytes) -> bytes:
    """Read a terminal until it shows this."""
    loop = asyncio.get_running_loop()
    seen = b""
    async with asyncio.timeout(20):
        while wanted not in seen:
            ready = asyncio.Event()
            loop.add_reader(fd, ready.set)
            await ready.wait()
            loop.remove_reader(fd)
            seen += os.read(fd, 65536)
    return seen


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("asked", ["consent", "password"])
async def test_at_a_question(place: Path, asked: str, number: signal.Signals, code: int) -> None:
    with openssh(place / "sshd") as server:
        room = Room(
            place / "room", phases=[{"name": "p", "steps": [{"name": "x", "run": f"touch {place}/done"}]}]
        )
        room.add("n1", server)
        if asked == "password":
            room.hosts["n1"]["ssh"]["password_from"] = "prompt"
        ours, theirs = pty.openpty()
        process = await room.start(
            "apply", stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)
        await output_until(ours, b"[y/N]" if asked == "consent" else b": ")
        began = time.monotonic()
        process.send_signal(number)
        try:
            assert await asyncio.wait_for(process.wait(), GUARD) == code
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            os.close(ours)
        in_time(time.monotonic() - began)
    assert not (place / "done").exists()


async def mute(process: Process) -> None:
    """Takes everything and never answers."""
    while await process.stdin.read(1 << 16):
        pass
    await asyncio.Event().wait()


async def deaf(process: Process) -> None:
    """Reads nothing at all."""
    await asyncio.Event().wait()


async def dripping(process: Process) -> None:
    """A byte now and then, for ever."""
    await first_lines(process)
    while True:
        process.stdout.write(b"x")
        await process.stdout.drain()
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("handler", [mute, deaf, dripping])
async def test_while_a_host_hangs_in_a_command(
    place: Path, handler: Callable[[Process], Awaitable[None]]
) -> None:
    room = Room(place)
    begun = asyncio.Event()

    async def serve(process: Process) -> None:
        begun.set()
        await handler(process)

    async with hostile(room, "h1", serve):
        process = await room.start("apply", "--yes", "--format", "json")
        await asyncio.wait_for(begun.wait(), 20)
        assert await interrupt(process) == 130


@pytest.mark.parametrize("says", [b"", b"SSH-2.0-x\r\n", b"SSH-2.0-x\r\n\x00\x00\x0f\xf0" + b"\0" * 100])
async def test_while_a_server_is_mute_before_the_login(place: Path, says: bytes) -> None:
    met = asyncio.Event()
    writers: list[asyncio.StreamWriter] = []

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(says)
        writers.append(writer)
        met.set()

    room = Room(place)
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    room.hosts["h1"] = {
        "address": "127.0.0.1",
        "role": "node",
        "ssh": {"port": port, "user": "ops", "connect_timeout": 60},
    }
    process = await room.start("check", "--format", "json")
    await asyncio.wait_for(met.wait(), 20)
    assert await interrupt(process) == 130
    for writer in writers:
        writer.close()
    server.close()
    await server.wait_closed()


async def test_while_nobody_accepts(place: Path) -> None:
    """A listen queue that is full: TCP itself hangs."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        room = Room(place)
        room.hosts["h1"] = {
            "address": "127.0.0.1",
            "role": "node",
            "ssh": {"port": full.getsockname()[1], "user": "ops", "connect_timeout": 60},
        }
        process = await room.start("check", "--format", "jsonl")
        assert process.stdout
        while b"StageStarted" not in await process.stdout.readline():
            pass
        assert await interrupt(process) == 130
        for filler in fillers:
            filler.close()


@pytest.mark.parametrize("detached", [True, False])
async def test_in_a_step_that_ignores_everything(place: Path, detached: bool) -> None:
    script = f"trap '' TERM INT HUP; touch {place}/begun; while :; do sleep 1; done"
    with openssh(place / "sshd") as server:
        room = Room(
            place / "room",
            phases=[{"name": "p", "steps": [{"name": "x", "run": {"script": script, "detached": detached}}]}],
        )
        room.add("n1", server)
        process = await room.start("apply", "--yes", "--format", "json")
        async with asyncio.timeout(20):
            while not (place / "begun").exists():  # noqa: ASYNC110 (a file has no event)
                await asyncio.sleep(0.02)
        assert await interrupt(process) == 130
