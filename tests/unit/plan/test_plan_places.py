"""Plans whose steps are done in places where they cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from sealboot.model.plan import Action, Observation, Plan, PlannedStep, PlannedWave, Wave
from sealboot.model.steps import (
    Handover,
    ReadSecret,
    Run,
    Service,
    Step,
    Upload,
    WaitFor,
    WriteDisk,
    WriteFile,
)
from sealboot.plan.build import build, inconsistencies, secrets_used

LEAVE = Handover(id="h", host="a", title="h", script="kexec -e", port=50000)
DISK = WriteDisk(
    id="d",
    host="a",
    title="d",
    source="i",
    sha256="0" * 64,
    size=5,
    raw_sha256="1" * 64,
    raw_size=50,
    device="/dev/vda",
    destroys="all",
)


def run(name: str, host: str = "a", **more: Any) -> Run:
    return Run(id=name, host=host, title=name, script="true", **more)


def wrong(*steps: Step) -> list[str]:
    waves = tuple(Wave(f"w{n}", "w", (step,)) for n, step in enumerate(steps))
    return [d.summary.partition(": ")[2] for d in inconsistencies(waves)]


def test_nothing_is_done_on_a_host_that_was_left() -> None:
    assert wrong(run("before"), LEAVE, run("after")) == [
        "'after' is done on a host that runs another system by then"
    ]
    assert wrong(LEAVE, run("here", on="controller"), run("there", host="b")) == []


@pytest.mark.parametrize(
    "step",
    [
        Upload(id="x", host="a", title="x", source="s", sha256="0", size=1, dest="/d", on="controller"),
        WriteFile(id="x", host="a", title="x", dest="/d", content="", on="controller"),
        Service(id="x", host="a", title="x", name="s", on="controller"),
        WaitFor(id="x", host="a", title="x", kind="tcp", target="h:1", on="controller"),
        run("x", on="controller", detached=True),
    ],
)
def test_what_only_hosts_do_is_not_done_on_the_controller(step: Step) -> None:
    assert wrong(step) == ["'x' cannot be done on the controller"]


def test_what_the_controller_does() -> None:
    wait = WaitFor(id="w", host="a", title="w", kind="script", target="true", on="controller")
    read = ReadSecret(id="s", host="a", title="s", script="true", into="t", on="controller")
    assert wrong(wait, read, run("r", on="controller", files={"config": "x"})) == []


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".lock"])
def test_files_lie_in_the_folder_of_the_step(name: str) -> None:
    assert wrong(run("x", on="controller", files={name: ""})) == [
        "a file of 'x' is not one of its own folder"
    ]
    assert wrong(run("x", files={"a": ""})) == ["'x' has files, but is not done on the controller"]


def test_secrets_of_files_count_and_a_handover_gives_one() -> None:
    step = run("x", on="controller", file_secrets=("config",), env_secrets={"KEY": "seen"})
    assert secrets_used(step) == {"config", "seen"}


def test_leaving_and_writing_happen_each_time_they_are_planned() -> None:
    (wave,) = build((Wave("w", "w", (DISK, LEAVE)),), {})
    assert [p.action for p in wave.steps] == [Action.CHANGE, Action.CHANGE]
    (wave,) = build((Wave("w", "w", (run("r", only_after=()),)),), {"r": Observation("same")})
    assert [p.action for p in wave.steps] == [Action.NONE]


def test_a_plan_tells_which_disks_go() -> None:
    steps = (PlannedStep(DISK, Action.CHANGE), PlannedStep(run("r", destroys="a disk"), Action.NONE))
    plan = Plan("lab", "talos", (PlannedWave("w", "w", steps),), ("a",))
    assert plan.destroyed == (DISK,)
    assert plan.upload_bytes == 5
