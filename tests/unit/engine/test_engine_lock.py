from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from requires import program_path

from sealboot.engine.jobs import job_key, job_state, run_detached
from sealboot.engine.lock import Claim, Holder, busy, release, retake, status, take
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.steps import Run
from sealboot.transport.base import Result

OTHER = Claim("run2", "eve@lap, pid 9", "apply")


@pytest.fixture(params=["flock", "busybox", "link"])
def host(node: Any, request: pytest.FixtureRequest) -> Any:
    """A node with util-linux's flock, with busybox's, and with none."""
    if request.param != "flock":
        folder = node.root / "bin"
        folder.mkdir()
        for name in (
            *("cat", "mkdir", "mv", "rm", "grep", "sync", "sh", "ln", "date", "sed", "sleep", "sha256sum"),
            *("setsid", "tail", "true", "stat", "tr", "head", "chmod"),
            *(["busybox"] if request.param == "busybox" else []),
        ):
            (folder / name).symlink_to(program_path(name))
        node.session.path = str(folder)
    return node


async def test_one_holds_and_the_other_is_told_who(host: Any, claim: Claim) -> None:
    assert await status(host.session, host.paths) is None
    held = await take(host.session, host.paths, claim)
    assert not isinstance(held, (Holder, Diagnostic))
    refused = await take(host.fresh(), host.paths, OTHER)
    assert isinstance(refused, Holder)
    assert (refused.run, refused.who, refused.command) == ("run1", "ops@desk, pid 7", "apply")
    assert refused.from_address == "192.0.2.7"
    assert refused.since.endswith("Z")
    found = busy("n1", refused)
    assert found.code == "SB505"
    assert "ops@desk, pid 7, from 192.0.2.7, run run1" in found.evidence[0][1]
    assert await status(host.session, host.paths) == refused
    await held.release()
    assert await status(host.session, host.paths) is None
    again = await take(host.session, host.paths, OTHER)
    assert not isinstance(again, (Holder, Diagnostic))
    await again.release()


async def test_a_killed_holder_frees_the_lock(host: Any, claim: Claim) -> None:
    held: Any = await take(host.session, host.paths, claim)
    os.killpg(held.process.pid, signal.SIGKILL)
    await held.process.wait()
    assert await status(host.session, host.paths) is None
    again = await take(host.fresh(), host.paths, OTHER)
    assert not isinstance(again, (Holder, Diagnostic))
    await again.release()


async def test_of_many_at_once_exactly_one_wins(host: Any) -> None:
    sessions = [host.fresh() for _ in range(6)]
    claims = [Claim(f"r{n}", "somebody", "apply") for n in range(6)]
    got = await asyncio.gather(*(take(s, host.paths, c) for s, c in zip(sessions, claims, strict=True)))
    assert sum(not isinstance(g, (Holder, Diagnostic)) for g in got) == 1
    for held in got:
        if not isinstance(held, (Holder, Diagnostic)):
            await held.release()


async def test_release_needs_the_holders_own_run_id(host: Any, claim: Claim) -> None:
    held: Any = await take(host.session, host.paths, claim)
    wrong = await release(host.fresh(), host.paths, "run9")
    assert wrong is not None
    assert wrong.code == "SB517"
    assert (await release(host.session, host.paths, "x; rm") or wrong).summary.endswith("no run id")
    assert held.alive
    assert await release(host.session, host.paths, "run1") is None
    await asyncio.wait_for(held.process.wait(), 5)
    assert await status(host.session, host.paths) is None


async def test_the_same_run_takes_its_lock_over(host: Any, claim: Claim) -> None:
    first: Any = await take(host.session, host.paths, claim)
    second = await retake(host.fresh(), host.paths, claim)
    assert not isinstance(second, (Holder, Diagnostic))
    await asyncio.wait_for(first.process.wait(), 5)
    await second.release()


async def test_a_detached_job_keeps_the_host_busy_but_not_for_its_own_plan(
    host: Any, work_of: Any, claim: Claim
) -> None:
    gate = host.root / "gate"
    os.mkfifo(gate)
    step = Run(id="long", host="n1", title="a long one", script=f"read -r x <'{gate}'", detached=True)
    work = work_of(host)
    work.claim = claim.text
    waiting = asyncio.create_task(run_detached(work, step, ""))
    while await job_state(work, step) != "running":  # noqa: ASYNC110 (another process decides)
        await asyncio.sleep(0.02)
    refused = await take(host.fresh(), host.paths, OTHER)
    assert isinstance(refused, Holder)
    assert (refused.job, refused.run) == ("a long one", "run1")
    seen = await status(host.session, host.paths)
    assert isinstance(seen, Holder)
    assert seen.job == "a long one"
    adopted = await take(host.session, host.paths, OTHER, [job_key(step)])
    assert not isinstance(adopted, (Holder, Diagnostic))
    await adopted.release()
    await asyncio.to_thread(gate.write_text, "go\n")
    assert (await asyncio.wait_for(waiting, 10)).result == "changed"
    assert await status(host.session, host.paths) is None


async def test_a_daemon_that_a_job_left_behind_does_not_hold_the_host(
    host: Any, work_of: Any, claim: Claim
) -> None:
    pid = host.root / "pid"
    script = f"sleep 60 & echo $! >'{pid}'"
    step = Run(id="daemon", host="n1", title="starts a daemon", script=script, detached=True)
    end = await run_detached(work_of(host), step, "")
    try:
        assert end.result == "changed"
        held = await take(host.session, host.paths, claim)
        assert not isinstance(held, (Holder, Diagnostic))
        await held.release()
    finally:
        os.kill(int(pid.read_text()), signal.SIGKILL)


async def test_a_state_directory_that_cannot_be_made(node: Any, claim: Claim) -> None:
    Path(node.paths.state).write_text("a file")
    found = await take(node.session, node.paths, claim)
    assert isinstance(found, Diagnostic)
    assert found.code == "SB516"


async def test_a_holder_that_lies_is_cut_short(node: Any) -> None:
    node.session.before = lambda number, script: Result(
        "exited", 0, b"state=held\nwho=" + b"x" * 9999 + b"\nrun=\xff\n"
    )
    seen = await status(node.session, node.paths)
    assert isinstance(seen, Holder)
    assert len(seen.who) == 200
    assert seen.run == "\\xff"
