"""P6: names of files, hosts and values that an attacker chose: valid JSON, and a terminal that stays still."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from promise_kit import CONTROLS, Ran, Room
from session_kit import folder
from sshd_kit import openssh

from sealboot.lab.tinyelf import make
from sealboot.model.arch import Arch

NAMES = [
    b"\x1b[2J\x1b]0;x\x07",
    b"new\nline\rx",
    b"\xff\xfe\x80",
    "\u202egnp.exe".encode(),
    "\x9b31mred".encode(),
    b"[bold red]x[\\]",
    b"[link=x]",
    b"-rf",
    b"$(touch pwned)`touch pwned`;touch pwned",
    b"a" * 255,
    "\u200bzero".encode(),
    b"{{ secret.token }}",
    b"%s%n{0}",
    "\U0001f600\u0301\u0301\u0301".encode(),
]


@pytest.fixture
def place() -> Iterator[Path]:
    with folder() as made:
        yield made


def still(ran: Ran) -> None:
    """Nothing that was printed moves a cursor, hides text or is half a character."""
    assert not CONTROLS & set(ran.all), [bytes([c]) for c in CONTROLS & set(ran.all)]
    text = ran.all.decode()
    assert not set(text) & set("\x9b\u202e\u200b\u2028"), ascii(text)


@pytest.mark.parametrize("kind", ["plain", "json"])
async def test_files_with_hostile_names_are_inspected_checked_and_shipped(place: Path, kind: str) -> None:
    dest = place / "opt/tool"
    steps = [{"name": "ship", "upload": {"artifact": "tool", "dest": str(dest), "smoke": '"$1"'}}]
    with openssh(place / "sshd") as server:
        room = Room(place / "room", phases=[{"name": "p", "steps": steps}])
        room.add("n1", server)
        binaries = os.fsencode(room.folder / "binaries")
        (room.folder / "binaries/tool").unlink()
        for number, name in enumerate(NAMES):
            arch = Arch.AMD64 if number == 8 else Arch.ARM64
            Path(os.fsdecode(binaries + b"/" + name)).write_bytes(make(arch, "tool v2\n"))
        paths = [os.fsdecode(b"binaries/" + name) for name in NAMES]
        inspected = await room.run("inspect", *paths, "binaries", "--format", kind)
        still(inspected)
        if kind == "json":
            assert len(json.loads(inspected.out)["artifacts"]) >= len(NAMES)
        for command in (("check", "--matrix"), ("plan",), ("apply", "--yes", "-v")):
            ran = await room.run(*command, "--format", kind)
            still(ran)
            if kind == "json":
                json.loads(ran.out)
        assert ran.code == 0, ran
    assert dest.read_bytes() == make(Arch.AMD64, "tool v2\n")
    assert list(place.rglob("pwned")) == []


@pytest.mark.parametrize("name", ["\x1b[2J\u202e[/]", "a\n\ud800"])
@pytest.mark.parametrize("where", ["host", "address", "user", "role", "artifact", "dest", "cluster"])
async def test_hostile_values_in_the_inventory(place: Path, name: str, where: str) -> None:
    room = Room(place)
    room.hosts["h1"] = {
        "address": "127.0.0.1",
        "role": "node",
        "ssh": {"port": 1, "user": "ops", "connect_timeout": 1},
    }
    tree = {
        "version": 1,
        "cluster": {"name": "lab", "driver": "phases"},
        "hosts": room.hosts,
        "phases": [{"name": "p", "steps": [{"name": "x", "run": "true", "unless": "true"}]}],
    }
    match where:
        case "host":
            tree["hosts"] = {name: room.hosts["h1"]}
        case "address" | "role":
            room.hosts["h1"][where] = name
        case "user":
            room.hosts["h1"]["ssh"]["user"] = name
        case "artifact":
            tree["artifacts"] = {name: [name]}
        case "dest":
            tree["phases"] = [
                {"name": "p", "steps": [{"name": name, "write": {"dest": name, "content": name}}]}
            ]
        case _:
            tree["cluster"] = {"name": name, "driver": name}
    room.write()
    (room.folder / "x.yaml").write_text(json.dumps(tree))
    ran = await room.run("check", "-i", "x.yaml", "--format", "plain")
    assert ran.code in {0, 1, 2, 4}, ran
    still(ran)
