"""A script that reads a local file: whole and right it ends its input; cut, changed or damaged it is killed first."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from pathlib import Path

import image_kit
import pytest
from engine_kit import Node

from sealboot.engine.actions import run_script
from sealboot.engine.context import Work
from sealboot.model.feed import Feed
from sealboot.model.host import BecomeSettings, Host
from sealboot.model.steps import Run
from sealboot.transport.local import LocalSession

CONTENT = b"".join(hashlib.sha256(bytes([n])).digest() for n in range(256)) * 200


def fed(folder: Path, script: str, data: bytes = CONTENT, *, packed: str = "tar") -> Run:
    file = folder / "source"
    file.write_bytes(image_kit.COMPRESSIONS[packed](data))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    feed = Feed(str(file), digest, len(data), unpack=packed != "tar")
    return Run(id="s", host="n1", title="read it", script=script, feed=feed, become=False, timeout=30.0)


def over(work: Work) -> LocalSession:
    """The work on a session of the real shell protocol."""
    session = LocalSession(Host("n1", "127.0.0.1", "any", become=BecomeSettings(method="none")))
    work.session = session
    return session


@pytest.mark.parametrize("packed", ["tar", "gzip", "zstd", "bzip2"])
async def test_the_script_reads_what_is_in_the_file(work: Work, tmp_path: Path, packed: str) -> None:
    seen: list[tuple[int, int]] = []
    work.progress = lambda _step, done, total: seen.append((done, total))
    step = fed(tmp_path, f'exec cat >"{tmp_path}/read"', packed=packed)
    end = await run_script(work, replace(step, env={"UNUSED": "it's"}))
    assert (end.result, end.diagnostic, work.sent) == ("changed", None, len(CONTENT))
    assert (tmp_path / "read").read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))


async def test_a_reader_that_fails_says_why_and_one_that_reads_little_does_not_fail(
    work: Work, tmp_path: Path
) -> None:
    failed = await run_script(work, fed(tmp_path, "echo 'no such namespace' >&2; exit 9"))
    assert failed.diagnostic is not None
    assert failed.diagnostic.code == "SB501"
    assert ("error", "no such namespace") in failed.diagnostic.evidence
    # What follows the end of a tar archive is read by nobody, and proves nothing.
    content = await run_script(work, fed(tmp_path, "exec head -c 10 >/dev/null"))
    assert (content.result, content.diagnostic) == ("changed", None)


async def test_output_must_hold_what_is_expected(work: Work, tmp_path: Path) -> None:
    step = fed(tmp_path, "cat >/dev/null; echo imported")
    assert (await run_script(work, replace(step, expects=("imported",)))).result == "changed"
    lacking = await run_script(work, replace(step, expects=("unpacked",)))
    assert (lacking.result, work.sent) == ("failed", 2 * len(CONTENT))


async def test_a_changed_byte_on_the_way_kills_the_reader(work: Work, node: Node, tmp_path: Path) -> None:
    node.session.corrupt = 1
    end = await run_script(work, fed(tmp_path, f'cat >/dev/null; : >"{tmp_path}/ended"'))
    assert end.diagnostic is not None
    assert end.diagnostic.code == "SB502"
    assert any("arrived: " in text for _, text in end.diagnostic.evidence)
    assert not (tmp_path / "ended").exists(), "it never saw the end of its input"


async def test_a_broken_connection_is_no_end_of_input(work: Work, tmp_path: Path) -> None:
    session = over(work)
    half = asyncio.Event()
    work.progress = lambda _step, done, total: half.set() if done * 2 > total else None
    # It reads slowly, tells its process id, and would leave a mark behind the end of its input.
    script = f'echo $$ >"{tmp_path}/pid"; while read -r x; do :; done; : >"{tmp_path}/ended"'
    step = fed(tmp_path, script, b"x" * 63 + b"\n" + CONTENT * 4)
    running = asyncio.ensure_future(run_script(work, step))
    await asyncio.wait_for(half.wait(), 20)
    await session.close()
    end = await asyncio.wait_for(running, 20)
    assert end.result in {"lost", "failed"}
    pid = int((tmp_path / "pid").read_text())
    for _ in range(1000):
        if not Path(f"/proc/{pid}").exists():
            break
        await asyncio.sleep(0.01)
    else:
        pytest.fail("the reader lives on")
    assert not (tmp_path / "ended").exists()


async def test_a_file_that_changed_since_the_plan_is_not_sent(work: Work, tmp_path: Path) -> None:
    step = fed(tmp_path, f': >"{tmp_path}/ran"', packed="zstd")
    assert step.feed is not None
    Path(step.feed.source).write_bytes(b"another")
    end = await run_script(work, step)
    assert (end.result, end.diagnostic and end.diagnostic.code) == ("failed", "SB504")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("spoil", ["cut", "size"])
async def test_what_does_not_unpack_to_what_was_planned_is_not_sent(
    work: Work, tmp_path: Path, spoil: str
) -> None:
    step = fed(tmp_path, f': >"{tmp_path}/ran"', packed="zstd")
    assert step.feed is not None
    file = Path(step.feed.source)
    if spoil == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    size = step.feed.size + (spoil == "size")
    end = await run_script(work, replace(step, feed=replace(step.feed, sha256=digest, size=size)))
    assert (end.result, end.diagnostic and end.diagnostic.code) == ("failed", "SB504")
    assert not (tmp_path / "ran").exists()
