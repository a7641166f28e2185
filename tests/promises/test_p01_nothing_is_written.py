"""P1 and P17: looking writes nothing, on hosts or here; and nothing is written before every host passed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from promise_kit import Process, Room, first_lines, hostile
from requires import requires
from session_kit import folder
from sshd_kit import openssh

#: System calls that change a file system (Linux, x86-64 names of strace).
WRITING = "open,openat,creat,mkdir,mkdirat,unlink,unlinkat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,chmod,fchmod,fchmodat,chown,fchown,lchown,fchownat,truncate,ftruncate,mknod,mknodat,utimensat,utime,utimes"


@pytest.fixture
def place() -> Iterator[Path]:
    with folder() as made:
        yield made


def phases(place: Path) -> list[dict[str, Any]]:
    return [
        {
            "name": "go",
            "steps": [
                {
                    "name": "ship",
                    "upload": {"artifact": "tool", "dest": f"{place}/opt/bin/tool", "smoke": '"$1"'},
                },
                {"name": "conf", "write": {"dest": f"{place}/opt/etc/conf", "content": "x\n"}},
                {"name": "run", "run": f"touch {place}/opt/ran", "creates": f"{place}/opt/ran"},
            ],
        }
    ]


def listing(*roots: Path) -> dict[str, tuple[int, ...]]:
    """Every file: mode, owner, size, times of change, inode (never the time of reading)."""
    found: dict[str, tuple[int, ...]] = {}
    for root in roots:
        for path in (root, *root.rglob("*")):
            seen = path.lstat()
            found[str(path)] = (
                seen.st_mode,
                seen.st_uid,
                seen.st_size,
                seen.st_mtime_ns,
                seen.st_ctime_ns,
                seen.st_ino,
            )
    return found


@pytest.mark.parametrize("command", [("check",), ("plan",), ("facts",), ("lock", "status")])
async def test_looking_writes_nothing(place: Path, command: tuple[str, ...]) -> None:
    """The home and state of the host, its temporary folders, and everything of the operator's."""
    (place / "opt").mkdir()
    with openssh(
        place / "sshd",
        setup=f"mkdir -p {place}/roothome\nmount --bind {place}/roothome /root\nmkdir -p {place}/vartmp {place}/varlib\nmount --bind {place}/vartmp /var/tmp\nmount --bind {place}/varlib /var/lib\n",
    ) as server:
        room = Room(place / "room", phases=phases(place))
        room.add("n1", server)
        room.write()
        roots = (place / "room", place / "opt", place / "roothome", place / "vartmp", place / "varlib")
        before = listing(*roots)
        ran = await room.run(*command, "--format", "json")
        assert ran.code in {0, 1}, ran
        # The inventory is written by the test itself before each command.
        mine = str(place / "room/inventory.yaml")
        assert {k: v for k, v in listing(*roots).items() if k != mine} == {
            k: v for k, v in before.items() if k != mine
        }
        assert not (server.folder / "state").exists()


async def test_no_system_call_of_a_check_or_plan_writes_on_the_host(place: Path) -> None:
    requires("strace", "tracing")
    trace = place / "trace"
    # A home without rc files: what a login shell's own do is not ours.
    home = f"mkdir -p {place}/roothome\nmount --bind {place}/roothome /root\n"
    with openssh(place / "sshd", setup=home) as server:
        room = Room(place / "room", phases=phases(place))
        room.add("n1", server)
        tracer = subprocess.Popen(
            ["strace", "-f", "-qq", "-e", f"trace={WRITING}", "-o", str(trace), "-p", str(server.pid)],
            stderr=subprocess.PIPE,
        )
        try:
            assert tracer.stderr
            while int(_status(server.pid, "TracerPid")) != tracer.pid:
                os.sched_yield()
            for command in ("check", "plan"):
                assert (await room.run(command, "--format", "json")).code == 0
        finally:
            tracer.terminate()
            tracer.communicate()
    bad = [line for line in trace.read_text(errors="replace").splitlines() if _writes(line)]
    assert bad == []


def _status(pid: int, name: str) -> str:
    return next(
        line.split()[1]
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith(name)
    )


def _writes(line: str) -> bool:
    """Whether a traced call changed a file; what sshd does for a login (tty, utmp, its log) is not ours."""
    call = line.split(None, 1)[1] if " " in line else ""
    if (
        " = -1 " in call
        or call.startswith(("+++", "---"))
        or '"/dev/' in call
        or '"/proc/' in call
        or '"/run/' in call
    ):
        return False
    if call.startswith(("open(", "openat(")):
        return any(flag in call for flag in ("O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"))
    return not call.startswith("<...")


async def broken(process: Process) -> None:
    """A host that is no shell."""
    await first_lines(process)
    process.exit(1)


@pytest.mark.parametrize("extra", [(), ("--max-failures", "9")])
async def test_one_bad_host_and_no_host_is_touched(place: Path, extra: tuple[str, ...]) -> None:
    (place / "opt").mkdir()
    with openssh(place / "sshd") as server:
        room = Room(place / "room", phases=phases(place))
        room.add("n1", server)
        async with hostile(room, "bad", broken):
            ran = await room.run("apply", "--yes", *extra, "--format", "json")
        assert ran.code in {1, 4}, ran
        assert list((place / "opt").iterdir()) == []
        assert not (server.folder / "state").exists()


async def test_a_saved_plan_is_no_way_around_the_checks(place: Path) -> None:
    """Edited by hand, aimed at another host, or made before the file changed: refused, and nothing is written."""
    (place / "opt").mkdir()
    with openssh(place / "sshd") as server:
        room = Room(place / "room", phases=phases(place))
        room.add("n1", server)
        assert (await room.run("plan", "-o", "saved", "--format", "json")).code in {0, 10}
        saved = room.folder / "saved"
        good = saved.read_text()
        for old, new in (
            (f"touch {place}/opt/ran", f"touch {place}/opt/evil"),
            (f"{place}/opt/bin/tool", f"{place}/opt/bin/evil"),
            ('"n1"', '"n2"'),
        ):
            assert old in good
            saved.write_text(good.replace(old, new))
            ran = await room.run("apply", "saved", "--format", "json")
            assert ran.code in {1, 2}, ran
        saved.write_text(good)
        tool = room.folder / "binaries/tool"
        tool.write_bytes(tool.read_bytes() + b"!")
        ran = await room.run("apply", "saved", "--format", "json")
        assert ran.code in {1, 9}, ran
        assert list((place / "opt").iterdir()) == []
