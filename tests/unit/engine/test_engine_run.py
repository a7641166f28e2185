from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import pytest

from sealboot.engine.journal import unfinished
from sealboot.engine.lock import Claim, Holder, status, take
from sealboot.engine.options import ApplyOptions
from sealboot.model.diagnostic import Diagnostic, Location
from sealboot.model.events import Heartbeat, HostFinished, StepFinished, StepProgress, WaveStarted
from sealboot.model.outcome import HostOutcome
from sealboot.model.plan import Action, Plan, PlannedStep, PlannedWave
from sealboot.model.report import ApplyReport
from sealboot.model.steps import PathExists, ReadSecret, Run, Step, Upload, WaitFor, WriteFile
from sealboot.transport.base import Result

PROGRAM = b"#!/bin/sh\necho tool v2\n"
HANG = Result("timeout", None)


def codes(report: ApplyReport) -> list[str]:
    return [d.code for d in report.diagnostics]


def outcomes(report: ApplyReport) -> dict[str, str]:
    return {row.host: row.outcome.value for row in report.hosts}


def run(node: Any, name: str, script: str, **more: Any) -> Run:
    return Run(
        **{"id": f"{node.host.name}/{name}", "host": node.host.name, "title": name, "script": script, **more}
    )


def touch(node: Any, name: str, **more: Any) -> Run:
    path = node.path(name)
    return run(node, name, f"echo x >>'{path}'", check=PathExists(path), **more)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "tool"
    file.write_bytes(PROGRAM)
    return file


def whole(node: Any, source: Path) -> list[Step]:
    """A small bootstrap: a binary, a config, a step that follows both, a secret, a wait."""
    name = node.host.name
    data = source.read_bytes()
    return [
        Upload(
            id=f"{name}/up",
            host=name,
            title="ship",
            source=str(source),
            sha256=hashlib.sha256(data).hexdigest(),
            size=len(data),
            dest=node.path("bin/tool"),
            smoke='"$1" version',
            smoke_expects=("v2",),
        ),
        WriteFile(id=f"{name}/conf", host=name, title="configure", dest=node.path("conf"), content="a: 1\n"),
        run(node, "restart", f"echo r >>'{node.path('log')}'", only_after=(f"{name}/up", f"{name}/conf")),
        ReadSecret(id=f"{name}/sec", host=name, title="token", script="echo K10secret", into="token"),
        WriteFile(
            id=f"{name}/join",
            host=name,
            title="join",
            dest=node.path("join"),
            content="t: {{ secret.token }}\n",
            secrets=("token",),
        ),
        WaitFor(id=f"{name}/wait", host=name, title="wait", kind="file", target=node.path("log"), timeout=10),
    ]


async def test_a_plan_is_carried_out_and_then_there_is_nothing_to_do(
    rig: Any, nodes: Any, source: Path, plan_of: Any
) -> None:
    one, two = nodes("n1"), nodes("n2")
    plan = plan_of(whole(one, source) + whole(two, source))
    report = await rig.apply(plan, one, two)
    assert outcomes(report) == {"n1": "changed", "n2": "changed"}
    assert report.diagnostics == ()
    assert report.sent == 2 * len(PROGRAM)
    assert [row.changed for row in report.hosts] == [4, 4]
    assert Path(one.path("log")).read_text() == "r\n"
    assert Path(one.path("join")).read_text() == "t: K10secret\n"
    before = {str(p): p.lstat().st_mtime_ns for p in one.root.rglob("*") if "state" not in str(p)}
    sent = one.session.sent
    again = await type(rig)().apply(plan, one, two)
    assert outcomes(again) == {"n1": "ok", "n2": "ok"}
    assert (again.changed, again.sent, again.diagnostics) == (0, 0, ())
    assert one.session.sent == sent
    assert {str(p): p.lstat().st_mtime_ns for p in one.root.rglob("*") if "state" not in str(p)} == before
    assert one.leftovers() == []
    finished = [e for e in rig.events if isinstance(e, StepFinished)]
    assert len(finished) == 12
    assert all(e.at >= 0 and e.seconds >= 0 for e in finished)
    assert [e.outcome for e in rig.events if isinstance(e, HostFinished)] == [HostOutcome.CHANGED] * 2
    assert any(isinstance(e, StepProgress) and e.done == e.total for e in rig.events)


async def test_a_host_that_fails_stops_what_comes_after_it(rig: Any, nodes: Any, plan_of: Any) -> None:
    one, two = nodes("n1"), nodes("n2")
    plan = plan_of([run(one, "bad", "exit 1"), touch(two, "a")], [touch(one, "b"), touch(two, "b")])
    report = await rig.apply(plan, one, two)
    assert outcomes(report) == {"n1": "failed", "n2": "changed"}
    assert codes(report) == ["SB501", "SB510"]
    assert not Path(two.path("b")).exists()
    assert not Path(one.path("b")).exists()


async def test_what_goes_wrong_with_a_step_is_told_with_its_line(rig: Any, nodes: Any, plan_of: Any) -> None:
    here = Location("inventory.yaml", 33, 9)
    node = nodes("n1")
    report = await rig.apply(plan_of([run(node, "bad", "exit 3", at=here), touch(node, "later")]), node)
    assert [(d.code, d.at) for d in report.diagnostics if d.code == "SB501"] == [("SB501", here)]


async def test_others_go_on_while_failures_are_allowed(rig: Any, nodes: Any, plan_of: Any) -> None:
    one, two = nodes("n1"), nodes("n2")
    plan = plan_of([run(one, "bad", "exit 1"), touch(two, "a")], [touch(one, "b"), touch(two, "b")])
    report = await rig.apply(plan, one, two, options=ApplyOptions(max_failures=1))
    assert outcomes(report) == {"n1": "failed", "n2": "changed"}
    assert Path(two.path("b")).exists()
    assert not Path(one.path("b")).exists()


async def test_serial_waves_go_in_order_and_stop_at_the_first_failure(
    rig: Any, nodes: Any, plan_of: Any
) -> None:
    hosts = [nodes(f"n{n}") for n in range(4)]
    log = hosts[0].path("order")
    steps = [run(h, "go", f"echo {h.host.name} >>{log}; [ {h.host.name} != n2 ]") for h in hosts]
    report = await rig.apply(plan_of(steps, parallel=1), *hosts)
    assert Path(log).read_text().split() == ["n0", "n1", "n2"]
    assert outcomes(report) == {"n0": "changed", "n1": "changed", "n2": "failed", "n3": "skipped"}


async def test_waves_are_barriers(rig: Any, nodes: Any, plan_of: Any) -> None:
    one, two = nodes("n1"), nodes("n2")
    log = one.path("order")
    plan = plan_of(
        [run(one, "slow", f"sleep 0.1; echo slow >>{log}"), run(two, "quick", "true")],
        [run(two, "after", f"echo after >>{log}")],
    )
    await rig.apply(plan, one, two)
    assert Path(log).read_text().split() == ["slow", "after"]
    assert [(e.index, e.total) for e in rig.events if isinstance(e, WaveStarted)] == [(1, 2), (2, 2)]


async def test_steps_that_follow_nothing_that_acted_are_left_out(rig: Any, node: Any) -> None:
    conf = WriteFile(id="conf", host="n1", title="c", dest=node.path("conf"), content="a\n")
    follow = run(node, "follow", f"echo r >>'{node.path('log')}'", only_after=("conf",))
    plan = Plan(
        "lab",
        "phases",
        (PlannedWave("w", "w", (PlannedStep(conf, Action.NONE), PlannedStep(follow, Action.DEPENDS))),),
        ("n1",),
    )
    Path(node.path("conf")).write_text("a\n")
    Path(node.path("conf")).chmod(0o644)
    report = await rig.apply(plan, node)
    assert outcomes(report) == {"n1": "ok"}
    assert not Path(node.path("log")).exists()
    Path(node.path("conf")).write_text("drifted\n")
    report = await type(rig)().apply(plan, node)
    assert outcomes(report) == {"n1": "changed"}
    assert Path(node.path("log")).read_text() == "r\n"


async def test_a_secret_read_on_one_host_reaches_another(rig: Any, nodes: Any, plan_of: Any) -> None:
    one, two = nodes("n1"), nodes("n2")
    out = two.path("out")
    plan = plan_of(
        [ReadSecret(id="s", host="n1", title="read", script="echo K10secret-token", into="token")],
        [
            run(
                two,
                "join",
                f'printf %s "$T" >{out}; echo "joined with $T"; exit 1',
                env_secrets={"T": "token"},
            )
        ],
    )
    report = await rig.apply(plan, one, two)
    assert Path(out).read_text() == "K10secret-token"
    assert "K10secret-token" not in rig.redactor(repr(report))


# -- locks ---------------------------------------------------------------------------------------------


async def test_two_applies_at_once_exactly_one_wins(rig: Any, nodes: Any, plan_of: Any) -> None:
    one, two = nodes("n1"), nodes("n2")
    plan = plan_of([run(one, "go", "sleep 0.1"), run(two, "go", "sleep 0.1")])
    first, second = type(rig)(), type(rig)()
    reports = await asyncio.gather(first.apply(plan, one, two), second.apply(plan, one, two))
    assert sorted(outcomes(r)["n1"] for r in reports) == ["changed", "skipped"]
    loser = next(r for r in reports if r.changed == 0)
    assert codes(loser) == ["SB505"]
    assert outcomes(loser) == {"n1": "skipped", "n2": "skipped"}


async def test_waiting_for_a_lock(rig: Any, node: Any, plan_of: Any, claim: Claim) -> None:
    held = await take(node.session, node.paths, claim)
    assert not isinstance(held, (Holder, Diagnostic))
    waiting = asyncio.create_task(
        rig.apply(plan_of([touch(node, "a")]), node, options=ApplyOptions(lock_timeout=30))
    )
    while node.session.calls < 3 and not waiting.done():  # noqa: ASYNC110 (a try was refused)
        await asyncio.sleep(0.01)
    await held.release()
    assert outcomes(await asyncio.wait_for(waiting, 10)) == {"n1": "changed"}
    assert await status(node.session, node.paths) is None


async def test_a_lock_that_stays_held(rig: Any, nodes: Any, plan_of: Any, claim: Claim) -> None:
    one, two = nodes("n1"), nodes("n2")
    held = await take(two.session, two.paths, claim)
    report = await rig.apply(plan_of([touch(one, "a"), touch(two, "a")]), one, two)
    assert outcomes(report) == {"n1": "skipped", "n2": "skipped"}
    assert [d.host for d in report.diagnostics] == ["n2"]
    assert "ops@desk" in report.diagnostics[0].evidence[0][1]
    assert not Path(one.path("a")).exists()
    assert await status(one.session, one.paths) is None
    assert not isinstance(held, (Holder, Diagnostic))
    await held.release()


# -- lost connections ----------------------------------------------------------------------------------


def lose_at(node: Any, word: str, *, after: bool) -> None:
    """The connection of the node's present session breaks at the first call whose script has `word`."""
    session = node.session

    def hook(_number: int, script: str) -> None:
        if word in script and session.lost is None:
            session.drop()

    def before(number: int, script: str) -> Result | None:
        hook(number, script)
        return session.gone() if session.lost is not None else None

    if after:
        session.after = hook
    else:
        session.before = before


@pytest.mark.parametrize("after", [True, False])
async def test_a_step_with_a_check_goes_on_after_a_lost_connection(
    rig: Any, node: Any, plan_of: Any, after: bool
) -> None:
    lose_at(node, "echo x >>", after=after)
    report = await rig.apply(plan_of([touch(node, "a"), touch(node, "b")]), node)
    assert outcomes(report) == {"n1": "changed"}
    assert Path(node.path("a")).read_text() == "x\n"
    assert Path(node.path("b")).exists()
    assert report.diagnostics == ()
    assert await status(node.session, node.paths) is None


async def test_a_step_without_a_check_is_unknown_and_never_repeated(
    rig: Any, node: Any, plan_of: Any
) -> None:
    lose_at(node, "echo once", after=True)
    out = node.path("out")
    report = await rig.apply(plan_of([run(node, "once", f"echo once >>{out}")]), node)
    assert outcomes(report) == {"n1": "unknown"}
    assert codes(report) == ["SB506"]
    assert Path(out).read_text() == "once\n"


async def test_a_host_that_stays_away_is_unknown(rig: Any, node: Any, plan_of: Any) -> None:
    lose_at(node, "echo x >>", after=True)
    away = Diagnostic("SB201", "no route", host="n1")
    report = await rig.apply(plan_of([touch(node, "a")]), node, reconnect=lambda name: away)
    assert outcomes(report) == {"n1": "unknown"}
    assert codes(report) == ["SB506"]
    assert ("cause", "no route") in report.diagnostics[0].evidence


async def test_a_host_lost_before_anything_changed_is_unreachable(rig: Any, node: Any, plan_of: Any) -> None:
    lose_at(node, "sb_path 0", after=False)
    away = Diagnostic("SB201", "no route", host="n1")
    report = await rig.apply(plan_of([touch(node, "a")]), node, reconnect=lambda name: away)
    assert outcomes(report) == {"n1": "unreachable"}
    assert codes(report) == ["SB201"]
    assert not Path(node.path("a")).exists()


async def test_a_changed_host_key_is_not_asked_twice(rig: Any, node: Any, plan_of: Any) -> None:
    lose_at(node, "echo x >>", after=True)
    asked: list[str] = []

    def refuse(name: str) -> Diagnostic:
        asked.append(name)
        return Diagnostic("SB202", "another key", host=name)

    report = await rig.apply(
        plan_of([touch(node, "a")]), node, reconnect=refuse, options=ApplyOptions(reconnect_timeout=60)
    )
    assert outcomes(report) == {"n1": "unknown"}
    assert asked == ["n1"]


async def test_a_detached_step_is_adopted_over_a_lost_connection(rig: Any, node: Any, plan_of: Any) -> None:
    lose_at(node, "sb_until", after=True)
    out = node.path("out")
    step = run(node, "long", f"echo begun >>{out}; sleep 0.1; echo ended >>{out}", detached=True, timeout=20)
    report = await rig.apply(plan_of([step]), node)
    assert outcomes(report) == {"n1": "changed"}
    assert Path(out).read_text() == "begun\nended\n"


async def test_a_transfer_that_breaks_is_done_again(rig: Any, node: Any, plan_of: Any, source: Path) -> None:
    lose_at(node, "put ", after=True)
    report = await rig.apply(plan_of(whole(node, source)), node)
    assert outcomes(report) == {"n1": "changed"}
    assert node.leftovers() == []
    assert Path(node.path("bin/tool")).read_bytes() == PROGRAM


# -- interrupts ----------------------------------------------------------------------------------------


async def test_a_stop_lets_the_running_step_end_and_starts_no_other(
    rig: Any, node: Any, plan_of: Any
) -> None:
    begun = Path(node.path("begun"))
    plan = plan_of(
        [run(node, "slow", f"touch {begun}; sleep 0.3", check=PathExists(str(begun))), touch(node, "b")]
    )
    going = asyncio.create_task(rig.apply(plan, node))
    while not begun.exists():  # noqa: ASYNC110 (another process makes it)
        await asyncio.sleep(0.01)
    rig.engine.stop("SIGINT")
    report = await asyncio.wait_for(going, 5)
    assert outcomes(report) == {"n1": "changed"}
    assert codes(report) == ["SB510"]
    assert report.interrupted == "SIGINT"
    assert not Path(node.path("b")).exists()
    again = await type(rig)().apply(plan, node)
    assert outcomes(again) == {"n1": "changed"}
    assert "SB512" in codes(again)


@pytest.mark.parametrize("abort", [True, False])
async def test_a_stop_does_not_wait_for_hung_hosts(rig: Any, nodes: Any, plan_of: Any, abort: bool) -> None:
    one, two = nodes("n1"), nodes("n2")
    plan = plan_of([touch(one, "a")], [run(one, "hang", "sleep 300"), touch(two, "b")])
    options = ApplyOptions(grace=300.0 if abort else 0.5, reconnect_timeout=0.0)
    going = asyncio.create_task(rig.apply(plan, one, two, options=options))
    while not _ended(rig, "n2/b") or "sleep 300" not in one.session.scripts:  # noqa: ASYNC110 (both are at it)
        await asyncio.sleep(0.01)
    rig.engine.stop("SIGINT")
    if abort:
        rig.engine.abort("SIGINT")
    report = await asyncio.wait_for(going, 60)
    assert outcomes(report) == {"n1": "unknown", "n2": "changed"}
    assert "SB506" in codes(report)


def _ended(rig: Any, step: str) -> bool:
    return any(isinstance(e, StepFinished) and e.step == step for e in rig.events)


async def test_a_hung_host_while_locking_does_not_hold_up_a_stop(rig: Any, node: Any, plan_of: Any) -> None:
    async def never(*args: Any, **kwargs: Any) -> Result:
        await asyncio.Event().wait()
        raise AssertionError

    node.session.hold = never
    going = asyncio.create_task(rig.apply(plan_of([touch(node, "a")]), node))
    await asyncio.sleep(0)
    rig.engine.abort("SIGTERM")
    report = await asyncio.wait_for(going, 5)
    assert outcomes(report) == {"n1": "skipped"}


async def test_a_hung_host_does_not_hold_up_others(rig: Any, nodes: Any, plan_of: Any) -> None:
    one, two = nodes("n1"), nodes("n2")
    plan = plan_of([run(one, "hang", "sleep 300", timeout=1.0), touch(two, "a"), touch(two, "b")])
    report = await rig.apply(plan, one, two, options=ApplyOptions(max_failures=1))
    assert outcomes(report) == {"n1": "failed", "n2": "changed"}
    assert codes(report) == ["SB507"]
    ends = [e for e in rig.events if isinstance(e, StepFinished)]
    assert [e.host for e in ends] == ["n2", "n2", "n1"]


async def test_silence_is_broken_by_a_heartbeat(rig: Any, node: Any, plan_of: Any) -> None:
    plan = plan_of([run(node, "slow", "sleep 0.4")])
    await rig.apply(plan, node, options=ApplyOptions(heartbeat=0.1))
    beats = [e for e in rig.events if isinstance(e, Heartbeat)]
    assert beats
    assert (("n1", "slow"),) in [b.busy for b in beats]


# -- resuming ------------------------------------------------------------------------------------------


async def test_a_step_that_is_owed_from_a_cut_off_run_is_done(
    rig: Any, node: Any, plan_of: Any, source: Path
) -> None:
    steps = whole(node, source)
    lose_at(node, "echo r >>", after=False)
    away = Diagnostic("SB201", "no route", host="n1")
    first = await rig.apply(plan_of(steps), node, reconnect=lambda name: away)
    assert outcomes(first) == {"n1": "unknown"}
    assert not Path(node.path("log")).exists()
    noted = await unfinished({"n1": node.fresh()}, "lab", {"n1": node.host})
    assert [d.code for d in noted] == ["SB512"]
    second = await type(rig)().apply(plan_of(steps), node)
    assert outcomes(second) == {"n1": "changed"}
    assert "SB512" in codes(second)
    assert "stopped at step n1/restart (started)" in second.diagnostics[0].summary
    assert Path(node.path("log")).read_text() == "r\n"
    assert await unfinished({"n1": node.session}, "lab", {"n1": node.host}) == ()
    third = await type(rig)().apply(plan_of(steps), node)
    assert (outcomes(third), third.diagnostics) == ({"n1": "ok"}, ())


async def test_a_host_without_a_session_is_unreachable(rig: Any, nodes: Any, plan_of: Any) -> None:
    one, two = nodes("n1"), nodes("n2")
    report = await rig.apply(plan_of([touch(one, "a"), touch(two, "a")]), one)
    assert outcomes(report) == {"n1": "changed", "n2": "unreachable"}


async def test_a_sink_that_raises_does_not_stop_a_run(rig: Any, node: Any, plan_of: Any) -> None:
    class Broken(list[Any]):
        def append(self, _event: Any) -> None:
            raise RuntimeError("no paper")

    rig.events = Broken()
    assert outcomes(await rig.apply(plan_of([touch(node, "a")]), node)) == {"n1": "changed"}
