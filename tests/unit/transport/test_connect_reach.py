"""Ways of not being reached, told apart: faults 1 to 3 and 15, traps 6, 11 and 13."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest
from connect_kit import host_of, rig
from sshd_kit import HOST, dropbear, free_port, keygen, openssh, public_line

from sealboot.model.host import Host, SshSettings
from sealboot.transport.resolve import AddressInfo, Resolver

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def listener(talk: Talk) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that is no SSH server: its port, and one entry for each connection it saw."""
    seen: list[bytes] = []
    writers: list[asyncio.StreamWriter] = []
    tasks: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(b"")
        writers.append(writer)
        task = asyncio.current_task()
        assert task
        tasks.append(task)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await talk(reader, writer)

    server = await asyncio.start_server(serve, HOST, 0)
    try:
        yield server.sockets[0].getsockname()[1], seen
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        if tasks:
            await asyncio.wait(tasks)
        await server.wait_closed()


def at(port: int, address: str = HOST, *, name: str = "n1", **settings: object) -> Host:
    ssh = SshSettings(user="root", port=port, **settings)  # type: ignore[arg-type]
    return Host(name=name, address=address, role="node", ssh=ssh)


async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


def says(data: bytes, *, close: bool = False) -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        if close:
            writer.close()
        else:
            await reader.read()

    return talk


async def test_a_closed_port_is_refused_after_three_attempts(tmp_path: Path) -> None:
    async with rig(tmp_path, [at(free_port())]) as r:
        started = time.monotonic()
        found = await r.refusal("n1")
    assert found.code == "SB201"
    assert dict(found.evidence)["stage"] == "connect"
    assert "refused" in found.summary
    assert time.monotonic() - started > 0.4  # it waits between them


async def test_a_mute_listener_is_named_as_such(tmp_path: Path) -> None:
    async with listener(mute) as (port, seen), rig(tmp_path, [at(port, connect_timeout=0.6)]) as r:
        found = await r.refusal("n1")
        assert len(seen) == 1
    assert found.code == "SB201"
    assert dict(found.evidence)["stage"] == "banner"
    assert "never said anything" in found.summary


async def test_dropped_packets_are_a_tcp_timeout(tmp_path: Path) -> None:
    # A full accept queue is how one socket on loopback drops SYN packets.
    with socket.socket() as full:
        full.bind((HOST, 0))
        full.listen(0)
        port = full.getsockname()[1]
        fillers = [socket.socket() for _ in range(8)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex((HOST, port))
        async with rig(tmp_path, [at(port, connect_timeout=0.6)]) as r:
            found = await r.refusal("n1")
        for filler in fillers:
            filler.close()
    assert dict(found.evidence)["stage"] == "connect"
    assert "no TCP connection" in found.summary


async def test_no_route_is_told(tmp_path: Path) -> None:
    async with rig(
        tmp_path, [at(22, "fe80::1%lo", connect_timeout=1.0), at(22, "255.255.255.255", name="b")]
    ) as r:
        for name in ("n1", "b"):
            found = await r.refusal(name)
            assert dict(found.evidence)["stage"] in {"route", "connect"}
            assert found.code == "SB201"


@pytest.mark.parametrize(
    ("data", "close", "expected"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", True, "broke off"),
        (b"SSH-1.5-old\r\n", False, "not an SSH server"),
        (b"x\n" * 3000, False, "not an SSH server"),
        (b"x" * 200_000, False, "not an SSH server"),
        (b"SSH-2.0-caf\xe9\r\n", False, "n1 "),
        (b"SSH-2.0-x\r\n" + b"\xff" * 9000, False, "does not speak SSH"),
        (b"SSH-2.0-x\r\n", True, "broke off"),
    ],
    ids=["http", "version-1", "flood-of-lines", "endless-line", "latin-1", "garbage", "hangs-up"],
)
async def test_hostile_banners_are_bounded_and_told(
    tmp_path: Path, data: bytes, close: bool, expected: str, capfd: pytest.CaptureFixture[str]
) -> None:
    async with (
        listener(says(data, close=close)) as (port, _),
        rig(tmp_path, [at(port, connect_timeout=3.0)]) as r,
    ):
        found = await r.refusal("n1")
    assert found.code == "SB201"
    assert expected in found.summary
    assert len(found.summary) < 400
    assert "Traceback" not in capfd.readouterr().err


async def test_a_latin_1_login_banner_is_survived(tmp_path: Path) -> None:
    banner = tmp_path / "banner"
    banner.write_bytes(b"Zugang nur f\xfcr Befugte\n")
    with openssh(tmp_path / "s", config=f"Banner {banner}") as server:
        async with rig(tmp_path, [host_of(server)], trust=server.known_hosts()) as r:
            await r.raw("n1")


@pytest.mark.parametrize(
    "bad", ["127.1", "0x7f.1", "2130706433", "-oProxyCommand=x", "a b", "x" * 300, "a\0b"]
)
async def test_odd_names_are_refused_before_anything_is_looked_up(tmp_path: Path, bad: str) -> None:
    def never(name: str, port: int) -> Sequence[AddressInfo]:
        raise AssertionError(name)

    async with rig(tmp_path, [at(22, bad)], resolver=Resolver(lookup=never)) as r:
        found = await r.refusal("n1")
    assert dict(found.evidence)["stage"] == "name"


async def test_stuck_names_delay_nobody_else(tmp_path: Path) -> None:
    # Trap 13: 24 stuck names in asyncio's own pool made localhost time out too.
    release = threading.Event()

    def lookup(name: str, port: int) -> Sequence[AddressInfo]:
        if name == "good":
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (HOST, port))]
        if name == "missing":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        release.wait(30)
        return []

    with openssh(tmp_path / "s") as server:
        stuck = [at(22, f"stuck{i}", name=f"s{i}", connect_timeout=5.0) for i in range(40)]
        good = host_of(server)
        good = Host(name="good", address="good", role="node", ssh=good.ssh)
        missing = at(22, "missing", name="missing")
        options = {"resolver": Resolver(deadline=5.0, lookup=lookup)}
        trust = server.known_hosts(name=f"[good]:{server.port}")
        async with rig(tmp_path, [*stuck, good, missing], trust=trust, **options) as r:
            waiting = [asyncio.create_task(r.refusal(h.name)) for h in stuck]
            await r.raw("good")
            assert not any(task.done() for task in waiting)
            assert "Name or service not known" in (await r.refusal("missing")).summary
            found = await asyncio.gather(*waiting)
        release.set()
    assert {dict(f.evidence)["stage"] for f in found} == {"name"}
    assert {f.code for f in found} == {"SB201"}


async def test_a_server_that_hangs_up_on_the_first_two_is_tried_again(tmp_path: Path) -> None:
    with openssh(tmp_path / "s") as server:
        count = 0

        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal count
            count += 1
            if count < 3:
                writer.transport.abort()
                return
            far_reader, far_writer = await asyncio.open_connection(HOST, server.port)

            async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
                with contextlib.suppress(OSError):
                    while data := await source.read(65536):
                        target.write(data)
                target.close()

            try:
                await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))
            finally:
                far_writer.transport.abort()

        async with listener(relay) as (port, seen):
            trust = server.known_hosts(name=f"[{HOST}]:{port}")
            async with rig(tmp_path, [host_of(server, port=port)], trust=trust) as r:
                await r.raw("n1")
            assert len(seen) == 3


@pytest.mark.parametrize("start", [openssh, dropbear])
async def test_forty_at_once_against_one_stock_server(tmp_path: Path, start: object) -> None:
    # 40 parallel logins lost 12 of their number against OpenSSH's stock MaxStartups.
    assert callable(start)
    with start(tmp_path / "s") as server:
        hosts = [host_of(server, name=f"n{i}") for i in range(40)]
        async with rig(tmp_path, hosts, trust=server.known_hosts()) as r:
            raws = await asyncio.gather(*(r.raw(h.name) for h in hosts))
            assert len({id(raw.connection) for raw in raws}) == 40
        assert "MaxStartups" not in server.log_text()


async def test_a_hung_host_is_noticed_by_keepalive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sealboot.transport.handshake.KEEPALIVE_INTERVAL", 0.3)
    from sealboot.transport import handshake  # noqa: PLC0415

    handshake._options.cache_clear()
    try:
        with openssh(tmp_path / "s") as server:
            async with rig(tmp_path, [host_of(server)], trust=server.known_hosts()) as r:
                raw = await r.raw("n1")
                frozen = server.session_pids()
                for pid in frozen:
                    os.kill(pid, signal.SIGSTOP)
                await asyncio.wait_for(
                    raw.connection.wait_closed(), 60
                )  # TCP alone takes a quarter of an hour
    finally:
        handshake._options.cache_clear()


async def test_close_waits_for_nobody(tmp_path: Path) -> None:
    async with listener(mute) as (port, _), rig(tmp_path, [at(port, connect_timeout=60.0)]) as r:
        waiting = asyncio.create_task(r.connector.connect("n1"))
        await asyncio.sleep(0.1)
        waiting.cancel()
        async with asyncio.timeout(30):  # the connection is tried for a minute
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await r.connector.close()


async def test_a_dropped_connection_prints_no_traceback(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    # Trap 6.
    with openssh(tmp_path / "s") as server:
        async with rig(tmp_path, [host_of(server)], trust=server.known_hosts()) as r:
            raw = await r.raw("n1")
            sftp = await raw.connection.start_sftp_client()
            reads = [asyncio.ensure_future(sftp.stat("/etc/passwd")) for _ in range(20)]
            for pid in server.session_pids():
                with contextlib.suppress(ProcessLookupError):  # it ended with its parent
                    os.kill(pid, signal.SIGKILL)
            await raw.connection.wait_closed()
            await asyncio.wait(reads)
            del reads, sftp
            import gc  # noqa: PLC0415

            gc.collect()
            await asyncio.sleep(0.01)
        assert capfd.readouterr().err == ""


async def test_a_server_with_nothing_but_sha1_needs_legacy_crypto(tmp_path: Path) -> None:
    key = keygen(tmp_path / "rsa", "rsa")
    config = "HostKeyAlgorithms ssh-rsa\nKexAlgorithms diffie-hellman-group14-sha1\nMACs hmac-sha1\nCiphers aes128-ctr"
    with openssh(tmp_path / "s", host_key_files=[key], config=config) as server:
        trust = f"[{HOST}]:{server.port} {public_line(key)}\n"
        async with rig(tmp_path, [host_of(server)], trust=trust) as r:
            found = await r.refusal("n1")
        assert found.code == "SB201"
        assert dict(found.evidence)["stage"] == "key exchange"
        assert any("legacy_crypto" in hint for hint in found.hints)
        async with rig(tmp_path, [host_of(server, legacy_crypto=True)], trust=trust) as r:
            await r.raw("n1")


@pytest.mark.parametrize("seed", range(12))
async def test_random_answers_never_escape_as_exceptions(
    tmp_path: Path, seed: int, capfd: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(seed)  # noqa: S311 (a reproducible choice of bytes)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        # Well-framed packets with random contents reach the parsers behind the framing.
        for _ in range(rng.randrange(1, 6)):
            body = bytes([rng.choice([1, 2, 4, 20, 21, 31, 52, 60, 93])]) + rng.randbytes(rng.randrange(60))
            padding = 8 - (len(body) + 5) % 8 + 8
            writer.write(
                (len(body) + 1 + padding).to_bytes(4, "big") + bytes([padding]) + body + bytes(padding)
            )
        await writer.drain()
        await reader.read(4096)
        writer.close()

    async with listener(talk) as (port, _), rig(tmp_path, [at(port, connect_timeout=4.0)]) as r:
        found = await r.refusal("n1")
    assert found.code == "SB201"
    assert capfd.readouterr().err == ""


async def test_asyncssh_logs_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    # Trap 14: it logs commands and environments at INFO.
    caplog.set_level("DEBUG")
    with openssh(tmp_path / "s") as server:
        async with rig(tmp_path, [host_of(server)], trust=server.known_hosts()) as r:
            raw = await r.raw("n1")
            await raw.output("echo canary-in-a-command")
    assert "canary" not in caplog.text
    assert not logging.getLogger("asyncssh").isEnabledFor(logging.CRITICAL)
