from __future__ import annotations

import hashlib
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sealboot.engine.journal import Entry, History, read, unfinished, write
from sealboot.engine.options import ApplyOptions
from sealboot.engine.rollback import Rollback, put_back, rollback
from sealboot.engine.shell import DEFAULT_STATE, node_paths
from sealboot.engine.steps import act, holds
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.host import Host
from sealboot.model.outcome import HostOutcome
from sealboot.model.plan import Observation
from sealboot.model.steps import FileIs, Run, Upload


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def upload(node: Any, tmp_path: Path, data: bytes) -> Upload:
    source = tmp_path / "source"
    source.write_bytes(data)
    return Upload(
        id="u",
        host="n1",
        title="ship",
        source=str(source),
        sha256=sha(data),
        size=len(data),
        dest=node.path("bin/tool"),
    )


async def test_the_previous_file_comes_back_byte_for_byte(node: Any, work: Any, tmp_path: Path) -> None:
    first = upload(node, tmp_path, b"one")
    assert (await act(work, first)).result == "changed"
    assert (await act(work, upload(node, tmp_path, b"two"))).result == "changed"
    live = Path(first.dest)
    looked = await rollback(node.session, first.dest, node.paths, dry=True)
    assert live.read_bytes() == b"two"
    done = await rollback(node.session, first.dest, node.paths)
    assert done == looked == Rollback("n1", first.dest, sha(b"two"), sha(b"one"), "755")
    assert done.state == "changed"
    assert live.read_bytes() == b"one"
    assert live.stat().st_mode & 0o777 == 0o755
    assert await holds(work, first) == Observation("same")
    assert node.leftovers() == []
    told = await rollback(node.session, first.dest, node.paths, dry=True)
    assert told == Rollback("n1", first.dest, sha(b"one"), sha(b"two"), "755", again=True)
    forth = await rollback(node.session, first.dest, node.paths)
    assert isinstance(forth, Rollback)
    assert live.read_bytes() == b"two"
    back = await rollback(node.session, first.dest, node.paths, dry=True)
    assert back == done, "undoing a rollback leaves what was before it"


async def test_a_step_puts_back_just_what_was_shown(node: Any, work: Any, tmp_path: Path) -> None:
    first = upload(node, tmp_path, b"one")
    for data in (b"one", b"two"):
        assert (await act(work, upload(node, tmp_path, data))).result == "changed"
    step = Run(
        id="u",
        host="n1",
        title="put back",
        script=put_back(first.dest, node.paths, sha(b"one")),
        check=FileIs(first.dest, sha(b"one"), 0o755),
    )
    assert (await act(work, upload(node, tmp_path, b"three"))).result == "changed"
    ended = await act(work, step)
    assert ended.result == "failed"
    assert ended.diagnostic is not None
    assert "another file is kept by now" in repr(ended.diagnostic)
    assert Path(first.dest).read_bytes() == b"three"
    again = replace(step, script=put_back(first.dest, node.paths, sha(b"two")))
    assert (await act(work, again)).result == "changed"
    assert Path(first.dest).read_bytes() == b"two"
    assert node.leftovers() == []


async def test_without_a_kept_file_it_is_refused(node: Any, work: Any, tmp_path: Path) -> None:
    step = upload(node, tmp_path, b"one")
    assert (await act(work, step)).result == "changed"
    found = await rollback(node.session, step.dest, node.paths)
    assert isinstance(found, Diagnostic)
    assert found.code == "SB513"
    assert "no previous file is kept" in found.summary


@pytest.mark.parametrize(
    ("fault", "why"), [("damage", "damaged"), ("remove", "is gone"), ("lie", "no previous")]
)
async def test_a_kept_file_that_is_not_what_was_kept(
    node: Any, work: Any, tmp_path: Path, fault: str, why: str
) -> None:
    step = upload(node, tmp_path, b"one")
    await act(work, step)
    await act(work, upload(node, tmp_path, b"two"))
    kept = Path(node.paths.previous(step.dest))
    if fault == "damage":
        (kept / sha(b"one")).write_bytes(b"onE")
    elif fault == "remove":
        (kept / sha(b"one")).unlink()
    else:
        (kept / "kept").write_text("../../etc/shadow 755\n")
    found = await rollback(node.session, step.dest, node.paths)
    assert isinstance(found, Diagnostic)
    assert (found.code, why in found.summary) == ("SB513", True)
    assert Path(step.dest).read_bytes() == b"two"


async def test_the_journal_is_read_as_far_as_it_makes_sense(node: Any) -> None:
    assert await read(node.session, node.paths) == History()
    entries = [Entry("r1", "a", "started", "t"), Entry("r1", "a", "done"), Entry("r1", "b", "started")]
    for entry in entries:
        assert await write(node.session, node.paths, entry) is None
    journal = Path(node.paths.journal)
    with journal.open("ab") as file:
        file.write(b'{"run": "r1", "step": "b", "mar')
    assert await write(node.session, node.paths, Entry("r1", "c", "failed")) is None
    with journal.open("ab") as file:
        file.write(b"[1]\n\xff\n" + b"[" * 5000 + b'\n{"run": 1, "step": "x", "mark": "done"}\n')
    history = await read(node.session, node.paths)
    assert history == History((*entries, Entry("r1", "c", "failed")))
    assert history.cut_off == Entry("r1", "c", "failed")
    assert journal.stat().st_mode & 0o777 == 0o600
    assert await write(node.session, node.paths, Entry("r1", "", "finished")) is None
    assert len(journal.read_text().splitlines()) == 1
    assert await read(node.session, node.paths) == History()


def test_what_is_owed() -> None:
    follower = Run(id="f", host="n1", title="f", script="true", only_after=("a",))
    begun = Entry("r", "a", "started")
    assert History((begun,)).owes(follower)
    assert History((begun, Entry("r", "a", "done"))).owes(follower)
    assert not History((begun, Entry("r", "f", "done"))).owes(follower)
    assert History((Entry("r", "f", "done"), begun)).owes(follower)
    assert not History((Entry("r", "b", "done"),)).owes(follower)


async def test_a_host_that_cannot_write_its_journal(node: Any) -> None:
    Path(node.paths.state).write_text("in the way")
    found = await write(node.session, node.paths, Entry("r", "a", "started"))
    assert found is not None
    assert found.code == "SB501"


def test_places_on_a_host() -> None:
    plain = node_paths("lab", Host("n1", "a", "node"))
    assert (plain.state, plain.lock) == (f"{DEFAULT_STATE}/lab", f"{DEFAULT_STATE}/lock")
    own = node_paths("lab", Host("n1", "a", "node", paths={"state": "/srv/x/"}))
    assert (own.state, own.lock) == ("/srv/x", "/srv/x/lock")


def cut(script: str) -> list[str]:
    """The script, ended without warning before each line that changes something, and in the middle of it."""
    lines = script.splitlines()
    first = next(n for n, line in enumerate(lines) if line.startswith("sb_live="))
    return ["\n".join([*lines[:n], "kill -9 $$", *lines[n:]]) for n in range(first, len(lines) - 1)]


async def test_killed_anywhere_the_same_step_finishes(node: Any, work: Any, tmp_path: Path) -> None:
    first, one, two = upload(node, tmp_path, b"one"), sha(b"one"), sha(b"two")
    live, kept = Path(first.dest), Path(node.paths.previous(first.dest))
    places = cut(put_back(first.dest, node.paths, one))
    assert len(places) > 8
    assert (await act(work, first)).result == "changed"
    for place in places:
        assert (await act(work, upload(node, tmp_path, b"two"))).result == "changed"
        # A shell of its own: what ends is the script, and not the session that runs it.
        await node.session.run(f"sh -c {shlex.quote(place)}", timeout=20.0)
        assert live.read_bytes() in {b"one", b"two"}
        looked = await rollback(node.session, first.dest, node.paths, dry=True)
        assert isinstance(looked, Rollback), looked
        back = looked.again or looked.state == "same"
        assert back is (live.read_bytes() == b"one"), "what is asked again knows what was done"
        if not back:
            step = Run(
                id="u", host="n1", title="put back", script=put_back(first.dest, node.paths, one),
                check=FileIs(first.dest, one, 0o755),
            )  # fmt: skip
            ended = await act(work, step)
            assert ended.result == "changed", ended.diagnostic
            assert (kept / "kept").read_text() == f"{two} 755 taken\n"
        assert live.read_bytes() == b"one"
        assert {p.name for p in kept.iterdir()} <= {"kept", one, two}


async def test_an_upload_that_was_killed_while_it_kept_the_previous_file(
    node: Any, work: Any, tmp_path: Path
) -> None:
    """What it left: the live file under its second name already. GNU mv calls the two one file and fails."""
    first = upload(node, tmp_path, b"one")
    assert (await act(work, first)).result == "changed"
    kept = Path(node.paths.previous(first.dest))
    kept.mkdir(parents=True)
    (kept / sha(b"one")).hardlink_to(first.dest)
    ended = await act(work, upload(node, tmp_path, b"two"))
    assert ended.result == "changed", ended.diagnostic
    assert {p.name for p in kept.iterdir()} == {"kept", sha(b"one")}
    assert (kept / sha(b"one")).read_bytes() == b"one"


@pytest.mark.parametrize("cut_off", [True, False])
async def test_a_rollback_does_not_settle_what_an_apply_left(
    rig: Any, node: Any, plan_of: Any, cut_off: bool
) -> None:
    if cut_off:
        assert await write(node.session, node.paths, Entry("r1", "a", "started")) is None
    step = Run(id="back", host="n1", title="put back", script=f"touch {node.path('x')}", become=False)
    for settles, left in ((False, ["SB512"] if cut_off else []), (True, [])):
        report = await rig.apply(plan_of([step]), node, options=ApplyOptions(settles=settles))
        assert [row.outcome for row in report.hosts] == [HostOutcome.CHANGED]
        noted = await unfinished({"n1": node.fresh()}, "lab", {"n1": node.host})
        assert [d.code for d in noted] == left
