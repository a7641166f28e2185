"""P9, P10, P11: controllers killed or stopped at random instants; the same command finishes and the state is the same."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from promise_kit import Room, ended
from session_kit import folder
from sshd_kit import openssh

SEED = 20261121


@pytest.fixture
def place() -> Iterator[Path]:
    with folder() as made:
        yield made


def phases(place: Path) -> list[dict[str, Any]]:
    """Every kind of step; `count` says how often the one that must not be repeated ran."""
    opt = place / "opt"
    return [
        {
            "name": "install",
            "steps": [
                {"name": "ship", "upload": {"artifact": "tool", "dest": f"{opt}/tool", "smoke": '"$1"'}},
                {"name": "conf", "write": {"dest": f"{opt}/conf", "content": "green\n"}},
                {"name": "seen", "run": f"cp {opt}/conf {opt}/seen", "after": ["conf"]},
            ],
        },
        {
            "name": "join",
            "steps": [
                {
                    "name": "join",
                    "run": {
                        "script": f"sleep 0.2; echo x >>{place}/count; touch {opt}/joined",
                        "detached": True,
                    },
                    "creates": f"{opt}/joined",
                },
                {"name": "wait", "wait": {"file": f"{opt}/joined", "timeout": "10s"}},
            ],
        },
    ]


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


@pytest.mark.parametrize("rounds", [3, pytest.param(16, marks=[pytest.mark.slow, pytest.mark.timeout(600)])])
async def test_killed_at_random_instants(place: Path, rounds: int) -> None:
    rng = random.Random(SEED)  # noqa: S311 (a campaign, not a key)
    wanted: dict[str, bytes] | None = None
    with openssh(place / "sshd") as server:
        room = Room(place / "room", phases=phases(place))
        tool = room.folder / "binaries/tool"
        tool.write_bytes(tool.read_bytes() + os.urandom(4 << 20))
        room.add("n1", server)
        for number in range(rounds):
            for path in (place / "opt", server.folder / "state"):
                for old in sorted(path.rglob("*"), reverse=True):
                    old.rmdir() if old.is_dir() else old.unlink()
            (place / "count").unlink(missing_ok=True)
            kills = 0 if wanted is None else 2
            for _ in range(kills):
                process = await room.start("apply", "--yes", "--format", "json")
                await asyncio.sleep(rng.uniform(0.4, 2.2))  # the instant itself is what varies
                process.kill()
                await process.communicate()
            ran = await room.run("apply", "--yes", "--lock-timeout", "15", "--format", "json")
            assert ran.code == 0, (number, ran)
            wanted = wanted or contents(place / "opt")
            assert contents(place / "opt") == wanted, number
            assert (place / "count").read_text() == "x\n", number
        again = await room.run("apply", "--yes", "--format", "json")
        assert (again.code, again.document["summary"]["changed"]) == (0, 0)


@pytest.mark.parametrize("same_name", [True, False])
async def test_two_inventories_with_other_names_for_one_host_take_turns(place: Path, same_name: bool) -> None:
    """The lock lies on the host: what operators call it, or which cluster they think it is of, does not matter."""
    script = f"mkdir {place}/busy || touch {place}/together; sleep 1; rmdir {place}/busy; touch {place}/$(date +%N).ran"
    with openssh(place / "sshd") as server:
        rooms = []
        for number, name in enumerate(("n1", "n1" if same_name else "other")):
            room = Room(
                place / f"room{number}",
                phases=[{"name": "p", "steps": [{"name": f"s{number}", "run": script}]}],
            )
            room.add(name, server)
            rooms.append(room)
        running = [
            await room.start("apply", "--yes", "--lock-timeout", "20", "--format", "json") for room in rooms
        ]
        done = await asyncio.gather(*(ended(process) for process in running))
    assert [ran.code for ran in done] == [0, 0], done
    assert not (place / "together").exists()
    assert len(list(place.glob("*.ran"))) == 2


async def test_a_controller_that_slept_longer_than_keepalive_goes_on(place: Path) -> None:
    """SIGSTOP is a laptop that is closed: on waking the run ends well or says honestly that it cannot know."""
    steps = [
        {
            "name": "slow",
            "run": {
                "script": f"touch {place}/begun; sleep 1; echo x >>{place}/count; touch {place}/done",
                "detached": True,
            },
            "creates": f"{place}/done",
        }
    ]
    config = "ClientAliveInterval 1\nClientAliveCountMax 2\n"
    with openssh(place / "sshd", config=config) as server:
        room = Room(place / "room", phases=[{"name": "p", "steps": steps}])
        room.add("n1", server)
        process = await room.start("apply", "--yes", "--format", "json")
        async with asyncio.timeout(20):
            while not (place / "begun").exists():  # noqa: ASYNC110 (a file has no event)
                await asyncio.sleep(0.02)
            process.send_signal(signal.SIGSTOP)
            while "Timeout, client not responding" not in server.log_text():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        process.send_signal(signal.SIGCONT)
        ran = await ended(process)
    assert ran.code == 0, ran
    assert (place / "count").read_text() == "x\n"
