"""P5: canaries are planted wherever a secret may come from; then every byte that anybody can read is searched."""

from __future__ import annotations

import asyncio
import base64
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from promise_kit import Process, Ran, Room, ended, first_lines, hostile
from requires import requires
from session_kit import folder
from sshd_kit import Server, User, openssh

#: Every command line of this machine is looked at: two of these at once would find each other's.
pytestmark = pytest.mark.xdist_group("canaries")

LOGIN = "canary-login-7Qz!'\"x"
SUDO = "canary-sudo-8Wk$`x"
TOKEN = "canary-token-9Rj"
#: The part of each that no quoting changes.
VALUES = ("canary-login-7Qz", "canary-sudo-8Wk", "canary-token-9Rj")

_SUDOERS = (
    "cat >/run/sudoers <<'EOF'\nroot ALL=(ALL:ALL) ALL\nops ALL=(ALL:ALL) ALL\nEOF\n"
    "chmod 440 /run/sudoers\nmount --bind /run/sudoers /etc/sudoers\n"
)


@pytest.fixture
def place() -> Iterator[Path]:
    with folder() as made:
        yield made


def forms(value: str) -> set[bytes]:
    raw = value.encode()
    return {raw, base64.b64encode(raw[:15]), raw.hex().encode()}


def leaked(data: bytes) -> list[str]:
    """The canaries that a text holds."""
    return [value for value in VALUES if any(form in data for form in forms(value))]


def files_with_secrets(root: Path, *, but: set[Path]) -> list[str]:
    candidates = (p for p in root.rglob("*") if p.is_file() and not p.is_symlink() and p not in but)
    return [f"{path}: {told}" for path in candidates if (told := leaked(path.read_bytes()))]


async def watched(process: asyncio.subprocess.Process, server: Server) -> tuple[Ran, list[str]]:
    """Wait for the command while the process table is searched: command lines and, on the host, environments."""
    found: set[str] = set()
    mine = (Path("/proc/self/cmdline").read_bytes(),)
    going = asyncio.ensure_future(ended(process))
    while not going.done():
        for entry in await asyncio.to_thread(os.listdir, "/proc"):
            if not entry.isdigit():
                continue
            try:
                line = Path(f"/proc/{entry}/cmdline").read_bytes()
            except OSError:
                continue
            if line not in mine and leaked(line):
                found.add(f"cmdline: {line!r}")
        for pid in server.session_pids():
            try:
                environment = Path(f"/proc/{pid}/environ").read_bytes()
            except OSError:
                continue
            if leaked(environment):
                found.add(f"environ of {Path(f'/proc/{pid}/comm').read_text()!r}")
        await asyncio.sleep(0.002)
    return going.result(), sorted(found)


def phases(place: Path) -> list[dict[str, Any]]:
    return [
        {
            "name": "read",
            "steps": [{"name": "token", "capture": {"run": f"cat {place}/source", "into": "token"}}],
        },
        {
            "name": "use",
            "steps": [
                {
                    "name": "conf",
                    "write": {"dest": f"{place}/conf/secret.conf", "content": "token={{ secret.token }}\n"},
                },
                {
                    "name": "fails",
                    "run": {
                        "script": f"cat {place}/conf/secret.conf; cat {place}/conf/secret.conf >&2; sleep 0.4; exit 7"
                    },
                },
            ],
        },
    ]


@pytest.mark.parametrize(("source", "kind"), [("env", "plain"), ("file", "json"), ("fd", "jsonl")])
async def test_no_canary_sings(place: Path, kind: str, source: str) -> None:
    requires("sudo")
    (place / "source").write_text(f"{TOKEN}\n")
    (place / "source").chmod(0o600)
    setup = _SUDOERS
    with openssh(
        place / "sshd",
        users=(User("ops", SUDO),),
        setup=setup,
        config="LogLevel DEBUG3\nPasswordAuthentication yes\n",
    ) as server:
        room = Room(place / "room", phases=phases(place))
        room.add("n1", server, user="ops")
        lock = ["ssh-keygen", "-q", "-p", "-N", LOGIN, "-f", str(server.identity)]
        subprocess.run(lock, check=True, stdout=subprocess.DEVNULL)
        secrets = place / "secrets"
        secrets.mkdir(mode=0o700)
        but = {place / "source", place / "conf/secret.conf"}
        passed: list[int] = []
        for name, value in (("login", LOGIN), ("sudo", SUDO)):
            path = secrets / name
            path.write_text(value + "\n")
            path.chmod(0o600)
            but.add(path)
        if source == "fd":
            passed = [os.open(secrets / n, os.O_RDONLY) for n in ("login", "sudo")]
        names = {
            "env": ("env:LOGIN_PW", "env:SUDO_PW"),
            "file": (f"file:{secrets}/login", f"file:{secrets}/sudo"),
            "fd": tuple(f"fd:{fd}" for fd in passed),
        }[source]
        if source == "env":
            room.env |= {"LOGIN_PW": LOGIN, "SUDO_PW": SUDO}
        room.hosts["n1"]["ssh"]["passphrase_from"] = names[0]
        room.hosts["n1"]["become"] = {"method": "sudo", "password_from": names[1]}
        process = await room.start("apply", "--yes", "-v", "--format", kind, pass_fds=passed)
        ran, found = await watched(process, server)
        for fd in passed:
            os.close(fd)
        assert ran.code == 3, ran
        assert (place / "conf/secret.conf").read_text() == f"token={TOKEN}\n"
        assert (place / "conf/secret.conf").stat().st_mode & 0o777 == 0o600
        assert found == []
        assert leaked(ran.all) == [], ran.all.decode()
        assert b"token=***" in ran.all, "the step's output is quoted, without the token"
        if source != "fd":
            planned = await room.run("plan", "-o", "saved.plan", "--format", "json")
            assert planned.code in {0, 10}, planned
            assert leaked(planned.all) == []
        assert files_with_secrets(place, but=but) == []


async def repeats(process: Process) -> None:
    """An account whose shell tells everybody the password (a wrapper that logs, a forced command)."""
    await first_lines(process)
    process.stdout.write(f"debug: login of ops with {LOGIN}\n".encode())
    process.stderr.write(f"debug: login of ops with {LOGIN}\n".encode())
    process.exit(1)


@pytest.mark.parametrize("kind", ["plain", "json", "jsonl"])
async def test_a_host_that_repeats_the_password(place: Path, kind: str) -> None:
    room = Room(place, env={"LOGIN_PW": LOGIN})
    async with hostile(room, "h1", repeats, password=LOGIN) as tries:
        room.hosts["h1"]["ssh"]["password_from"] = "env:LOGIN_PW"
        ran = await room.run("check", "-v", "--format", kind)
    assert tries == [LOGIN]
    assert ran.code in {1, 4}
    assert leaked(ran.all) == [], ran.all.decode()


async def test_a_wrong_password_is_tried_once_on_each_host_and_not_shown(place: Path) -> None:
    """P16: also where password and keyboard-interactive are both offered, and on a second host."""
    room = Room(place, env={"LOGIN_PW": LOGIN})
    async with (
        hostile(room, "h1", repeats, password="other") as first,
        hostile(room, "h2", repeats, password="other") as second,
    ):
        for name in ("h1", "h2"):
            room.hosts[name]["ssh"]["password_from"] = "env:LOGIN_PW"
        ran = await room.run("apply", "--yes", "--format", "json")
    assert (first, second) == ([LOGIN], [LOGIN])
    assert ran.codes == ["SB204", "SB204"]
    assert leaked(ran.all) == []
