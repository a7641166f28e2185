"""The quick way of sending against real servers, and the ordinary way where it does not apply."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from asyncssh.channel import SSHChannel
from asyncssh.connection import SSHConnection
from asyncssh.encryption import GCMEncryption
from session_kit import folder, session
from sshd_kit import Server, User, dropbear, openssh

from sealboot.transport import bulk
from sealboot.transport.bulk import Bulk
from sealboot.transport.session import SshSession
from sealboot.transport.upload import Source

DATA = os.urandom(1 << 20) * 12 + b"an odd end"
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with folder() as place, openssh(place, users=[User("ops")]) as started:
        yield started


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """What the quick way answered each time it was asked."""
    answers: list[int | None] = []
    ordinary = Bulk.feed

    def feed(self: Bulk, source: Any, offset: int) -> int | None:
        answers.append(ordinary(self, source, offset))
        return answers[-1]

    monkeypatch.setattr(Bulk, "feed", feed)
    return answers


def inside(ssh: SshSession) -> Any:
    return ssh._connection


async def arrives(ssh: SshSession, server: Server, name: str, data: bytes = DATA) -> None:
    dest = server.homes["ops"] / name
    put = await ssh.put(data, str(dest))
    assert put.result.ok, put.result
    assert put.sha256 == hashlib.sha256(data).hexdigest()
    assert put.sent == len(data)
    assert dest.read_bytes() == data


@pytest.mark.parametrize("cipher", ["aes128-gcm@openssh.com", "aes256-gcm@openssh.com"])
async def test_a_file_takes_the_quick_way(server: Server, taken: list[int | None], cipher: str) -> None:
    async with session(server, "ops", ciphers=(cipher,)) as ssh:
        before = inside(ssh)._send_seq
        await arrives(ssh, server, f"quick-{cipher[:6]}")
        assert sum(n or 0 for n in taken) == len(DATA)
        assert max(n or 0 for n in taken) > bulk.LARGEST
        assert inside(ssh)._send_seq - before >= len(DATA) // bulk.LARGEST
        # The counters still agree with the server's: the connection goes on.
        result = await ssh.run("echo still here", timeout=30)
        assert result.stdout == b"still here\n"


@pytest.mark.parametrize("cipher", ["chacha20-poly1305@openssh.com", "aes128-ctr"])
async def test_other_ciphers_take_the_ordinary_way(
    server: Server, taken: list[int | None], cipher: str
) -> None:
    async with session(server, "ops", ciphers=(cipher,)) as ssh:
        await arrives(ssh, server, f"other-{cipher[:6]}")
    assert set(taken) == {None}


async def test_an_unknown_release_takes_the_ordinary_way(
    server: Server, taken: list[int | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "able", lambda: False)
    async with session(server, "ops") as ssh:
        await arrives(ssh, server, "unknown-release")
    assert set(taken) == {None}


async def test_sealing_that_differs_takes_the_ordinary_way(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(self: Any, seq: int, header: bytes, packet: bytes) -> tuple[bytes, bytes]:
        body, tag = sealing(self, seq, header, packet)
        return body, tag[::-1]

    sealing = GCMEncryption.encrypt_packet
    async with session(server, "ops") as ssh:
        channel, _ = await inside(ssh).create_session(
            asyncssh.SSHClientSession, "cat >/dev/null", encoding=None
        )
        quick = Bulk(channel, hungry=lambda: None, ready=lambda: None)
        assert quick._plain_case()
        with monkeypatch.context() as patched:
            patched.setattr(GCMEncryption, "encrypt_packet", other)
            assert not quick._same_bytes()
        assert quick.feed(Source(DATA), 0) is None
        quick.close()
        channel.abort()


async def test_files_side_by_side_with_commands_on_one_connection(server: Server) -> None:
    files = {f"side-{n}": os.urandom(1 << 20) * (n + 2) for n in range(4)}
    async with session(server, "ops") as ssh, asyncio.TaskGroup() as group:
        for name, data in files.items():
            group.create_task(arrives(ssh, server, name, data))
        runs = [group.create_task(ssh.run(f"echo {n}; seq 20000", timeout=60)) for n in range(6)]
    assert [r.result().stdout.split(b"\n", 1)[0] for r in runs] == [b"%d" % n for n in range(6)]


@pytest.mark.parametrize("who", ["client", "server"])
async def test_keys_are_renewed_in_the_middle_of_a_file(
    who: str, tmp_path: Path, taken: list[int | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    exchanges: list[object] = []
    ordinary = SSHConnection.send_newkeys

    def send_newkeys(self: Any, *args: Any) -> None:
        exchanges.append(self)
        ordinary(self, *args)

    config = "RekeyLimit 3M\n" if who == "server" else ""
    with folder() as place, openssh(place, users=[User("ops")], config=config) as started:
        monkeypatch.setattr(SSHConnection, "send_newkeys", send_newkeys)
        async with session(started, "ops") as ssh:
            if who == "client":
                inside(ssh)._rekey_bytes = 3 << 20
            await arrives(ssh, started, "rekeyed")
            await arrives(ssh, started, "rekeyed-again", DATA[: 5 << 20])
    assert len(exchanges) >= 4
    assert sum(n or 0 for n in taken) > len(DATA) // 2


async def test_a_small_window_is_used_as_it_is(tmp_path: Path, taken: list[int | None]) -> None:
    # dropbear opens 24 KiB and grants more by and by; it knows no GCM in Debian 12, newer ones do.
    with folder() as place, dropbear(place, users=[User("ops")]) as started:
        async with session(started, "ops") as ssh:
            await arrives(ssh, started, "small-window", DATA[: 3 << 20])


async def test_a_window_that_never_opens_wide_is_no_deadlock(
    server: Server, taken: list[int | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if the host granted a little at a time and nothing more before that is used up.
    adjust = SSHChannel._process_window_adjust
    grants: list[int] = []

    def stingy(self: Any, kind: int, number: int, packet: Any) -> None:
        given = packet.get_uint32()
        grants.append(given)
        while given:
            part = min(given, 5000)
            given -= part
            self._send_window += part
            self._flush_send_buf()

    async with session(server, "ops") as ssh:
        monkeypatch.setattr(bulk, "able", lambda: True)
        monkeypatch.setitem(asyncssh.SSHClientChannel._packet_handlers, 93, stingy)
        await arrives(ssh, server, "stingy", DATA[: 6 << 20])
    assert adjust is not stingy
    assert grants
    assert sum(n or 0 for n in taken) == 6 << 20


async def test_a_call_given_up_half_way_leaves_the_connection_usable(server: Server) -> None:
    dest = server.homes["ops"] / "given-up"
    async with session(server, "ops") as ssh:
        begun = asyncio.Event()
        task = asyncio.create_task(ssh.put(DATA * 4, str(dest), progress=lambda _: begun.set()))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await arrives(ssh, server, "after-giving-up")


async def test_a_file_that_shrinks_meanwhile_is_no_success(server: Server, tmp_path: Path) -> None:
    source = tmp_path / "file"
    source.write_bytes(DATA)
    async with session(server, "ops") as ssh:
        put = await ssh.put(
            source, str(server.homes["ops"] / "shrunk"), progress=lambda _: os.truncate(source, 1 << 20)
        )
        assert not put.result.ok
        assert put.sha256 == ""
        assert (await ssh.run("echo alive", timeout=30)).stdout == b"alive\n"
