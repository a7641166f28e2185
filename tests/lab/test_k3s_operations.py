"""What comes after an upgrade of k3s on real machines with systemd: back again, access, and down, each by its command."""

from __future__ import annotations

import hashlib
import json
import shlex
from pathlib import Path

import pytest
import yaml
from access_kit import admin
from labkit.k3s import VERSION, k3s
from labkit.lab import Lab
from labkit.machines import Node
from labkit.project import Project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

NEWER = "v1.37.0+k3s1"


def ship(project: Project, nodes: tuple[Node, ...], release: str) -> None:
    """An apply of this release on a server and its agents."""
    for node in nodes:
        project.put(f"k3s-{node.arch}", k3s(node.arch, release))
    project.inventory(
        driver="k3s",
        release=release,
        role={n.name: "agent" if i else "server" for i, n in enumerate(nodes)},
        artifacts={"k3s": ["binaries/k3s-*"]},
        hosts={n.name: {"ignore": [{"code": "SB633", "reason": "no containers here"}]} for n in nodes},
        extra={"options": {"start_timeout": "60", "ready_timeout": "60"}},
    )
    applied = project.run("apply", "--yes")
    assert applied.code == 0, applied.told


def test_back_access_and_down(lab: Lab, tmp_path: Path) -> None:
    with lab.fresh("amd64-systemd", "arm64-systemd") as (server, agent):
        nodes = (server, agent)
        project = Project(lab, tmp_path / "project", nodes)
        for release in (VERSION, NEWER):
            ship(project, nodes, release)
        for file in project.binaries.iterdir():
            file.unlink()  # the way back must not need what is on the controller

        back = project.run("rollback", "--yes")
        assert back.code == 0, back.told
        assert {row["outcome"] for row in back.document["hosts"]} == {"changed"}
        rows = project.on(server, "k3s kubectl get nodes").splitlines()
        assert {row.split()[3] for row in rows} == {VERSION}
        for node in nodes:
            digest = hashlib.sha256(k3s(node.arch, VERSION)).hexdigest()
            assert project.on(node, "sha256sum /usr/local/bin/k3s").split()[0] == digest

        pids = {n.name: project.on(n, "systemctl show -p MainPID k3s k3s-agent") for n in nodes}
        again = project.run("rollback", "--yes")
        assert (again.code, again.document["summary"]["changed"]) == (0, 0), again.told
        assert pids == {n.name: project.on(n, "systemctl show -p MainPID k3s k3s-agent") for n in nodes}

        # The stamps are those of the former release: an apply of it finds nothing to do.
        ship(project, nodes, VERSION)
        assert pids == {n.name: project.on(n, "systemctl show -p MainPID k3s k3s-agent") for n in nodes}

        place = "/etc/rancher/k3s/k3s.yaml"
        project.on(server, f"printf %s {shlex.quote(admin().text())} >{place}")
        access = project.run("kubeconfig", "-o", "lab.kubeconfig")
        assert access.code == 0, access.told
        made = yaml.safe_load((project.folder / "lab.kubeconfig").read_text())
        assert made["users"][0]["user"]["client-key-data"] == admin().key
        assert admin().key not in access.told

        name = json.loads(project.run("plan").out)["plan"]["cluster"]
        orphans = project.run("reset", "--confirm", name, "--limit", server.name)
        assert (orphans.code, orphans.codes) == (5, {"SB684"}), orphans.told
        one = project.run("reset", "--confirm", name, "--limit", agent.name)
        assert one.code == 0, one.told
        gone = project.on(agent, "[ -e /usr/local/bin/k3s ] || echo gone")
        assert gone == "gone\n"
        assert project.on(server, "systemctl is-active k3s") == "active\n"
        rest = project.run("reset", "--confirm", name)
        assert rest.code == 0, rest.told
        assert project.on(server, "[ -e /usr/local/bin/k3s ] || echo gone") == "gone\n"
