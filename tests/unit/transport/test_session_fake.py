"""The fake is strict: what was not scripted fails, what was scripted must happen."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from sealboot.model.diagnostic import Diagnostic
from sealboot.transport.base import Result, Session
from sealboot.transport.fake import FakeConnector, FakeSession, UnexpectedCallError, failed, ok


async def test_an_unknown_command_fails_loudly() -> None:
    fake = FakeSession("pi01")
    fake.expect("uname", b"Linux\n")
    with pytest.raises(UnexpectedCallError, match=r"pi01 was not told how to answer: run 'rm -rf /'"):
        await fake.run("rm -rf /", timeout=1)


async def test_answers_come_in_the_order_they_were_scripted() -> None:
    fake = FakeSession("pi01").expect("state", b"first").expect("state", b"second")
    fake.expect(re.compile(r"^exit \d$"), failed(3, b"no"))
    fake.expect(lambda call: call.become, ok(b"root"), times=None)
    assert (await fake.run("state", timeout=1)).stdout == b"first"
    assert (await fake.run("state", timeout=1)).stdout == b"second"
    result = await fake.run("exit 3", timeout=1)
    assert (result.exit_status, result.stderr) == (3, b"no")
    for _ in range(3):
        assert (await fake.run("anything", become=True, timeout=1)).stdout == b"root"
    fake.verify()
    with pytest.raises(UnexpectedCallError):
        await fake.run("state", timeout=1)
    assert [c.script for c in fake.calls] == ["state", "state", "exit 3", *["anything"] * 3, "state"]


async def test_what_was_never_asked_is_a_failure_too() -> None:
    fake = FakeSession("pi01").expect("reboot", times=2).expect("optional", times=None)
    await fake.run("reboot", timeout=1)
    with pytest.raises(AssertionError, match=r"never asked: run 'reboot' \(1 more\)"):
        fake.verify()


async def test_calls_keep_all_they_were_given() -> None:
    fake = FakeSession("pi01").expect("x")
    await fake.run("x", args=("1",), env={"A": "b"}, stdin=b"in", become=True, timeout=9)
    (call,) = fake.calls
    assert (call.args, dict(call.env), call.stdin, call.become, call.timeout) == (
        ("1",),
        {"A": "b"},
        b"in",
        True,
        9,
    )


async def test_output_above_the_limit_overflows_as_on_a_host() -> None:
    fake = FakeSession("pi01").expect("big", b"x" * 11)
    result = await fake.run("big", timeout=1, limit=10)
    assert (result.ending, len(result.stdout)) == ("overflow", 10)


async def test_files_are_stored_once(tmp_path: Path) -> None:
    source = tmp_path / "f"
    source.write_bytes(b"content")
    seen: list[int] = []
    fake = FakeSession("pi01").expect("/opt/", kind="put", times=None)
    put = await fake.put(source, "/opt/f", mode=0o755, progress=seen.append)
    assert put.sha256 == hashlib.sha256(b"content").hexdigest()
    assert fake.files == {"/opt/f": b"content"}
    assert seen == [7]
    again = await fake.put(b"other", "/opt/f")
    assert again.result.exit_status == 73
    assert fake.files == {"/opt/f": b"content"}
    with pytest.raises(UnexpectedCallError):
        await fake.put(b"x", "/etc/passwd")


async def test_holds_live_until_released_or_lost() -> None:
    fake = FakeSession("pi01").expect("flock", b"held\n", kind="hold", times=2)
    fake.expect("flock", failed(75), kind="hold")
    first = await fake.hold("flock", ready="held", timeout=1)
    second = await fake.hold("flock", ready="held", timeout=1)
    assert not isinstance(first, Result)
    assert not isinstance(second, Result)
    await first.release()
    assert (first.alive, second.alive) == (False, True)
    busy = await fake.hold("flock", ready="held", timeout=1)
    assert isinstance(busy, Result)
    assert busy.exit_status == 75
    fake.lose("reset")
    assert not second.alive
    result = await fake.run("flock", timeout=1)
    assert result.ending == "lost"
    assert result.diagnostic is not None
    assert result.diagnostic.code == "SB506"


async def test_the_connector_hands_out_what_it_was_given() -> None:
    fake = FakeSession("a")
    refusal = Diagnostic("SB201", "unreachable", host="b")
    sessions: dict[str, Session | Diagnostic] = {"a": fake, "b": refusal}
    connector = FakeConnector(sessions)
    assert await connector.connect("a") is fake
    assert await connector.connect("b") is refusal
    with pytest.raises(UnexpectedCallError, match="no session was scripted for c"):
        await connector.connect("c")
    await connector.close()
    assert fake.closed
    assert fake.lost is not None


def as_session(session: Session) -> Session:
    return session


def test_the_fake_keeps_the_protocol() -> None:
    assert as_session(FakeSession("a")).host == "a"


async def test_a_stream_is_recorded_whole_and_its_size_is_held_against_it() -> None:
    fake = FakeSession("pi01").expect("import", b"done", kind="stream")
    seen: list[int] = []
    result = await fake.stream(iter([b"ab", b"c"]), 3, "import", args=("x",), progress=seen.append)
    assert (result.text, seen, fake.calls[0].stdin, fake.calls[0].args) == ("done", [3], b"abc", ("x",))
    with pytest.raises(UnexpectedCallError, match="4 bytes, and there are 3"):
        await fake.stream(iter([b"abc"]), 4, "import")
