"""k0s on real machines: hosts that leave, told by a peer that lives; an upgrade whose operator's machine dies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from labkit.k0s import bundle, images, k0s
from labkit.k3s_cluster import essence
from labkit.lab import Lab
from labkit.machines import Node
from labkit.project import Project, until_event

from sealboot.model.arch import Arch

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

VERSION, NEXT = "v1.30.14+k0s.0", "v1.31.9+k0s.0"
ACCEPTED = [
    {"code": "SB660", "reason": "the stand-in starts no containers"},
    {"code": "SB651", "reason": "two controllers are enough to see one leave"},
]


def release(project: Project, version: str) -> None:
    for arch in (Arch.AMD64, Arch.ARM64):
        project.put(f"k0s-{arch}", k0s(arch, version))
        project.put(f"bundle-{arch}.tar", bundle(arch, images(version)))


def inventory(
    project: Project,
    roles: Mapping[Node, str],
    leaving: Sequence[Node] = (),
    version: str = VERSION,
    **options: Any,
) -> None:
    project.nodes = tuple(roles)
    hosts: dict[str, Any] = {node.name: {"ignore": ACCEPTED} for node in roles}
    for node in leaving:
        hosts[node.name]["vars"] = {"state": "absent"}
    project.inventory(
        driver="k0s",
        release=version,
        role={node.name: role for node, role in roles.items()},
        artifacts={"k0s": ["binaries/k0s-*"], "images": ["binaries/bundle-*"]},
        hosts=hosts,
        extra={"options": {"health_timeout": "90", "import_timeout": "60", **options}},
    )


def test_members_leave_and_then_everything(lab: Lab, tmp_path: Path) -> None:
    with lab.fresh("amd64-systemd", "amd64-systemd", "arm64-systemd") as (first, second, worker):
        project = Project(lab, tmp_path / "project", (first, second, worker))
        release(project, VERSION)
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


@pytest.mark.parametrize("wave", ["drain", "run"])
def test_the_operators_machine_dies_during_an_upgrade(lab: Lab, tmp_path: Path, wave: str) -> None:
    """What runs detached comes to its end; the same command finishes the rest, and nobody stays cordoned."""
    with lab.fresh("amd64-systemd", "amd64-systemd") as (controller, worker):
        project = Project(lab, tmp_path / "project", (controller, worker))
        roles = {controller: "controller", worker: "worker"}
        release(project, VERSION)
        inventory(project, roles)
        applied = project.run("apply", "--yes", limit=400)
        assert applied.code == 0, applied.told

        release(project, NEXT)
        inventory(project, roles, version=NEXT)
        step = f"drain/{controller.name}/1" if wave == "drain" else f"run/{worker.name}/k0s"
        with project.running("apply", "--yes") as process:
            until_event(process, "StepStarted", step=step)
        again = project.run("apply", "--yes", "--lock-timeout", "120", limit=400)
        assert again.code == 0, again.told
        for node in roles:
            assert f'"Version": "{NEXT}"' in project.on(node, "k0s status -o json")
        (row,) = project.on(controller, "k0s kubectl get nodes").splitlines()
        assert row.split()[1] == "Ready"
        settled = project.run("apply", "--yes", limit=400)
        assert (settled.code, settled.document["summary"]["changed"]) == (0, 0), settled.told
