"""kubeconfig, reset and rollback as processes of their own, against a stock OpenSSH."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from access_kit import admin
from jsonschema import Draft202012Validator
from promise_kit import Ran, Room, ended
from session_kit import folder
from sshd_kit import Server, free_port, openssh

from sealboot.drivers.sealos_marks import DONE
from sealboot.lab.tinyelf import make
from sealboot.model.arch import Arch

PORTS = (free_port(), free_port())
ROOT = Path(__file__).parents[2]
REPORT = Draft202012Validator(json.loads((ROOT / "schemas/report.schema.json").read_text()))


@pytest.fixture
def place() -> Iterator[Path]:
    with folder() as made:
        yield made


@pytest.fixture
def server(place: Path) -> Iterator[Server]:
    """One machine that answers on three ports, and so is three hosts of an inventory."""
    with openssh(place / "sshd", config="".join(f"Port {port}\n" for port in PORTS)) as made:
        yield made


class Cluster(Room):
    """A folder whose inventory is of another driver than `phases`."""

    tree: dict[str, Any]

    def write(self) -> None:
        """Write inventory and trust."""
        tree = {"version": 1, "hosts": self.hosts, **self.tree}
        (self.folder / "inventory.yaml").write_text(json.dumps(tree))
        (self.folder / "known_hosts").write_text(self.known)


def cluster(place: Path, server: Server, roles: dict[str, str], **tree: Any) -> Cluster:
    made = Cluster(place / "room")
    made.tree = tree
    for (name, role), port in zip(roles.items(), (server.port, *PORTS), strict=False):
        made.add(name, server, state=place / f"state-{name}", port=port)
        made.known += server.known_hosts(name=f"[{server.host}]:{port}")
        made.hosts[name]["role"] = role
    return made


def files_with(key: str, root: Path) -> list[str]:
    found = (p for p in root.rglob("*") if p.is_file() and not p.is_symlink())
    return sorted(str(p.relative_to(root)) for p in found if key.encode() in p.read_bytes())


def document(ran: Ran) -> dict[str, Any]:
    REPORT.validate(ran.document)
    return ran.document


async def answered(room: Room, answer: bytes, *arguments: str) -> Ran:
    """Run a command on a terminal that types this when it is asked; standard output stays a pipe."""
    mine, its = pty.openpty()
    try:
        process = await room.start(*arguments, stdin=its, stderr=its)
        os.close(its)
        shown = b""
        while b"Type the cluster's name (lab)" not in shown:
            shown += await asyncio.to_thread(os.read, mine, 4096)
        os.write(mine, answer)
        return await ended(process)
    finally:
        os.close(mine)


async def test_kubeconfig(place: Path, server: Server) -> None:
    theirs, key = place / "k3s.yaml", admin().key
    theirs.write_text(admin().text())
    theirs.chmod(0o600)
    room = cluster(
        place,
        server,
        {"s1": "server", "s2": "server", "a1": "agent"},
        cluster={"name": "lab", "driver": "k3s"},
        options={"server_config": {"write-kubeconfig": str(theirs)}},
    )
    for number, name in enumerate(room.hosts):
        room.hosts[name]["vars"] = {"ip": f"10.9.0.{number + 1}"}
    first = await room.run("kubeconfig", "-v", "--format", "json")
    assert first.code == 0, first
    told = document(first)
    assert (told["host"], told["server"], told["state"]) == ("s1", "https://10.9.0.1:6443", "created")
    made = place / "room/kubeconfig"
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    tree = yaml.safe_load(made.read_text())
    assert tree["current-context"] == tree["clusters"][0]["name"] == tree["users"][0]["name"] == "lab"
    assert tree["clusters"][0]["cluster"]["server"] == "https://10.9.0.1:6443"

    # The first server is down: the second one is asked, and its own address is what reaches the API now.
    room.hosts["s1"]["ssh"]["port"] = free_port()
    config = place / "room/home/.kube/config"
    config.parent.mkdir()
    config.write_text(admin("other").text("work"))
    merge = await room.run("kubeconfig", "--merge", "-v")
    assert merge.code == 0, merge
    assert b"warning[SB201]" in merge.out
    assert b"kubectl --context lab get nodes" in merge.out
    both = yaml.safe_load(config.read_text())
    assert [c["name"] for c in both["clusters"]] == ["work", "lab"]
    assert both["clusters"][1]["cluster"]["server"] == "https://10.9.0.2:6443"
    (backup,) = config.parent.glob("config.*.bak")
    assert backup.read_text() == admin("other").text("work")

    printed = await room.run(
        "kubeconfig", "-o", "-", "-l", "s2", "--format", "jsonl", "--server", "https://x"
    )
    assert printed.code == 0, printed
    assert yaml.safe_load(printed.out)["clusters"][0]["cluster"]["server"] == "https://x"

    secret = [ran.all for ran in (first, merge)] + [printed.err]
    assert all(key.encode() not in text for text in secret)
    allowed = ["k3s.yaml", "room/home/.kube/config", "room/kubeconfig"]
    assert files_with(key, place) == allowed

    # What is hostile is not used, not even to be looked at.
    theirs.write_text(admin().text().replace("client-key-data", "client-key"))
    evil = await room.run("kubeconfig", "-l", "s2", "-o", "-")
    assert (evil.code, evil.out) == (1, b"")
    assert b"SB681" in evil.err
    assert key.encode() not in evil.err


async def test_reset(place: Path, server: Server) -> None:
    """What sealctl alone did to a node: names in its hosts file, and a folder of its own."""
    hosts, data = place / "hosts", place / "data"
    before = "127.0.0.1 localhost\n"
    for name in ("m1", "n1"):
        (data / name / DONE).mkdir(parents=True)
        (data / name / DONE / "hosts").write_text(before)
    hosts.write_text(before + "10.0.0.1 apiserver.cluster.local\n10.0.0.1 sealos.hub\n")
    room = cluster(
        place,
        server,
        {"m1": "master", "n1": "node"},
        cluster={"name": "lab", "driver": "sealos"},
        options={"hosts_file": str(hosts)},
    )
    for name in room.hosts:
        room.hosts[name]["paths"]["data"] = str(data / name)
    for number, name in enumerate(room.hosts):
        room.hosts[name]["vars"] = {"ip": f"10.9.0.{number + 1}"}
    room.write()
    text = (place / "room/inventory.yaml").read_text()

    unasked = await room.run("reset", "-l", "n1", "--yes")
    assert unasked.code == 5, unasked
    assert b"--confirm lab" in unasked.err
    other = await answered(room, b"prod\n", "reset", "-l", "n1", "-q")
    assert other.code == 5, other
    assert b"- remove " in other.out
    assert (data / "n1").exists()
    assert hosts.read_text() != before

    done = await answered(room, b"lab\n", "reset", "-l", "n1", "-q", "--format", "json")
    assert done.code == 0, done
    assert document(done)["command"] == "reset"
    assert [(h["host"], h["outcome"]) for h in done.document["hosts"]] == [("n1", "changed")]
    assert not (data / "n1").exists()
    assert (data / "m1").exists()
    assert hosts.read_text() == before
    again = await room.run("reset", "-l", "n1", "--confirm", "lab", "--format", "json")
    assert (again.code, document(again)["summary"]["changed"]) == (0, 0)
    assert (place / "room/inventory.yaml").read_text() == text


async def test_rollback(place: Path, server: Server) -> None:
    dest, count = place / "opt/tool", place / "restarts"
    room = Room(
        place / "room",
        phases=[
            {
                "name": "ship",
                "steps": [
                    {"name": "tool", "upload": {"artifact": "tool", "dest": str(dest), "smoke": '"$1"'}},
                    {"name": "restart", "run": f"echo restarted >>{count}", "after": ["tool"]},
                ],
            }
        ],
    )
    room.add("n1", server, state=place / "state")
    binary = place / "room/binaries/tool"
    former = make(Arch.AMD64, "tool v1.0.1\n")
    for release in (former, make(Arch.AMD64, "tool v1.2.0\n")):
        binary.write_bytes(release)
        applied = await room.run("apply", "--yes")
        assert applied.code == 0, applied
    newer = binary.read_bytes()
    binary.unlink()  # a rollback must not need the files of the controller

    shown = await room.run("rollback", "--no-input")
    assert (shown.code, b"--yes" in shown.err) == (5, True)
    assert b"put back tool v1.0.1, " in shown.out
    assert b"(now v1.2.0, " in shown.out
    assert b"~ restart" in shown.out
    assert dest.read_bytes() == newer

    done = await room.run("rollback", "--yes", "--format", "json")
    assert done.code == 0, done
    assert (document(done)["command"], done.document["summary"]["changed"]) == ("rollback", 2)
    assert dest.read_bytes() == former
    assert count.read_text().splitlines() == ["restarted"] * 3

    again = await room.run("rollback", "--yes")
    assert again.code == 0, again
    assert b"not undone by another one" in again.err
    assert dest.read_bytes() == former
    assert count.read_text().splitlines() == ["restarted"] * 3
