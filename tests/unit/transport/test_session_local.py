"""The controller as a host: the same protocol, on a child process."""

from __future__ import annotations

import asyncio
import getpass
import hashlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sealboot.model.host import BecomeSettings, Host
from sealboot.transport.base import Result
from sealboot.transport.hold import HeldScript
from sealboot.transport.local import LocalSession
from sealboot.transport.stream import Pieces


def host(name: str = "here") -> Host:
    return Host(name, "localhost", "any", become=BecomeSettings(user=getpass.getuser()))


@pytest.fixture
async def local() -> AsyncIterator[LocalSession]:
    session = LocalSession(host())
    yield session
    await session.close()


async def test_run_keeps_streams_and_status_apart(local: LocalSession) -> None:
    result = await local.run('echo "$1-$V"; echo e >&2; exit 3', args=("a",), env={"V": "v"}, timeout=20)
    assert (result.ending, result.exit_status, result.stdout, result.stderr) == (
        "exited",
        3,
        b"a-v\n",
        b"e\n",
    )
    assert not result.ok
    assert result.seconds > 0


async def test_nothing_of_the_protocol_is_left_in_the_scripts_shell(local: LocalSession) -> None:
    result = await local.run(
        "set | grep sb_ || echo clean; echo $#; (echo >&3) 2>/dev/null || echo closed", timeout=20
    )
    assert result.stdout.splitlines()[-3:] == [b"clean", b"0", b"closed"]


async def test_a_large_input_reaches_the_script(local: LocalSession) -> None:
    data = bytes(range(256)) * 4000
    assert (await local.run("cat", stdin=data, timeout=20, limit=len(data))).stdout == data


async def test_an_input_that_nobody_reads_hurts_nobody(local: LocalSession) -> None:
    result = await local.run("exit 0", stdin=b"x" * 1_000_000, timeout=20)
    assert result.ok


async def test_put_and_hold(local: LocalSession, tmp_path: Path) -> None:
    dest = tmp_path / "-file with spaces"
    put = await local.put(b"content", str(dest), mode=0o751)
    assert put.result.ok, put.result
    assert put.sha256 == hashlib.sha256(b"content").hexdigest()
    assert dest.stat().st_mode & 0o7777 == 0o751
    hold = await local.hold("echo a; echo ready; cat >/dev/null", ready="ready", timeout=20)
    assert isinstance(hold, HeldScript)
    assert hold.alive
    await hold.release()
    await hold.release()
    assert [hold.alive] == [False]


async def test_a_held_script_that_never_gets_ready_times_out(local: LocalSession) -> None:
    result = await local.hold("cat >/dev/null", ready="ready", timeout=0.3)
    assert isinstance(result, Result)
    assert result.ending == "timeout"


async def test_slots_are_given_back(local: LocalSession) -> None:
    for _ in range(3):
        results = await asyncio.gather(*(local.run("sleep 5", timeout=0.1) for _ in range(10)))
        assert {r.ending for r in results} == {"timeout"}
    assert (await local.run("true", timeout=20)).ok


async def test_a_closed_session_is_lost() -> None:
    session = LocalSession(host())
    call = asyncio.ensure_future(session.run("echo x; sleep 50", timeout=60))
    assert (await session.run("true", timeout=20)).ok
    await session.close()
    assert (await asyncio.wait_for(call, 10)).ending == "lost"
    assert (await session.run("true", timeout=20)).ending == "lost"
    held = await session.hold("true", ready="x", timeout=20)
    assert isinstance(held, Result)
    assert held.ending == "lost"
    assert session.lost is not None


async def test_a_shell_that_does_not_exist_or_is_none() -> None:
    missing = LocalSession(host(), login_shell=("/nonexistent/sh",))
    assert (await missing.run("true", timeout=20)).ending == "no-shell"
    false = LocalSession(host(), login_shell=(shutil.which("false") or "false",))
    result = await false.run("true", timeout=20)
    assert result.ending == "no-shell"
    assert result.diagnostic is not None
    assert result.diagnostic.code == "SB205"


async def test_a_local_file_that_cannot_be_read_is_the_callers_to_handle(local: LocalSession) -> None:
    with pytest.raises(FileNotFoundError):
        await local.put(Path("/nonexistent/file"), "/nonexistent/dest")


async def test_a_script_reads_pieces_in_order_and_ends_when_it_will(local: LocalSession) -> None:
    pieces = [bytes([n]) * (n * 70_001) for n in range(1, 9)]
    whole = b"".join(pieces)
    seen: list[int] = []
    counted = await local.stream(iter(pieces), len(whole), "sha256sum", progress=seen.append)
    assert counted.text.split()[0] == hashlib.sha256(whole).hexdigest()
    assert seen[-1] == len(whole)
    refused = await local.stream(iter(pieces), len(whole), "echo no >&2; exit 7")
    assert (refused.exit_status, refused.error_text) == (7, "no\n")


async def test_a_stream_that_ends_early_ends_the_input(local: LocalSession) -> None:
    short = await local.stream(iter([b"abc", b"", b"def"]), 100, "cat")
    assert (short.ok, short.text) == (True, "abcdef")


def test_pieces_fill_gaps_once_and_hold_back_the_rest() -> None:
    pieces = Pieces(iter([b"0123", b"45", b"", b"6789"]), 9)
    first, second = bytearray(3), bytearray(2)
    assert pieces.read_into(0, [memoryview(first), memoryview(second)]) == 5
    assert (bytes(first), bytes(second)) == (b"012", b"34")
    assert bytes(pieces.read(5)) == b"5"
    assert pieces.read_into(6, [memoryview(bytearray(9))]) == 4
    assert bytes(pieces.read(6)) == b"678", "never more than the size that was told"
    assert bytes(pieces.read(9)) == b""
