"""One round trip through the session protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from sealboot.drivers.base import Wants
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.facts import Facts
from sealboot.model.secret import Secret
from sealboot.probe import gather
from sealboot.transport.base import OUTPUT_LIMIT, Hold, Progress, PutResult, Result


class Shell:
    """A session whose host is this machine's own `sh`, or one prepared answer."""

    def __init__(self, answer: Result | None = None, lost: Diagnostic | None = None) -> None:
        self._answer = answer
        self._lost = lost
        self.scripts: list[str] = []

    @property
    def host(self) -> str:
        return "pi01"

    @property
    def lost(self) -> Diagnostic | None:
        return self._lost

    async def run(
        self,
        script: str,
        *,
        args: Sequence[str] = (),
        env: Mapping[str, str | Secret] | None = None,
        stdin: bytes = b"",
        become: bool = False,
        timeout: float,  # noqa: ASYNC109
        limit: int = OUTPUT_LIMIT,
    ) -> Result:
        self.scripts.append(script)
        assert not become
        if self._answer is not None:
            return self._answer
        process = await asyncio.create_subprocess_exec(
            "sh", "-s", *args, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await asyncio.wait_for(process.communicate(script.encode()), timeout)
        assert len(out) < limit
        return Result("exited", process.returncode, out)

    async def put(
        self,
        source: Path | bytes,
        dest: str,
        *,
        mode: int = 0o600,
        become: bool = False,
        stall: float = 60.0,
        progress: Progress | None = None,
    ) -> PutResult:
        raise AssertionError("the probe writes nothing")

    async def stream(
        self,
        pieces: Iterator[bytes],
        size: int,
        script: str,
        *,
        args: Sequence[str] = (),
        become: bool = False,
        stall: float = 60.0,
        progress: Progress | None = None,
    ) -> Result:
        raise AssertionError("the probe sends no files")

    async def hold(
        self,
        script: str,
        *,
        args: Sequence[str] = (),
        become: bool = False,
        ready: str,
        timeout: float,  # noqa: ASYNC109
    ) -> Hold | Result:
        raise AssertionError("the probe locks nothing")

    async def close(self) -> None:
        """Nothing is open."""


async def test_one_round_trip_makes_facts() -> None:
    session = Shell()
    facts = await gather(session, Wants(questions={"q": "echo a"}), timeout=30)
    assert isinstance(facts, Facts)
    assert facts.host == "pi01"
    assert facts.observed == {"q": "a"}
    assert facts.clock_offset is not None
    assert abs(facts.clock_offset) < 2
    assert len(session.scripts) == 1


async def test_the_reason_of_a_lost_connection_is_the_sessions_own() -> None:
    why = Diagnostic("SB201", "gone", host="pi01")
    assert await gather(Shell(Result("lost", None), why), Wants(), timeout=1) is why


async def test_a_reason_in_the_result_comes_first() -> None:
    why = Diagnostic("SB506", "gone", host="pi01")
    answer = Result("lost", None, diagnostic=why)
    assert await gather(Shell(answer, Diagnostic("SB201", "gone")), Wants(), timeout=1) is why


async def test_no_shell_is_sb205() -> None:
    found = await gather(Shell(Result("no-shell", None, b"not available\x1b[2J")), Wants(), timeout=1)
    assert isinstance(found, Diagnostic)
    assert found.code == "SB205"
    assert found.evidence == (("it answered", "not available\x1b[2J"),)


@pytest.mark.parametrize(
    "answer",
    [
        Result("timeout", None, b"x", seconds=1.0),
        Result("overflow", None, b"x"),
        Result("lost", None),
        Result("exited", 0, b"hello"),
        Result("exited", 2),
    ],
    ids=lambda r: f"{r.ending}-{r.exit_status}",
)
async def test_everything_else_is_sb310(answer: Result) -> None:
    found = await gather(Shell(answer), Wants(), timeout=1)
    assert isinstance(found, Diagnostic)
    assert found.code == "SB310"
    assert found.host == "pi01"
