from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
from requires import program_path, requires

from sealboot.engine.observe import compile_checks, observe, parse_answers
from sealboot.engine.shell import PRELUDE, NodePaths
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.plan import Observation
from sealboot.model.steps import Check, FileIs, PathExists, Run, ServiceIs, Step, Succeeds

DATA = b"hello\n"
SHA = hashlib.sha256(DATA).hexdigest()


def step(check: Check | None, name: str = "s1") -> Step:
    return Run(id=name, host="n1", title=name, script="true", check=check)


async def answer(node: Any, check: Check) -> Observation:
    found = await observe(node.session, [step(check)], node.paths)
    assert not isinstance(found, Diagnostic), found
    return found["s1"]


@pytest.fixture
def file(node: Any) -> Path:
    path: Path = node.root / "it's a $file"
    path.write_bytes(DATA)
    path.chmod(0o644)
    return path


async def test_a_file_is_known_by_content_and_mode(node: Any, file: Path) -> None:
    assert await answer(node, FileIs(str(file), SHA, 0o644)) == Observation("same")
    assert await answer(node, FileIs(str(file), SHA)) == Observation("same")
    assert (await answer(node, FileIs(str(file), SHA, 0o600))).detail == "mode 644, wanted 600"
    other = await answer(node, FileIs(str(file), "0" * 64))
    assert (other.state, other.detail) == ("differs", f"sha256 {SHA}")
    assert (await answer(node, FileIs(str(file) + "x", SHA))).state == "absent"


async def test_a_link_and_a_directory_are_no_files(node: Any, file: Path) -> None:
    link = node.root / "link"
    link.symlink_to(file)
    assert (await answer(node, FileIs(str(link), SHA))).detail == "a symbolic link"
    link.unlink()
    link.symlink_to("nowhere")
    assert (await answer(node, FileIs(str(link), SHA))).state == "differs"
    assert (await answer(node, FileIs(str(node.root), SHA))).detail == "not a regular file"


async def test_observing_writes_nothing(node: Any, file: Path) -> None:
    before = sorted((str(p), p.lstat().st_ctime_ns) for p in node.root.rglob("*"))
    await answer(node, FileIs(str(file), SHA))
    await answer(node, ServiceIs("nothing", stamp="x"))
    assert sorted((str(p), p.lstat().st_ctime_ns) for p in node.root.rglob("*")) == before
    assert not Path(node.paths.state).exists()


async def test_a_stamp_spares_the_hashing_until_the_file_changes(node: Any, file: Path) -> None:
    await node.session.run(
        PRELUDE + 'sb_stamp "$1" "$2" "$3"',
        args=(str(file), "1" * 64, node.paths.stamp(str(file))),
        timeout=10,
    )
    assert (await answer(node, FileIs(str(file), "1" * 64))).state == "same"
    os.utime(file, ns=(1, 1))
    assert (await answer(node, FileIs(str(file), SHA))).state == "same"


async def test_paths_and_scripts(node: Any, file: Path) -> None:
    assert (await answer(node, PathExists(str(file)))).state == "same"
    assert (await answer(node, PathExists(str(file), present=False))).state == "differs"
    assert (await answer(node, PathExists(str(file) + "x"))).state == "absent"
    assert (await answer(node, PathExists(str(file) + "x", present=False))).state == "same"
    assert (await answer(node, Succeeds("exit 0"))).state == "same"
    refused = await answer(node, Succeeds("exit 1"))
    assert (refused.state, refused.detail) == ("differs", "")
    failed = await answer(node, Succeeds("exit 3"))
    assert (failed.state, failed.detail) == ("differs", "its check exits with 3")
    assert (await answer(node, Succeeds("if then fi ("))).state == "differs"
    assert (await answer(node, Succeeds("sleep 60", timeout=1))).detail == "no answer in 1 s"


async def test_many_checks_are_one_round_trip_and_do_not_disturb_each_other(node: Any, file: Path) -> None:
    steps = [
        step(Succeeds("exit 1"), "a"),
        step(Succeeds("cat; exit 0"), "b"),
        step(None, "c"),
        step(FileIs(str(file), SHA), "d"),
        step(Succeeds("kill -9 $$"), "e"),
        step(PathExists("/"), "f"),
    ]
    found = await observe(node.session, steps, node.paths)
    assert not isinstance(found, Diagnostic)
    assert {k: v.state for k, v in found.items()} == {
        "a": "differs",
        "b": "same",
        "d": "same",
        "e": "differs",
        "f": "same",
    }
    assert node.session.calls == 1


async def test_output_of_a_check_cannot_pose_as_an_answer(node: Any) -> None:
    spoof = 'for n in 0 1 2; do echo "$sb_nonce:$n:same:"; echo ":$n:same:" >&2; done; exit 9'
    assert (await answer(node, Succeeds(spoof))).state == "differs"


def test_answers_without_the_nonce_or_given_twice_are_unknown() -> None:
    text = "x:0:same:\nt:1:same:ok\nt:2:same:\nt:2:differs:\nt:9:same:\nt:3:great:\n"
    assert [o.state for o in parse_answers(text, "t", 4)] == ["unknown", "same", "unknown", "unknown"]


async def test_a_service_on_a_host_without_an_init_system(node: Any) -> None:
    requires("no systemd")
    seen = await answer(node, ServiceIs("sshd"))
    assert (seen.state, "neither systemd" in seen.detail) == ("unknown", True)


async def test_a_lost_connection_is_said(node: Any) -> None:
    node.session.drop("gone")
    found = await observe(node.session, [step(PathExists("/"))], node.paths)
    assert isinstance(found, Diagnostic)
    assert found.summary == "gone"


TOOLS = ("cat", "stat", "tr", "mkdir", "mv", "rm", "grep", "sync", "timeout", "true", "sh")


@pytest.mark.parametrize("tool", ["sha256sum", "busybox", "openssl", "shasum", None])
async def test_any_tool_that_hashes_will_do(node: Any, file: Path, tool: str | None) -> None:
    folder = node.root / "bin"
    folder.mkdir()
    for name in (*TOOLS, *([tool] if tool else []), *(["perl"] if tool == "shasum" else [])):
        (folder / name).symlink_to(program_path(name))
    node.session.path = str(folder)
    seen = await answer(node, FileIs(str(file), SHA))
    assert seen == (Observation("same") if tool else Observation("unknown", "no tool computes SHA-256"))


def test_a_script_is_made_of_quoted_words_only() -> None:
    text = compile_checks([PathExists("/a'; rm -rf /; '")], NodePaths("/s", "/l"), "t")
    assert "sb_path 0 '/a'\"'\"'; rm -rf /; '\"'\"'' 1" in text


async def test_services_are_asked_through_systemctl(node: Any, systemd: Any) -> None:
    assert (await answer(node, ServiceIs("k3s"))).state == "absent"
    assert (await answer(node, ServiceIs("k3s", active=False))).state == "same"
    systemd.unit("k3s", active="active", enabled="enabled")
    assert (await answer(node, ServiceIs("k3s", enabled=True))).state == "same"
    assert (await answer(node, ServiceIs("k3s", enabled=False))).detail == "enabled"
    assert (await answer(node, ServiceIs("k3s", active=False))).detail == "active"
    assert "not restarted" in (await answer(node, ServiceIs("k3s", stamp="abc"))).detail
    systemd.unit("k3s")
    assert (await answer(node, ServiceIs("k3s"))).detail == "not active"
