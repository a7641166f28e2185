"""P6 and P8 during an apply: what a node leaves in the engine's own files is hostile too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from promise_kit import CONTROLS, Room
from session_kit import folder
from sshd_kit import openssh


@pytest.fixture
def place() -> Iterator[Path]:
    with folder() as made:
        yield made


@pytest.mark.parametrize("status", ["$(printf %06000d 1)", "-1", "$(printf '\\033[2J')", "1 0", ""])
async def test_a_job_that_writes_its_own_exit_status(place: Path, status: str) -> None:
    state = place / "state"
    script = f'for d in {state}/jobs/*; do echo "{status}" >"$d/rc"; done; touch {place}/lied; exec sleep 60'
    steps = [{"name": "lie", "run": {"script": script, "detached": True}, "timeout": "3s"}]
    with openssh(place / "sshd") as server:
        room = Room(place / "room", phases=[{"name": "p", "steps": steps}])
        room.add("n1", server, state=state)
        ran = await room.run("apply", "--yes", "--format", "json")
    assert (place / "lied").exists()
    assert ran.code == 3, ran
    assert ran.document["hosts"][0]["outcome"] == "failed"
    assert not CONTROLS & set(ran.all)


@pytest.mark.parametrize(
    "line",
    [
        '{"run": "\\u001b[2J", "step": "\\u202e", "mark": "started", "at": "\\u009b"}',
        "[" * 100_000,
        '{"run": "a", "step": "' + "x" * 600_000,
        "\udcff\udcfe\x00",
    ],
)
async def test_a_journal_that_somebody_else_wrote(place: Path, line: str) -> None:
    state = place / "state"
    state.mkdir()
    (state / "journal").write_bytes(line.encode("utf-8", "surrogateescape") + b"\n")
    with openssh(place / "sshd") as server:
        room = Room(
            place / "room",
            phases=[
                {
                    "name": "p",
                    "steps": [{"name": "x", "run": f"touch {place}/done", "creates": f"{place}/done"}],
                }
            ],
        )
        room.add("n1", server, state=state)
        for kind in ("plain", "json"):
            ran = await room.run("apply", "--yes", "--format", kind)
            assert ran.code == 0, ran
            assert not CONTROLS & set(ran.all)
            assert "\x9b" not in ran.all.decode()
