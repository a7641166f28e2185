"""Steps on the controller: in a private folder, with nothing of a secret where others could see it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from sealboot.engine import desk as module
from sealboot.engine.desk import Desk, observe_here, seated
from sealboot.engine.steps import act, holds
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.host import BecomeSettings, Host
from sealboot.model.outcome import HostOutcome
from sealboot.model.plan import Observation
from sealboot.model.secret import Secret
from sealboot.model.steps import Handover, Knocks, ReadSecret, Run, Succeeds, WaitFor
from sealboot.transport.base import Greeting
from sealboot.transport.local import LocalSession

KEY = "-----BEGIN KEY----- very secret"
SILENT = Host("n1", "192.0.2.1", "node", become=BecomeSettings(method="none"))


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own place in memory."""
    folder = tmp_path / "runtime"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    return folder


@pytest.fixture
def place(tmp_path: Path) -> Desk:
    return Desk(LocalSession, tmp_path / "desk")


@pytest.fixture
async def here(work: Any) -> Any:
    """Work as it is for steps on the controller."""
    work.session = LocalSession(SILENT)
    work.secrets.put("key", Secret(KEY))
    yield work
    await work.session.close()


def run(script: str, **more: Any) -> Run:
    return Run(**{"id": "r", "host": "n1", "title": "do it", "script": script, "on": "controller", **more})


def leftovers(runtime: Path) -> list[Path]:
    return list(runtime.iterdir())


async def test_files_are_private_there_for_the_step_and_gone(
    here: Any, runtime: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    step = run(
        f'stat -c "%a %n" . key config >{out}; cat key config >>{out}; pwd >>{out}; tr "\\0" " " </proc/$$/cmdline >>{out}',
        files={"key": "{{ secret.key }}\n", "config": "plain {{ secret.other }}\n"},
        file_secrets=("key",),
    )
    assert (await act(here, step)).result == "changed"
    lines = out.read_text().splitlines()
    assert lines[:5] == ["700 .", "600 key", "600 config", KEY, "plain {{ secret.other }}"]
    assert Path(lines[5]).parent == runtime
    assert KEY not in lines[6], "nothing of it is in an argument list"
    assert leftovers(runtime) == []


async def test_its_check_is_asked_here_with_the_same_files(here: Any) -> None:
    step = run(
        "false", files={"key": "{{ secret.key }}"}, file_secrets=("key",), check=Succeeds("grep -q BEGIN key")
    )
    assert await holds(here, step) == Observation("same")
    answers = await observe_here(here.session, (step, run("true", id="unasked")), here.paths, here.secrets)
    assert answers == {"r": Observation("same")}


async def test_a_secret_that_is_not_known(here: Any, runtime: Path) -> None:
    step = run("true", files={"a": "{{ secret.none }}"}, file_secrets=("none",), check=Succeeds("true"))
    end = await act(here, step)
    assert (end.result, end.diagnostic and end.diagnostic.code) == ("failed", "SB509")
    answers = await observe_here(here.session, (step,), here.paths, here.secrets)
    assert not isinstance(answers, Diagnostic)
    assert answers["r"].state == "unknown"
    assert leftovers(runtime) == []


async def test_reading_and_waiting_are_done_here_too(here: Any) -> None:
    read = ReadSecret(
        id="s", host="n1", title="s", script="cat a", into="b", on="controller", files={"a": "value of it"}
    )
    assert (await act(here, read)).result == "same"
    assert here.secrets.get("b").reveal() == "value of it"
    wait = WaitFor(
        id="w",
        host="n1",
        title="w",
        kind="script",
        target="[ -s a ]",
        on="controller",
        files={"a": "x"},
        timeout=5.0,
    )
    assert (await act(here, wait)).result == "same"


async def test_no_room_for_a_folder_is_a_finding(
    here: Any, runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_base", lambda: runtime / "gone")
    end = await act(here, run("true"))
    assert end.diagnostic is not None
    assert (end.diagnostic.code, "no private folder" in end.diagnostic.summary) == ("SB501", True)


async def test_what_a_killed_run_left_behind_goes_and_what_lives_stays(here: Any, runtime: Path) -> None:
    dead, living = runtime / "sealboot-desk-dead", runtime / "sealboot-desk-living"
    for folder in (dead, living):
        folder.mkdir()
        (folder / "key").write_text(KEY)
        (folder / ".lock").touch()
    held = os.open(living / ".lock", os.O_RDWR)
    fcntl.flock(held, fcntl.LOCK_EX)
    await act(here, run("true"))
    assert leftovers(runtime) == [living]
    os.close(held)
    shutil.rmtree(living)


async def test_steps_for_hosts_are_left_as_they_are(here: Any) -> None:
    step = Run(id="r", host="n1", title="r", script="true")
    async with seated(here.secrets, step) as same:
        assert same is step


# -- as part of a run -------------------------------------------------------------------------------


async def test_a_host_without_a_session_is_served_from_here(
    rig: Any, plan_of: Any, place: Desk, tmp_path: Path
) -> None:
    done = tmp_path / "done"
    plan = plan_of((run(f"touch {done}", check=Succeeds(f"[ -e {done} ]")),))
    report = await rig.apply(plan, desk=place, silent=(SILENT,))
    assert [(h.host, h.outcome) for h in report.hosts] == [("n1", HostOutcome.CHANGED)]
    assert "finished" in Path(place.paths("lab", SILENT).journal).read_text()
    again = await rig.apply(plan, desk=place, silent=(SILENT,))
    assert [h.outcome for h in again.hosts] == [HostOutcome.OK]


async def test_two_runs_never_serve_one_host_together(
    rig: Any, plan_of: Any, place: Desk, tmp_path: Path, claim: Any
) -> None:
    from sealboot.engine.lock import take  # noqa: PLC0415 (only here)

    session = LocalSession(SILENT)
    held = await take(session, place.paths("lab", SILENT), claim)
    report = await rig.apply(plan_of((run(f"touch {tmp_path / 'no'}"),)), desk=place, silent=(SILENT,))
    assert [d.code for d in report.diagnostics] == ["SB505"]
    assert not (tmp_path / "no").exists()
    await held.release()  # type: ignore[union-attr]
    await session.close()


async def test_without_a_place_here_the_host_is_unreachable(rig: Any, plan_of: Any) -> None:
    report = await rig.apply(plan_of((run("true"),)), silent=(SILENT,))
    assert [h.outcome for h in report.hosts] == [HostOutcome.UNREACHABLE]


async def test_after_the_host_left_its_steps_go_on_here_with_what_was_seen(
    rig: Any, node: Any, plan_of: Any, place: Desk, tmp_path: Path
) -> None:
    """The key under which the new system answers now reaches the step that insists on it."""
    knocks = iter(["connection refused"])

    async def knock(*_: Any) -> Greeting | str:
        return next(knocks, Greeting("a2V5", "h2"))

    node.session.after = lambda _n, script: node.session.drop("gone") if "sb_payload" in script else None
    out = tmp_path / "out"
    steps = (
        (Handover(id="h", host="n1", title="h", script="true", port=50000, timeout=20.0),),
        (run(f'echo "$API $KEY" >{out}', knocks=Knocks(50000)),),
    )
    gone = Diagnostic("SB201", "refused", host="n1")
    report = await rig.apply(plan_of(*steps), node, reconnect=lambda _: gone, knock=knock, desk=place)
    assert [(h.outcome, h.changed) for h in report.hosts] == [(HostOutcome.CHANGED, 2)]
    assert out.read_text() == "open a2V5\n"
    assert rig.redactor("a2V5") == "a2V5", "it is no secret"


@pytest.mark.parametrize(
    "case",
    [
        # The certificate changes between two looks, because an address came: an honest machine.
        ([Greeting("b25l", "h2"), Greeting("dHdv", "h2")], ["open b25l", "open dHdv"], HostOutcome.CHANGED),
        (["connection refused", Greeting("dHdv", "h2")], [" ", "open dHdv"], HostOutcome.CHANGED),
        ([Greeting("dHdv", "h2", wants_certificate=True)], ["certificate dHdv"], HostOutcome.CHANGED),
        ([Greeting("b25l", "h2")], ["open b25l"] * 3, HostOutcome.FAILED),
    ],
)
async def test_the_key_is_taken_right_before_the_script_and_again_where_it_asks_for_that(
    case: tuple[list[Greeting | str], list[str], HostOutcome], rig: Any, plan_of: Any, place: Desk
) -> None:
    shown, told, outcome = case
    looks = iter(shown)

    async def knock(*asked: Any) -> Greeting | str:
        assert asked == ("n1", 50000, ("h2",))
        return next(looks, shown[-1])

    out = place.state.parent / "out"
    script = f'echo "$API $KEY" >>{out}; [ "$KEY" = dHdv ] || exit 75'
    step = run(script, knocks=Knocks(50000, ("h2",)))
    report = await rig.apply(plan_of((step,)), knock=knock, desk=place, silent=(SILENT,))
    assert [h.outcome for h in report.hosts] == [outcome]
    assert out.read_text().splitlines() == told


async def test_what_is_killed_here_is_told_and_done_again(
    rig: Any, plan_of: Any, place: Desk, tmp_path: Path
) -> None:
    """The journal here is that of a host that has none: a step without a check is owed to the next run."""
    done = tmp_path / "done"
    first = run("echo no >&2; exit 7", id="first")
    report = await rig.apply(plan_of((first,)), desk=place, silent=(SILENT,))
    assert [h.outcome for h in report.hosts] == [HostOutcome.FAILED]
    report = await rig.apply(plan_of((run(f"touch {done}", id="first"),)), desk=place, silent=(SILENT,))
    assert [d.code for d in report.diagnostics] == ["SB512"]
    assert done.exists()


async def test_a_step_here_that_hangs_delays_no_interrupt(
    rig: Any, plan_of: Any, place: Desk, runtime: Path, tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    step = run(f"echo $$ >{pid}; sleep 300 & echo $! >>{pid}; wait", timeout=600.0, files={"key": "x"})
    going = asyncio.create_task(rig.apply(plan_of((step,)), desk=place, silent=(SILENT,)))
    for _ in range(500):
        if pid.exists() and len(pid.read_text().split()) == 2:
            break
        await asyncio.sleep(0.02)
    rig.engine.abort("SIGINT")
    report = await asyncio.wait_for(going, 5)
    assert [h.outcome for h in report.hosts] == [HostOutcome.UNKNOWN]
    assert leftovers(runtime) == []
    for number in pid.read_text().split():
        for _ in range(200):
            if not Path("/proc", number).exists():
                break
            await asyncio.sleep(0.02)
        assert not Path("/proc", number).exists(), "nothing of it goes on"
