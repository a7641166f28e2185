from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from requires import requires

from sealboot.engine.steps import act, act_and_prove
from sealboot.engine.upload import smoke_problem
from sealboot.model.steps import Upload, WriteFile
from sealboot.transport.base import Result

PROGRAM = b'#!/bin/sh\necho tool v2 "$1"\n'


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "tool"
    file.write_bytes(PROGRAM)
    return file


def upload(node: Any, source: Path, **more: Any) -> Upload:
    data = source.read_bytes()
    settings: dict[str, Any] = {
        "id": "up",
        "host": "n1",
        "title": "ship tool",
        "source": str(source),
        "sha256": hashlib.sha256(data).hexdigest(),
        "size": len(data),
        "dest": node.path("bin/tool"),
        "smoke": '"$1" version',
        "smoke_expects": ("v2", "version"),
    }
    return Upload(**{**settings, **more})


async def test_a_file_goes_live_whole_with_mode_and_stamp(node: Any, work: Any, source: Path) -> None:
    step = upload(node, source, mode=0o751)
    end = await act_and_prove(work, step)
    assert (end.result, work.sent) == ("changed", len(PROGRAM))
    live = Path(step.dest)
    assert live.read_bytes() == PROGRAM
    assert live.stat().st_mode & 0o7777 == 0o751
    assert node.leftovers() == []
    assert Path(node.paths.stamp(step.dest)).read_text().startswith(step.sha256)


async def test_the_previous_file_is_kept(node: Any, work: Any, source: Path) -> None:
    step = upload(node, source)
    Path(step.dest).parent.mkdir()
    Path(step.dest).write_bytes(b"old one")
    assert (await act(work, step)).result == "changed"
    old = hashlib.sha256(b"old one").hexdigest()
    kept = Path(node.paths.previous(step.dest))
    assert (kept / old).read_bytes() == b"old one"
    assert (kept / "kept").read_text().split()[0] == old
    source.write_bytes(PROGRAM + b"# v3\n")
    assert (await act(work, upload(node, source))).result == "changed"
    assert sorted(p.name for p in kept.iterdir()) == sorted(["kept", hashlib.sha256(PROGRAM).hexdigest()])


async def test_a_running_program_is_replaced_by_rename(node: Any, work: Any, source: Path) -> None:
    step = upload(node, source, smoke="")
    Path(step.dest).parent.mkdir()
    Path(step.dest).write_bytes(Path("/bin/sleep").read_bytes())
    Path(step.dest).chmod(0o755)
    running = subprocess.Popen([step.dest, "60"])
    try:
        with pytest.raises(OSError, match="Text file busy"):
            Path(step.dest).write_bytes(b"in place")
        assert (await act_and_prove(work, step)).result == "changed"
        assert running.poll() is None
    finally:
        running.kill()
        running.wait()


async def test_damage_on_the_way_is_sent_again_once(node: Any, work: Any, source: Path) -> None:
    node.session.corrupt = 1
    end = await act_and_prove(work, upload(node, source))
    assert (end.result, work.sent) == ("changed", 2 * len(PROGRAM))


async def test_damage_twice_is_refused_and_nothing_is_left(node: Any, work: Any, source: Path) -> None:
    step = upload(node, source)
    Path(step.dest).parent.mkdir()
    Path(step.dest).write_bytes(b"old one")
    node.session.corrupt = 2
    end = await act_and_prove(work, step)
    assert end.result == "failed"
    assert end.diagnostic is not None
    assert end.diagnostic.code == "SB502"
    assert dict(end.diagnostic.evidence)["sent"] == f"sha256 {step.sha256}"
    assert Path(step.dest).read_bytes() == b"old one"
    assert node.leftovers() == []


async def test_a_source_that_changed_since_the_plan_is_refused_before_a_byte(
    node: Any, work: Any, source: Path
) -> None:
    step = upload(node, source)
    source.write_bytes(b"something else")
    end = await act(work, step)
    assert end.diagnostic is not None
    assert end.diagnostic.code == "SB504"
    source.unlink()
    end = await act(work, step)
    assert end.diagnostic is not None
    assert end.diagnostic.code == "SB504"
    assert node.session.calls == 0


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (b"#!/bin/sh\nexit 3\n", "exit status 3"),
        (b"#!/bin/sh\nkill -SEGV $$\n", "SIGSEGV"),
        (b"#!/no/such/interpreter\n", "not found: the file itself"),
        (b"\x7fELF\x02\x01\x01" + bytes(60), "found but not executable here"),
        (b"#!/bin/sh\n", "said nothing"),
        (b"#!/bin/sh\necho other\n", "lacks 'v2', 'version'"),
    ],
)
async def test_what_does_not_answer_its_smoke_test_never_goes_live(
    node: Any, work: Any, source: Path, script: bytes, why: str
) -> None:
    source.write_bytes(script)
    step = upload(node, source)
    end = await act_and_prove(work, step)
    assert end.diagnostic is not None
    assert end.diagnostic.code == "SB503"
    assert why in end.diagnostic.summary
    assert not Path(step.dest).exists()
    assert node.leftovers() == []


def test_statuses_of_signals_reported_by_a_shell_are_put_in_words() -> None:
    assert "SIGSEGV" in (smoke_problem(Result("exited", 139), ()) or "")
    assert smoke_problem(Result("timeout", None, seconds=60), ()) == "no answer within 60 s"
    assert smoke_problem(Result("exited", 0, b"v2"), ("v2",)) is None


async def test_leftovers_of_dead_runs_are_removed(node: Any, work: Any, source: Path) -> None:
    step = upload(node, source)
    folder = Path(step.dest).parent
    folder.mkdir()
    (folder / ".tool.sealboot-dead").write_bytes(b"half")
    (folder / ".other.sealboot-dead").write_bytes(b"not ours to judge")
    assert (await act(work, step)).result == "changed"
    assert sorted(p.name for p in folder.iterdir()) == [".other.sealboot-dead", "tool"]


async def test_a_directory_in_the_way(node: Any, work: Any, source: Path) -> None:
    step = upload(node, source)
    Path(step.dest).mkdir(parents=True)
    end = await act(work, step)
    assert end.diagnostic is not None
    assert end.diagnostic.code == "SB302"
    assert "a directory stands in its place" in end.diagnostic.summary
    assert list(Path(step.dest).iterdir()) == []


@pytest.fixture
def mounted(node: Any) -> Iterator[Any]:
    """Mounts a tmpfs at the node's `bin` with given options."""
    requires("namespaces")
    place = Path(node.path("bin"))
    place.mkdir()

    def mount(options: str) -> Path:
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=True)
        return place

    yield mount
    subprocess.run(["umount", "-l", str(place)], check=False, stderr=subprocess.DEVNULL)


async def test_a_full_file_system_is_said_before_sending(
    node: Any, work: Any, source: Path, mounted: Any
) -> None:
    mounted("size=1m")
    source.write_bytes(bytes(4 << 20))
    end = await act(work, upload(node, source))
    assert end.diagnostic is not None
    assert end.diagnostic.code == "SB301"
    assert "need 4,194,304 bytes, free 1,048,576 bytes" in end.diagnostic.summary
    assert work.sent == 0


async def test_a_disk_that_fills_during_the_transfer(
    node: Any, work: Any, source: Path, mounted: Any
) -> None:
    place = mounted("size=2m")
    source.write_bytes(bytes(1 << 20))
    step = upload(node, source)
    Path(step.dest).write_bytes(b"old one")

    def fill(number: int, script: str) -> None:
        if script.startswith("put "):
            (place / "hog").write_bytes(bytes((3 << 19) - 8192))

    node.session.before = fill
    end = await act(work, step)
    assert end.diagnostic is not None
    assert end.diagnostic.code == "SB301"
    assert "need 1,048,576 bytes, free 5" in end.diagnostic.summary
    assert Path(step.dest).read_bytes() == b"old one"
    assert sorted(p.name for p in place.iterdir()) == ["hog", "tool"]


async def test_a_program_that_says_why_it_ends_with_127_is_believed(
    node: Any, work: Any, source: Path
) -> None:
    source.write_bytes(b"#!/bin/sh\necho 'ifplugd: applet not found' >&2\nexit 127\n")
    end = await act(work, upload(node, source))
    assert end.diagnostic is not None
    assert end.diagnostic.summary.endswith("exit status 127, often a command that was not found")
    assert ("error", "ifplugd: applet not found") in end.diagnostic.evidence
    assert not any("SB613" in note for note in end.diagnostic.notes)
    assert end.diagnostic.hints == ()


async def test_a_noexec_mount_is_named(node: Any, work: Any, source: Path, mounted: Any) -> None:
    place = mounted("noexec")
    end = await act(work, upload(node, source))
    assert end.diagnostic is not None
    assert end.diagnostic.code == "SB503"
    assert f"{place} is mounted noexec" in end.diagnostic.summary
    assert list(place.iterdir()) == []


async def test_a_read_only_mount(node: Any, work: Any, source: Path, mounted: Any) -> None:
    mounted("ro")
    end = await act(work, upload(node, source))
    assert end.diagnostic is not None
    assert end.diagnostic.code == "SB302"
    assert "not writable" in end.diagnostic.summary


async def test_an_odd_name_is_only_a_name(node: Any, work: Any) -> None:
    dest = node.path("odd/-n $(touch pwned) 'q\"*?[")
    step = WriteFile(id="w", host="n1", title="write", dest=dest, content="x\n", mode=0o640)
    assert (await act_and_prove(work, step)).result == "changed"
    assert Path(dest).read_text() == "x\n"
    assert Path(dest).stat().st_mode & 0o777 == 0o640
    assert sorted(p.name for p in Path(dest).parent.iterdir()) == [Path(dest).name]
