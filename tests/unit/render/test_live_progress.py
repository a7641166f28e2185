"""The table that is redrawn in place: when it is there, and what time it tells."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from rich.console import Console

from sealboot.model.events import RunFinished, RunStarted, StageStarted, StepStarted
from sealboot.render.live import LiveProgress


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def progress(clock: Clock) -> Iterator[LiveProgress]:
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=20)
    made = LiveProgress(console, clock=clock)
    yield made
    made.close()


def shown(progress: LiveProgress) -> str:
    text = io.StringIO()
    Console(file=text, width=80).print(progress.frame())
    return text.getvalue()


STARTED = RunStarted(at=0.0, command="apply", cluster="lab", hosts=("m1",))
LOCK = StageStarted(at=0.0, host="m1", stage="lock")
STEP = StepStarted(at=0.0, host="m1", step="s", title="upload etcd", wave="w")


@pytest.mark.parametrize("event", [LOCK, STEP])
def test_it_comes_back_after_a_plan_and_a_question(
    progress: LiveProgress, event: StageStarted | StepStarted
) -> None:
    progress(STARTED)
    assert progress._live is not None
    progress.close()
    progress(event)
    assert progress._live is not None
    progress(RunFinished(at=9.0, exit_code=0))
    assert progress._live is None


def test_the_time_of_a_step_is_its_own_whatever_its_event_counts_from(
    progress: LiveProgress, clock: Clock
) -> None:
    progress(STARTED)
    clock.now += 30
    progress(STEP)
    clock.now += 2
    (line,) = [line for line in shown(progress).splitlines() if "upload etcd" in line]
    assert line.rstrip().endswith("2.0s")
