"""P2, P3: what goes live is what was planned and proved; readers never see half of it."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from promise_kit import Room
from session_kit import folder
from sshd_kit import Server, openssh

from sealboot.lab.tinyelf import make
from sealboot.model.arch import Arch


@pytest.fixture
def place() -> Iterator[Path]:
    with folder() as made:
        yield made


@pytest.fixture
def server(place: Path) -> Iterator[Server]:
    with ExitStack() as stack:
        yield stack.enter_context(openssh(place / "sshd"))


def upload(dest: Path, smoke: str = '"$1"', **more: Any) -> list[dict[str, Any]]:
    return [
        {
            "name": "go",
            "steps": [
                {"name": "ship", "upload": {"artifact": "tool", "dest": str(dest), "smoke": smoke}, **more}
            ],
        }
    ]


async def test_a_smoke_test_that_changes_the_file_does_not_let_it_go_live(
    place: Path, server: Server
) -> None:
    dest = place / "opt/tool"
    room = Room(place / "room", phases=upload(dest, '"$1" && printf evil >>"$1"'))
    room.add("n1", server)
    ran = await room.run("apply", "--yes", "--format", "json")
    assert ran.code in {3, 9}, ran
    assert not dest.exists()
    assert list((place / "opt").iterdir()) == []


async def test_the_file_is_swapped_on_the_controller_while_it_is_sent(place: Path, server: Server) -> None:
    """The bytes that were looked at are the bytes that run, or none: a swap keeps size and time."""
    dest = place / "opt/tool"
    room = Room(place / "room", phases=upload(dest))
    room.add("n1", server)
    tool = room.folder / "binaries/tool"
    good = tool.read_bytes() + os.urandom(24 << 20)
    tool.write_bytes(good)
    seen = tool.stat()
    running = await room.start("apply", "--yes", "--format", "jsonl", stdout=asyncio.subprocess.PIPE)
    assert running.stdout
    while line := await running.stdout.readline():
        if b'"StepStarted"' in line:
            with tool.open("r+b") as file:
                file.seek(len(good) - 100)
                file.write(b"E" * 100)
            os.utime(tool, ns=(seen.st_atime_ns, seen.st_mtime_ns))
            break
    await asyncio.wait_for(running.communicate(), 30)
    if dest.exists():
        assert hashlib.sha256(dest.read_bytes()).digest() == hashlib.sha256(good).digest()
    else:
        assert running.returncode in {3, 9}
    assert [p.name for p in (place / "opt").rglob("*") if p.name != "tool"] == []


@pytest.mark.parametrize("kind", ["directory", "link to directory", "parent is a file"])
async def test_a_destination_that_is_no_file_is_refused_and_left_alone(
    place: Path, server: Server, kind: str
) -> None:
    dest = place / "opt/tool"
    (place / "opt").mkdir()
    (place / "etc").mkdir()
    if kind == "directory":
        dest.mkdir()
    elif kind == "link to directory":
        dest.symlink_to(place / "etc")
    else:
        (place / "opt").rmdir()
        (place / "opt").write_text("a file")
    room = Room(place / "room", phases=upload(dest))
    room.add("n1", server)
    ran = await room.run("apply", "--yes", "--format", "json")
    assert ran.code in {1, 3}, ran
    assert list((place / "etc").iterdir()) == []
    if kind != "parent is a file":
        assert [p.name for p in (place / "opt").iterdir()] == ["tool"]


async def test_a_link_in_place_of_the_file_is_replaced_and_its_target_left_alone(
    place: Path, server: Server
) -> None:
    dest = place / "opt/tool"
    (place / "opt").mkdir()
    other = place / "shadow"
    other.write_text("precious")
    dest.symlink_to(other)
    room = Room(place / "room", phases=upload(dest))
    room.add("n1", server)
    ran = await room.run("apply", "--yes", "--format", "json")
    assert ran.code == 0, ran
    assert not dest.is_symlink()
    assert other.read_text() == "precious"


async def test_a_hard_link_keeps_its_old_bytes(place: Path, server: Server) -> None:
    """An upgrade makes a new file; whoever linked the old one keeps exactly that."""
    dest = place / "opt/tool"
    (place / "opt").mkdir()
    old = make(Arch.AMD64, "tool v1\n")
    dest.write_bytes(old)
    dest.chmod(0o755)
    os.link(dest, place / "opt/kept")
    room = Room(place / "room", phases=upload(dest))
    room.add("n1", server)
    assert (await room.run("apply", "--yes", "--format", "json")).code == 0
    assert (place / "opt/kept").read_bytes() == old
    assert dest.read_bytes() == (room.folder / "binaries/tool").read_bytes()


async def test_readers_see_the_whole_old_or_the_whole_new_file(place: Path, server: Server) -> None:
    dest = place / "opt/tool"
    (place / "opt").mkdir()
    old = make(Arch.AMD64, "tool v1\n")
    dest.write_bytes(old)
    dest.chmod(0o755)
    room = Room(place / "room", phases=upload(dest))
    tool = room.folder / "binaries/tool"
    tool.write_bytes(tool.read_bytes() + os.urandom(16 << 20))
    room.add("n1", server)
    wanted = {hashlib.sha256(old).digest(), hashlib.sha256(tool.read_bytes()).digest()}
    running = await room.start("apply", "--yes", "--format", "json")
    going = asyncio.ensure_future(running.communicate())
    seen: set[bytes] = set()
    said: set[tuple[int | None, bytes]] = set()
    while not going.done():
        seen.add(hashlib.sha256(await asyncio.to_thread(dest.read_bytes)).digest())
        program = await asyncio.create_subprocess_exec(str(dest), stdout=asyncio.subprocess.PIPE)
        out, _ = await program.communicate()
        said.add((program.returncode, out))
    await going
    assert running.returncode == 0
    assert seen <= wanted, "a reader saw something between old and new"
    assert {text for _, text in said} <= {b"tool v1\n", b"tool v2\n"}
    assert {code for code, _ in said} == {0}


async def test_a_host_whose_hash_tool_lies_about_a_damaged_copy(place: Path) -> None:
    """`sha256sum` says what the host wishes; a copy that the host shows to differ never goes live."""
    lie = place / "lie"
    lie.mkdir()
    (lie / "sha256sum").write_text("#!/bin/sh\ncat >/dev/null\necho " + "0" * 64 + "  -\n")
    (lie / "sha256sum").chmod(0o755)
    setup = f"mount --bind '{lie}/sha256sum' /usr/bin/sha256sum"
    with openssh(place / "sshd", setup=setup) as server:
        dest = place / "opt/tool"
        room = Room(place / "room", phases=upload(dest))
        room.add("n1", server)
        ran = await room.run("apply", "--yes", "--format", "json")
    assert (ran.code, ran.codes) == (9, ["SB502"]), ran
    assert not dest.exists()
