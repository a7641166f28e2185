"""A host that leaves its system, and hosts that do not: told apart from outside."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sealboot.engine import handover as module
from sealboot.engine.handover import as_job, hand_over
from sealboot.engine.jobs import job_key
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.outcome import HostOutcome
from sealboot.model.steps import Handover, Run
from sealboot.transport.base import Greeting, Result

PORT = 50000
TALOS = Greeting("a2V5", "h2")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.02)
    monkeypatch.setattr(module, "LOOK_PAUSE", 0.05)


def leave(script: str = "true", **more: Any) -> Handover:
    return Handover(
        **{
            "id": "h",
            "host": "n1",
            "title": "leave",
            "script": script,
            "port": PORT,
            "timeout": 5.0,
            "alpn": ("h2",),
            **more,
        }
    )


class Outside:
    """What the controller sees of the host: scripted knocks, and whether SSH still answers."""

    def __init__(self, node: Any, *knocks: Greeting | str) -> None:
        self.node = node
        self.knocks: Iterator[Greeting | str] = iter(knocks)
        self.last: Greeting | str = "connection refused"
        self.asked: list[tuple[str, int, tuple[str, ...] | None]] = []
        self.ssh: Callable[[], Any] = lambda: Diagnostic("SB201", "refused", host=node.host.name)
        self.logins = 0

    async def knock(self, name: str, port: int, alpn: tuple[str, ...] | None) -> Greeting | str:
        self.asked.append((name, port, alpn))
        self.last = next(self.knocks, self.last)
        return self.last

    async def reconnect(self, name: str) -> Any:
        del name
        self.logins += 1
        return self.ssh()


async def until(fact: Callable[[], bool]) -> None:
    for _ in range(1000):
        if fact():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it never came")


def prepared(work: Any, outside: Outside) -> Any:
    return replace(work, knock=outside.knock, reconnect=outside.reconnect)


def drops_when_started(node: Any) -> None:
    """The machine is gone as soon as the script began: its reply never comes."""

    def after(_number: int, script: str) -> None:
        if "sb_payload" in script:
            node.session.drop("connection reset by peer")

    node.session.after = after


async def test_a_host_that_leaves_and_answers_elsewhere(node: Any, work: Any) -> None:
    drops_when_started(node)
    outside = Outside(node, "connection refused", "no answer", "no answer", TALOS)
    here = prepared(work, outside)
    end = await hand_over(here, leave())
    assert end.result == "changed"
    assert end.diagnostic is not None
    assert (end.diagnostic.code, end.diagnostic.evidence) == ("SB522", (("key", "SHA256:a2V5"),))
    assert outside.asked[0] == ("n1", PORT, ("h2",))
    assert outside.logins >= 1, "the port alone proves nothing: SSH was asked as well"


async def test_what_answered_before_is_no_sign_and_another_key_is(node: Any, work: Any) -> None:
    drops_when_started(node)
    old = Greeting("b2xk", "h2")
    outside = Outside(node, old, old, old, TALOS)
    end = await hand_over(prepared(work, outside), leave())
    assert end.result == "changed"
    outside = Outside(node, old, old, old)
    node.fresh()
    drops_when_started(node)
    end = await hand_over(prepared(replace(work, session=node.session), outside), leave(timeout=0.3))
    assert end.result == "unknown"
    assert end.diagnostic is not None
    assert end.diagnostic.evidence[0] == ("port 50000", "it is the one that answered before")


async def test_a_port_of_the_old_system_is_not_taken_for_the_new_one(node: Any, work: Any) -> None:
    """The script itself opens the port, and the old system goes on answering SSH."""
    outside = Outside(node, "connection refused", TALOS)
    end = await hand_over(prepared(work, outside), leave(timeout=0.3))
    assert end.result == "failed"
    assert end.diagnostic is not None
    assert end.diagnostic.code == "SB520"
    assert "the old system still runs" in end.diagnostic.summary
    assert ("script", "ended 0") in end.diagnostic.evidence


async def test_a_script_that_fails_ends_it_at_once_with_its_words(node: Any, work: Any) -> None:
    step = leave("echo 'kexec_core: nothing is loaded' >&2; exit 65", timeout=60.0)
    async with asyncio.timeout(10):
        end = await hand_over(prepared(work, Outside(node)), step)
    assert end.result == "failed"
    assert end.diagnostic is not None
    assert end.diagnostic.code == "SB520"
    assert "exit status 65" in end.diagnostic.summary
    assert ("log", "kexec_core: nothing is loaded") in end.diagnostic.evidence


async def test_a_host_that_stays_away_is_unknown(node: Any, work: Any) -> None:
    drops_when_started(node)
    outside = Outside(node, "connection refused", "no route to host")
    end = await hand_over(prepared(work, outside), leave(timeout=0.3))
    assert end.result == "unknown"
    assert end.diagnostic is not None
    assert end.diagnostic.code == "SB521"
    assert dict(end.diagnostic.evidence) == {"port 50000": "no route to host", "ssh": "refused"}


async def test_a_connection_that_broke_by_itself_is_made_anew(node: Any, work: Any) -> None:
    drops_when_started(node)
    outside = Outside(node)
    outside.ssh = node.fresh
    end = await hand_over(prepared(work, outside), leave("sleep 0.1; exit 3", timeout=20.0))
    assert end.result == "failed"
    assert end.diagnostic is not None
    assert "exit status 3" in end.diagnostic.summary
    assert outside.logins == 1


async def test_a_machine_that_came_back_as_itself(node: Any, work: Any) -> None:
    drops_when_started(node)
    outside = Outside(node)

    def another_boot() -> Any:
        made = node.fresh()
        made.before = lambda number, script: (
            Result("exited", 0, b"another-boot\n") if script == module._BOOT else None
        )
        return made

    outside.ssh = another_boot
    end = await hand_over(prepared(work, outside), leave(timeout=0.3))
    assert end.result == "failed"
    assert end.diagnostic is not None
    assert "into a system with SSH" in end.diagnostic.summary


async def test_a_changed_host_key_is_not_asked_again(node: Any, work: Any) -> None:
    drops_when_started(node)
    outside = Outside(node)
    outside.ssh = lambda: Diagnostic("SB202", "another key", host="n1")
    end = await hand_over(prepared(work, outside), leave(timeout=0.4))
    assert end.result == "unknown"
    assert outside.logins <= 2, "once beside the knocking, once at the deadline"


async def test_a_plain_port_is_expected_without_tls(node: Any, work: Any) -> None:
    drops_when_started(node)
    outside = Outside(node, "connection refused", Greeting())
    end = await hand_over(prepared(work, outside), leave(expects="tcp"))
    assert end.result == "changed"
    assert outside.asked[0][2] is None


# -- as part of a run -------------------------------------------------------------------------------


async def test_the_lock_goes_and_nothing_more_is_written_there(rig: Any, node: Any, plan_of: Any) -> None:
    drops_when_started(node)
    outside = Outside(node, "connection refused", TALOS)
    before = Run(id="r", host="n1", title="r", script=f"touch {node.path('loaded')}")
    report = await rig.apply(
        plan_of((before,), (leave(),)), node, reconnect=lambda _: outside.ssh(), knock=outside.knock
    )
    assert [(h.outcome, h.changed) for h in report.hosts] == [(HostOutcome.CHANGED, 2)]
    assert [d.code for d in report.diagnostics] == ["SB522"]
    assert all(not hold.alive for hold in node.session.holds)
    assert "finished" not in Path(node.paths.journal).read_text()


async def test_a_handover_that_still_runs_is_not_begun_twice(node: Any, work: Any) -> None:
    """The controller was killed after the script began: the next one waits for the same script."""
    times, go = Path(node.path("times")), Path(node.path("go"))
    step = leave(f"echo x >>{times}; while [ ! -e {go} ]; do sleep 0.05; done; exit 9", timeout=30.0)
    first = asyncio.create_task(hand_over(prepared(work, Outside(node)), step))
    await until(times.exists)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    again = prepared(replace(work, session=node.fresh()), Outside(node))
    second = asyncio.create_task(hand_over(again, step))
    await until(lambda: any("sb_payload" in script for script in again.session.scripts))
    go.touch()
    end = await second
    assert end.diagnostic is not None
    assert "exit status 9" in end.diagnostic.summary
    assert times.read_text() == "x\n"


def test_its_job_is_one_that_the_lock_knows() -> None:
    assert job_key(as_job(leave())) == job_key(as_job(leave()))
    assert job_key(as_job(leave())) != job_key(as_job(leave("exec kexec -e")))
