"""What the sinks hear of an upload and of a stop, and that every byte that left is counted."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import pytest

from sealboot.engine.bus import PROGRESS_INTERVAL, Bus
from sealboot.engine.options import ApplyOptions
from sealboot.model.events import Event, RunStopping, StepFinished, StepProgress, StepVerifying
from sealboot.model.outcome import HostOutcome
from sealboot.model.steps import Upload
from sealboot.transport.base import PutResult


def shipped(tmp_path: Path, node: Any) -> Upload:
    source = tmp_path / "tool"
    source.write_bytes(b"x" * 1000)
    digest = hashlib.sha256(b"x" * 1000).hexdigest()
    return Upload(
        id="up",
        host=node.host.name,
        title="ship",
        source=str(source),
        sha256=digest,
        size=1000,
        dest=node.path("bin/tool"),
    )


def test_the_last_byte_is_told_once_and_the_host_verifies_from_then_on() -> None:
    heard: list[Event] = []
    now = 0.0
    bus = Bus(heard.append, clock=lambda: now)
    for done in (10, 20, 90, 100, 100):  # the middle ones come too soon
        bus.progress("a", "s", done, 100)
    bus.progress("b", "s", 100, 100)
    assert [(e.host, e.done) for e in heard if isinstance(e, StepProgress)] == [
        ("a", 10),
        ("a", 100),
        ("b", 100),
    ]
    assert [type(e).__name__ for e in heard][1:3] == ["StepProgress", "StepVerifying"]
    now += PROGRESS_INTERVAL
    heard.clear()
    for done in (30, 100):  # sent once more: what arrived was damaged
        bus.progress("a", "s", done, 100)
    bus.progress("a", "next", 50, 50)
    assert [e.step for e in heard if isinstance(e, StepVerifying)] == ["s", "next"]


async def test_an_upload_is_verified_before_it_ends(
    rig: Any, node: Any, plan_of: Any, tmp_path: Path
) -> None:
    report = await rig.apply(plan_of([shipped(tmp_path, node)]), node)
    assert report.sent == 1000
    kinds = [type(e) for e in rig.events if isinstance(e, StepProgress | StepVerifying | StepFinished)]
    assert kinds == [StepProgress, StepVerifying, StepFinished]


@pytest.mark.parametrize("asked", [("SIGINT",), ("SIGTERM", "SIGTERM"), ("",)])
async def test_a_stop_is_told_and_what_was_sent_until_then_counts(
    rig: Any, node: Any, plan_of: Any, tmp_path: Path, asked: tuple[str, ...]
) -> None:
    sending = asyncio.Event()

    async def put(*_: object, progress: Any, **__: object) -> PutResult:
        progress(300)
        progress(700)
        sending.set()
        await asyncio.Event().wait()
        raise AssertionError

    node.session.put = put
    options = ApplyOptions(grace=30.0 if len(asked) > 1 else 0.05)
    running = asyncio.ensure_future(rig.apply(plan_of([shipped(tmp_path, node)]), node, options=options))
    await sending.wait()
    rig.engine.stop(asked[0])
    if len(asked) > 1:
        rig.engine.abort(asked[1])
    report = await running
    assert (report.hosts[0].outcome, report.sent) == (HostOutcome.UNKNOWN, 700)
    told = [e for e in rig.events if isinstance(e, RunStopping)]
    assert [(e.signal, e.grace, e.now) for e in told] == [
        (asked[0], options.grace, False),
        (asked[0], options.grace, True),
    ]


async def test_what_a_lost_connection_took_counts_as_well(
    rig: Any, node: Any, plan_of: Any, tmp_path: Path
) -> None:
    async def put(*_: object, progress: Any, **__: object) -> PutResult:
        progress(400)
        node.session.drop()
        return PutResult(node.session.gone(), "", 400)

    node.session.put = put
    report = await rig.apply(plan_of([shipped(tmp_path, node)]), node)
    assert report.hosts[0].outcome is HostOutcome.CHANGED
    assert report.sent == 1400, "the part before, and the whole afterwards"
    (ended,) = [e for e in rig.events if isinstance(e, StepFinished)]
    assert (ended.result, ended.sent) == ("changed", 1400)
