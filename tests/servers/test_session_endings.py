"""How scripts end on real servers: by themselves, late, too loud, cut off."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncssh
import pytest
from session_kit import command_lines, eventually, folder, parent_of, running, session
from sshd_kit import Server, User, dropbear, openssh

from sealboot.model.secret import Secret
from sealboot.transport.base import Result
from sealboot.transport.channel import Conversation
from sealboot.transport.hold import HeldScript
from sealboot.transport.session import SshPipe, SshSession

USERS = (User("ops"),)


@dataclass(frozen=True)
class Node:
    """A server and the ciphers that it can do."""

    server: Server
    ciphers: tuple[str, ...]

    @asynccontextmanager
    async def login(self, user: str = "ops") -> AsyncIterator[SshSession]:
        """A session of this user."""
        async with session(self.server, user, ciphers=self.ciphers) as ssh:
            yield ssh


@pytest.fixture(scope="module", params=["openssh", "dropbear"])
def node(request: pytest.FixtureRequest) -> Iterator[Node]:
    start = openssh if request.param == "openssh" else dropbear
    with folder() as place, start(place, users=USERS) as server:
        yield Node(server, ("aes128-gcm@openssh.com", "aes128-ctr"))


async def test_any_bytes_come_back_and_the_connection_lives_on(node: Node) -> None:
    async with node.login() as ssh:
        result = await ssh.run("printf '\\377\\376\\033[2J\\000x'; printf '\\301' >&2", timeout=20)
        assert result.ok
        assert result.stdout == b"\xff\xfe\x1b[2J\0x"
        assert result.stderr == b"\xc1"
        assert (await ssh.run("true", timeout=20)).ok
        assert ssh.lost is None


async def test_standard_input_is_the_scripts_own(node: Node) -> None:
    data = bytes(range(256)) * 3000
    async with node.login() as ssh:
        assert (await ssh.run("cat", stdin=data, timeout=20)).stdout == data
        assert (await ssh.run("cat; echo end", timeout=20)).stdout == b"end\n"


async def test_a_killed_shell_is_never_a_success(node: Node) -> None:
    async with node.login() as ssh:
        result = await ssh.run("kill -9 $$; sleep 1", timeout=20)
    assert result.ending == "lost"
    assert not result.ok
    assert result.diagnostic is not None
    assert result.diagnostic.code == "SB506"


@pytest.mark.parametrize("stdin", [b"", b"something"])
async def test_a_deadline_ends_everything_the_script_started(node: Node, stdin: bytes) -> None:
    script = "sleep 7411 & (trap '' TERM; sleep 7412; sleep 7413) & cat >/dev/null; sleep 7414"
    async with node.login() as ssh:
        late = asyncio.ensure_future(ssh.run(script, stdin=stdin, timeout=1.5))
        await eventually(lambda: running(node.server, "sleep\x007411"))
        result = await late
        assert result.ending == "timeout"
        assert result.exit_status is None
        assert 1.4 < result.seconds < 4
        # With its own standard input the script is told by a signal, and by the host's timer for the rest.
        await eventually(lambda: not running(node.server, "sleep\x0074"), 20)
        assert (await ssh.run("true", timeout=20)).ok, "the connection is still good"


async def test_cancelling_a_call_ends_its_script(node: Node) -> None:
    async with node.login() as ssh:
        call = asyncio.ensure_future(ssh.run("sleep 7421; true", timeout=100))
        await eventually(lambda: running(node.server, "sleep\x007421"))
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await eventually(lambda: not running(node.server, "sleep\x007421"))


async def test_a_detached_job_outlives_the_deadline(node: Node) -> None:
    script = "setsid sleep 7431 </dev/null >/dev/null 2>&1 & sleep 7432"
    async with node.login() as ssh:
        assert (await ssh.run(script, timeout=1.0)).ending == "timeout"
        await eventually(lambda: not running(node.server, "sleep\x007432"))
        (survivor,) = running(node.server, "sleep\x007431")
    os.kill(survivor, signal.SIGKILL)


async def test_nothing_of_the_protocol_stays_behind(node: Node) -> None:
    async with node.login() as ssh:
        assert (await ssh.run("true", timeout=20)).ok
        before = set(command_lines(node.server))
        for _ in range(5):
            assert (await ssh.run("true", timeout=300)).ok
        await eventually(lambda: set(command_lines(node.server)) <= before)


async def test_endless_output_is_stopped_at_the_limit(node: Node) -> None:
    async with node.login() as ssh:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        result = await ssh.run("yes 7441 | cat", timeout=30, limit=100_000)
        assert result.ending == "overflow"
        assert len(result.stdout) == 100_000
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown < 32 * 1024, "KiB: the window stops the sender"
        await eventually(lambda: not running(node.server, "yes\x007441"))
        assert (await ssh.run("true", timeout=20)).ok


async def test_the_limit_itself_still_fits(node: Node) -> None:
    async with node.login() as ssh:
        result = await ssh.run("head -c 5000 /dev/zero", timeout=20, limit=5000)
        assert result.ok
        assert len(result.stdout) == 5000
        assert (await ssh.run("head -c 5001 /dev/zero >&2", timeout=20, limit=5000)).ending == "overflow"


async def test_thirty_scripts_at_once_on_one_connection(node: Node) -> None:
    async with node.login() as ssh:
        results = await asyncio.gather(*(ssh.run('echo "$1"', args=(str(n),), timeout=60) for n in range(30)))
    assert [r for r in results if not r.ok] == []
    assert [r.text.strip() for r in results] == [str(n) for n in range(30)]


async def test_a_held_script_lives_until_it_is_released(node: Node) -> None:
    async with node.login() as ssh:
        lock = f"{node.server.homes['ops']}/lock"
        script = 'exec 9>"$1"; flock -n 9 || exit 75; echo held; cat >/dev/null'
        hold = await ssh.hold(script, args=(lock,), ready="held", timeout=20)
        assert isinstance(hold, HeldScript)
        assert hold.alive
        second = await ssh.hold(script, args=(lock,), ready="held", timeout=20)
        assert isinstance(second, Result)
        assert second.exit_status == 75
        await hold.release()
        assert [hold.alive] == [False]
        third = await ssh.hold(script, args=(lock,), ready="held", timeout=20)
        assert isinstance(third, HeldScript)
        await third.release()


async def test_a_hold_dies_with_the_connection_and_says_so(node: Node) -> None:
    async with node.login() as ssh:
        hold = await ssh.hold("echo held; exec cat -u -", ready="held", timeout=20)
        assert isinstance(hold, HeldScript)
        # "held" is said before the shell becomes `cat`.
        await eventually(lambda: len(running(node.server, "cat\x00-u")) == 1)
        (pid,) = running(node.server, "cat\x00-u")
        os.kill(_connection_of(node.server, pid), signal.SIGKILL)
        await eventually(lambda: not hold.alive)
        assert ssh.lost is not None
        assert ssh.lost.code == "SB506"
        await eventually(lambda: not running(node.server, "cat\x00-u"))


async def test_a_lost_connection_is_never_a_success_and_ends_every_call(node: Node) -> None:
    async with node.login() as ssh:
        call = asyncio.ensure_future(ssh.run("sleep 7451; true", timeout=100))
        await eventually(lambda: running(node.server, "sleep\x007451"))
        os.kill(_connection_of(node.server, running(node.server, "sleep\x007451")[-1]), signal.SIGKILL)
        result = await asyncio.wait_for(call, 10)
        assert result.ending == "lost"
        assert result.exit_status is None
        assert result.diagnostic is not None
        assert result.diagnostic.code == "SB506"
        await eventually(lambda: ssh.lost is not None)
        assert (await ssh.run("true", timeout=20)).ending == "lost"
        assert (await ssh.put(b"x", "/tmp/never")).result.ending == "lost"
        await eventually(lambda: not running(node.server, "sleep\x007451"))


def _connection_of(server: Server, pid: int) -> int:
    """The server process that serves the connection under which `pid` runs."""
    lines = command_lines(server)
    while b"sshd" not in lines.get(pid, b"") and b"dropbear" not in lines.get(pid, b""):
        pid = parent_of(pid)
    return pid


async def test_no_secret_is_in_any_process_list_or_result(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    secret = "c0nary-s3cret-value"
    async with node.login() as ssh:
        script = 'n=${#TOKEN}; while [ ! -e "$1/go" ]; do sleep 0.05; done; echo "$n"'
        home = node.server.homes["ops"]
        call = asyncio.ensure_future(
            ssh.run(script, args=(str(home),), env={"TOKEN": Secret(secret)}, timeout=30)
        )
        await eventually(lambda: running(node.server, "sleep\x000.05"))
        seen = b"\n".join(command_lines(node.server).values())
        (home / "go").touch()
        result = await call
        (home / "go").unlink()
    assert result.stdout == f"{len(secret)}\n".encode()
    assert secret.encode() not in seen
    assert b"exec /bin/sh -c" in seen or b"/bin/sh\x00-s" in seen
    assert secret not in repr(result)
    assert secret not in caplog.text
    assert secret not in node.server.log_text()


async def test_fewer_sessions_than_we_would_use() -> None:
    with folder() as place, openssh(place, config="MaxSessions 2") as server:
        async with session(server) as ssh:
            hold = await ssh.hold("echo held; cat >/dev/null", ready="held", timeout=20)
            assert isinstance(hold, HeldScript)
            results = await asyncio.gather(*(ssh.run("true", timeout=60) for _ in range(6)))
            assert [r.ending for r in results] == ["exited"] * 6
            await hold.release()


async def test_no_session_at_all_is_an_answer() -> None:
    with folder() as place, openssh(place, config="MaxSessions 0") as server:
        async with session(server) as ssh:
            result = await ssh.run("true", timeout=20)
    assert result.ending == "no-shell"
    assert result.diagnostic is not None
    assert result.diagnostic.code == "SB205"
    assert "refused to open a session" in dict(result.diagnostic.evidence)["said"]


async def test_one_refusal_on_a_connection_that_has_served_is_asked_again(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """dropbear refuses one channel in thousands when many end at once; that is no account without a shell."""
    async with node.login() as ssh:
        assert (await ssh.run("true", timeout=20)).ok
        create, refusals = SshSession._create, [asyncssh.ChannelOpenError(1, "Session request failed")]

        async def hiccup(self: SshSession, talk: Conversation) -> SshPipe:
            if refusals:
                raise refusals.pop()
            return await create(self, talk)

        monkeypatch.setattr(SshSession, "_create", hiccup)
        assert (await ssh.run("echo again", timeout=20)).text == "again\n"
        assert refusals == []
