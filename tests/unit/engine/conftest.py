"""Directories that stand for hosts, and what works on them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from engine_kit import SYSTEMCTL, FakeSystemd, Node, Rig, ShSession, planned, work_for
from requires import requires

from sealboot.engine.bus import Bus
from sealboot.engine.context import Work
from sealboot.engine.lock import Claim
from sealboot.engine.shell import node_paths
from sealboot.model.host import Host
from sealboot.model.plan import Plan


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[Callable[[str], Node]]:
    made: list[Node] = []

    def make(name: str) -> Node:
        root = tmp_path / name
        root.mkdir(exist_ok=True)
        host = Host(name, "127.0.0.1", "node", paths={"state": str(root / "state")})
        node = Node(root, host, node_paths("lab", host), ShSession(name))
        made.append(node)
        return node

    yield make
    for node in made:
        node.session.drop()
        for hold in node.session.holds:
            await asyncio.wait_for(hold.release(), 5)


@pytest.fixture
def node(nodes: Callable[[str], Node]) -> Node:
    return nodes("n1")


@pytest.fixture
def claim() -> Claim:
    return Claim("run1", "ops@desk, pid 7", "apply")


@pytest.fixture
def work(node: Node) -> Work:
    return work_for(node)


@pytest.fixture
def rig() -> Rig:
    return Rig()


@pytest.fixture
def bus() -> Bus:
    return Bus()


@pytest.fixture
def plan_of() -> Callable[..., Plan]:
    return planned


@pytest.fixture
def work_of() -> Callable[[Node], Work]:
    return work_for


@pytest.fixture
def systemd(node: Node) -> FakeSystemd:
    """The node's scripts see a running systemd, in a mount namespace of their own."""
    requires("namespaces")
    folder = node.root / "systemd"
    folder.mkdir()
    tool = folder / "systemctl"
    tool.write_text(SYSTEMCTL.replace("$D", str(folder)))
    tool.chmod(0o755)
    journal = folder / "journalctl"
    journal.write_text("#!/bin/sh\necho 'panic: no such flag'\n")
    journal.chmod(0o755)
    inside = 'mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system && exec /bin/sh "$@"'
    node.session.shell = ("unshare", "-m", "/bin/sh", "-c", inside, "sh")
    node.session.path = f"{folder}:{node.session.path}"
    return FakeSystemd(folder)
