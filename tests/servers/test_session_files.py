"""Files on their way to real servers: whole, cut off, unwanted, too large."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from session_kit import command_lines, eventually, folder, parent_of, running, session
from sshd_kit import Server, User, openssh

DATA = os.urandom(1 << 20) * 8
DIGEST = hashlib.sha256(DATA).hexdigest()

# A file system of 4 MB.
SETUP = """
mkdir -p /run/small
mount -t tmpfs -o size=4m,mode=1777 tmpfs /run/small
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    # No Subsystem line: files never need SFTP.
    with folder() as place, openssh(place, users=[User("ops")], setup=SETUP, sftp=False) as started:
        yield started


async def test_a_file_arrives_whole_with_its_mode_hashed_there(server: Server, tmp_path: Path) -> None:
    source = tmp_path / "file"
    source.write_bytes(DATA)
    dest = server.homes["ops"] / "it's a $file"
    steps: list[int] = []
    async with session(server, "ops") as ssh:
        put = await ssh.put(source, str(dest), mode=0o755, progress=steps.append)
    assert put.result.ok, put.result
    assert (put.sha256, put.sent) == (DIGEST, len(DATA))
    assert dest.read_bytes() == DATA
    assert dest.stat().st_mode & 0o7777 == 0o755
    assert steps == sorted(set(steps))
    assert steps[-1] == len(DATA)
    assert len(steps) > 3


@pytest.mark.parametrize("size", [0, 1, 256 * 1024, 256 * 1024 + 1])
async def test_sizes_at_the_edges(server: Server, size: int) -> None:
    dest = server.homes["ops"] / f"edge-{size}"
    async with session(server, "ops") as ssh:
        put = await ssh.put(DATA[:size], str(dest))
    assert put.sha256 == hashlib.sha256(DATA[:size]).hexdigest()
    assert dest.stat().st_size == size
    assert dest.stat().st_mode & 0o7777 == 0o600


@pytest.mark.parametrize("kind", ["file", "symlink", "dangling", "fifo", "directory"])
async def test_what_exists_is_never_touched(server: Server, kind: str) -> None:
    home = server.homes["ops"]
    dest, victim = home / f"there-{kind}", home / f"victim-{kind}"
    if kind == "file":
        dest.write_bytes(b"old")
    elif kind == "fifo":
        os.mkfifo(dest)
    elif kind == "directory":
        dest.mkdir()
    else:
        if kind == "symlink":
            victim.write_bytes(b"old")
        dest.symlink_to(victim)
    async with session(server, "root") as ssh:
        put = await ssh.put(b"new", str(dest))
    assert put.result.ending == "exited"
    assert put.result.exit_status == 73
    assert put.sha256 == ""
    assert "exists already" in put.result.error_text
    if kind == "file":
        assert dest.read_bytes() == b"old"
    assert victim.exists() == (kind == "symlink")


async def test_a_folder_that_is_missing_or_closed_is_named(server: Server) -> None:
    async with session(server, "ops") as ssh:
        missing = await ssh.put(b"x", "/run/nowhere/file")
        closed = await ssh.put(b"x", "/etc/sealboot-never")
    assert missing.result.exit_status == 74
    assert "/run/nowhere/file" in missing.result.error_text
    assert closed.result.exit_status == 74
    assert "Permission denied" in closed.result.error_text


async def test_a_full_disk_ends_the_transfer_with_what_is_free(server: Server) -> None:
    async with session(server, "ops") as ssh:
        put = await ssh.put(DATA * 4, "/run/small/file")
        assert put.result.ending == "exited"
        assert put.result.exit_status == 75
        assert put.sha256 == ""
        assert put.sent < 4 * len(DATA), "the rest is not sent to a host that cannot take it"
        assert "No space left on device" in put.result.error_text
        assert f"{4 * len(DATA)} bytes are needed" in put.result.error_text
        assert "/run/small" in put.result.error_text, "df names the file system"
        # The half file is the engine's to remove.
        assert (await ssh.run("rm /run/small/file", timeout=20)).ok


async def test_a_connection_cut_in_the_middle_is_lost_and_leaves_no_whole_file(server: Server) -> None:
    dest = server.homes["ops"] / "cut"
    cut = asyncio.Event()

    def progress(sent: int) -> None:
        if sent > len(DATA):
            cut.set()

    async with session(server, "ops") as ssh:
        putting = asyncio.ensure_future(ssh.put(DATA * 20, str(dest), progress=progress))
        await cut.wait()
        lines = command_lines(server)
        (serving,) = (pid for pid, line in lines.items() if line.startswith(b"sshd: ops@notty"))
        os.kill(serving, signal.SIGKILL)
        put = await asyncio.wait_for(putting, 20)
        assert put.result.ending == "lost"
        assert put.result.diagnostic is not None
        assert put.result.diagnostic.code == "SB506"
        assert put.sha256 == ""
        assert len(DATA) < put.sent < 20 * len(DATA)
        assert ssh.lost is not None
    await eventually(lambda: not running(server, "cat"))
    assert dest.stat().st_size < 20 * len(DATA)
    assert dest.stat().st_mode & 0o777 == 0o600, "the final mode is for whole files only"


async def test_a_host_that_takes_nothing_more_stalls_the_transfer(server: Server) -> None:
    async with session(server, "ops") as ssh:
        stopped: list[int] = []

        def progress(sent: int) -> None:
            for pid in [] if stopped else running(server, "cat\0"):
                if b"sh" in command_lines(server).get(parent_of(pid), b""):
                    os.kill(pid, signal.SIGSTOP)
                    stopped.append(pid)

        put = await ssh.put(DATA * 20, f"{server.homes['ops']}/stalled", stall=1.0, progress=progress)
        assert stopped
        assert put.result.ending == "timeout"
        assert put.sha256 == ""
        assert put.sent < 20 * len(DATA)
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        assert (await ssh.run("true", timeout=20)).ok, "the connection is still good"


@pytest.mark.parametrize("tools", [("shasum",), ("openssl",), ("busybox",), ()])
async def test_hosts_without_sha256sum(server: Server, tools: tuple[str, ...]) -> None:
    """The chain down to reading the file back."""
    kind = "-".join(tools) or "none"
    hide = " ".join(f"/usr/bin/{t}" for t in ("sha256sum", "shasum", "openssl", "busybox") if t not in tools)
    with folder() as place:
        setup = f"for t in {hide}; do [ ! -e $t ] || mount --bind /dev/null $t; done\n"
        with openssh(place, users=[User("ops")], setup=setup) as poor:
            async with session(poor, "ops") as ssh:
                found = await ssh.run("command -v sha256sum", timeout=20)
                assert found.exit_status != 0
                put = await ssh.put(DATA, f"{poor.homes['ops']}/{kind}", mode=0o644)
    assert put.result.ok, put.result
    assert put.sha256 == DIGEST


async def test_a_source_that_shrinks_is_noticed(server: Server, tmp_path: Path) -> None:
    source = tmp_path / "shrinking"
    source.write_bytes(DATA * 8)

    def progress(sent: int) -> None:
        os.truncate(source, len(DATA))

    async with session(server, "ops") as ssh:
        put = await ssh.put(source, f"{server.homes['ops']}/shrunk", progress=progress)
    assert put.result.exit_status == 76
    assert f"of {8 * len(DATA)} bytes arrived" in put.result.error_text
    assert put.sha256 == ""


async def test_eight_files_at_once_on_one_connection(server: Server) -> None:
    home = server.homes["ops"]
    async with session(server, "ops") as ssh:
        puts = await asyncio.gather(*(ssh.put(DATA[n:], str(home / f"many-{n}")) for n in range(12)))
    assert [p.sha256 for p in puts] == [hashlib.sha256(DATA[n:]).hexdigest() for n in range(12)]
