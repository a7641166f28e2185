"""Promise P10: kill the controller at any instant, and the same command finishes."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import create_subprocess_exec
from pathlib import Path

import kill_kit
import pytest

from sealboot.model.report import ApplyReport


def prepared(root: Path) -> Path:
    (root / "live").mkdir(parents=True)
    (root / "source").write_bytes(b"#!/bin/sh\necho tool v2\n")
    return root


def state(root: Path) -> dict[str, tuple[str, int]]:
    """What lives on the node: content and mode of every file, the engine's own memory left out."""
    live = root / "live"
    return {
        str(p.relative_to(live)): (p.read_text(), p.stat().st_mode)
        for p in live.rglob("*")
        if p.is_file() and not p.is_relative_to(live / "state")
    }


def once(state: dict[str, tuple[str, int]]) -> dict[str, tuple[str, int]]:
    """Steps that were not proven are done again: lines that were added twice count as one."""
    return {name: ("\n".join(sorted(set(text.splitlines()))), mode) for name, (text, mode) in state.items()}


def outcome(report: ApplyReport) -> str:
    return report.hosts[0].outcome.value


@pytest.mark.timeout(300)
async def test_killed_at_every_call_the_same_command_finishes(tmp_path: Path) -> None:
    wanted_root = prepared(tmp_path / "whole")
    report, calls = await kill_kit.apply(wanted_root, 0, "")
    assert outcome(report) == "changed"
    wanted = once(state(wanted_root))
    assert set(wanted) == {"bin/tool", "conf", "restarts", "long", "long-done", "join"}
    report, _ = await kill_kit.apply(wanted_root, 0, "")
    assert (outcome(report), report.changed, report.sent) == ("ok", 0, 0)
    assert calls > 25
    points = [(call, when) for call in range(1, calls + 1) for when in ("before", "midway")]
    slots = asyncio.Semaphore(4)

    async def limited(call: int, when: str) -> bool:
        async with slots:
            return await killed_at(prepared(tmp_path / f"{when}{call}"), call, when, wanted)

    noted = await asyncio.gather(*(limited(call, when) for call, when in points))
    assert sum(noted) > calls


async def killed_at(root: Path, call: int, when: str, wanted: dict[str, tuple[str, int]]) -> bool:
    """Kill one controller there, run again, and again; returns whether the cut was noted."""
    child = await create_subprocess_exec(sys.executable, kill_kit.__file__, str(root), str(call), when)
    assert await child.wait() in {-signal.SIGKILL, 0}
    report, _ = await kill_kit.apply(root, 0, "")
    where = f"killed {when} call {call}"
    assert outcome(report) in {"changed", "ok"}, (where, report.diagnostics)
    assert {d.code for d in report.diagnostics} <= {"SB512"}, (where, report.diagnostics)
    assert once(state(root)) == wanted, where
    assert not list(root.rglob("*sealboot-*")), where
    again, _ = await kill_kit.apply(root, 0, "")
    assert (outcome(again), again.changed, again.sent, again.diagnostics) == ("ok", 0, 0, ()), where
    return any(d.code == "SB512" for d in report.diagnostics)
