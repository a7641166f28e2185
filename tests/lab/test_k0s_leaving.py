"""Hosts that leave a k0s cluster on real machines: told by a peer that lives, and nothing of it stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from labkit.k0s import bundle, images, k0s
from labkit.k3s_cluster import essence
from labkit.lab import Lab
from labkit.machines import Node
from labkit.project import Project

from sealboot.model.arch import Arch

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

VERSION = "v1.31.9+k0s.0"
ACCEPTED = [
    {"code": "SB660", "reason": "the stand-in starts no containers"},
    {"code": "SB651", "reason": "two controllers are enough to see one leave"},
]


def inventory(
    project: Project, roles: Mapping[Node, str], leaving: Sequence[Node] = (), **options: Any
) -> None:
    project.nodes = tuple(roles)
    hosts: dict[str, Any] = {node.name: {"ignore": ACCEPTED} for node in roles}
    for node in leaving:
        hosts[node.name]["vars"] = {"state": "absent"}
    project.inventory(
        driver="k0s",
        release=VERSION,
        role={node.name: role for node, role in roles.items()},
        artifacts={"k0s": ["binaries/k0s-*"], "images": ["binaries/bundle-*"]},
        hosts=hosts,
        extra={"options": {"health_timeout": "90", "import_timeout": "60", **options}},
    )


def test_members_leave_and_then_everything(lab: Lab, tmp_path: Path) -> None:
    with lab.fresh("amd64-systemd", "amd64-systemd", "arm64-systemd") as (first, second, worker):
        project = Project(lab, tmp_path / "project", (first, second, worker))
        for arch in (Arch.AMD64, Arch.ARM64):
            project.put(f"k0s-{arch}", k0s(arch, VERSION))
            project.put(f"bundle-{arch}.tar", bundle(arch, images(VERSION)))
        roles = {first: "controller+worker", second: "controller", worker: "worker"}
        inventory(project, roles)
        untouched = project.listings()
        applied = project.run("apply", "--yes", limit=400)
        assert applied.code == 0, applied.told
        members = "k0s etcd member-list"
        assert second.name in project.on(first, members)
        rows = project.on(first, "k0s kubectl get nodes").splitlines()
        assert {row.split()[0] for row in rows} == {first.name, worker.name}

        inventory(project, roles, leaving=(second, worker))
        left = project.run("apply", "--yes", limit=400)
        assert left.code == 0, left.told
        assert second.name not in project.on(first, members)
        rows = project.on(first, "k0s kubectl get nodes").splitlines()
        assert {row.split()[0] for row in rows} == {first.name}
        after = project.listings()
        for node in (second, worker):
            assert essence(after[node.name]) == essence(untouched[node.name])
        again = project.run("apply", "--yes", limit=400)
        assert (again.code, again.document["summary"]["changed"]) == (0, 0), again.told

        inventory(project, roles, state="absent")
        reset = project.run("apply", "--yes", limit=400)
        assert reset.code == 0, reset.told
        after = project.listings()
        for node in roles:
            assert essence(after[node.name]) == essence(untouched[node.name])
