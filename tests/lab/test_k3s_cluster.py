"""A k3s cluster of two architectures on real machines with systemd, against the stand-in: nothing to Ready, and on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import image_kit
import pytest
from labkit.k3s import VERSION, k3s
from labkit.lab import Lab
from labkit.machines import Node
from labkit.project import Project, Ran

from sealboot.model.arch import Arch

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

IMAGES = "/var/lib/rancher/k3s/agent/images"
#: The lab's machines have no memory controller to give away; a real kubelet would need it.
ACCEPTED = [{"code": "SB633", "reason": "the stand-in starts no containers"}]


def archive(arch: Arch, name: str) -> bytes:
    return image_kit.image(f"linux/{arch}", form="docker", tag=name).tar()


def inventory(
    project: Project, nodes: Sequence[Node], *, release: str = VERSION, state: str = "present"
) -> None:
    project.nodes = tuple(nodes)
    project.inventory(
        driver="k3s",
        release=release,
        role={n.name: "agent" if i else "server" for i, n in enumerate(nodes)},
        artifacts={"k3s": ["binaries/k3s-*"], "images": ["binaries/images-*"]},
        hosts={n.name: {"ignore": ACCEPTED} for n in nodes},
        extra={
            "options": {"start_timeout": "60", "ready_timeout": "60", "import_timeout": "60", "state": state}
        },
    )


def outcomes(ran: Ran) -> dict[str, str]:
    return {row["host"]: row["outcome"] for row in ran.document["hosts"]}


def test_from_nothing_to_ready_and_on(lab: Lab, tmp_path: Path) -> None:
    kinds = ("amd64-systemd", "arm64-systemd", "arm64-systemd")
    with lab.fresh(*kinds) as (server, agent, late):
        project = Project(lab, tmp_path / "project", (server, agent))
        for arch, name in ((Arch.AMD64, "k3s-amd64"), (Arch.ARM64, "k3s-arm64")):
            project.put(name, k3s(arch))
            project.put(f"images-{arch}.tar", archive(arch, "r.example/app:1"))
        inventory(project, (server, agent))
        untouched = project.listings()

        applied = project.run("apply", "--yes")
        assert applied.code == 0, applied.told
        assert set(outcomes(applied).values()) == {"changed"}
        for node in (server, agent):
            digest = hashlib.sha256(k3s(node.arch)).hexdigest()
            assert project.on(node, "sha256sum /usr/local/bin/k3s").split()[0] == digest
            unit = "k3s" if node is server else "k3s-agent"
            state = project.on(node, f"systemctl show -p ActiveState -p NRestarts -p UnitFileState {unit}")
            assert set(state.split()) == {"ActiveState=active", "NRestarts=0", "UnitFileState=enabled"}
            modes = project.on(node, "cd /etc/rancher/k3s && stat -c '%a %U' token config.yaml")
            assert set(modes.splitlines()) == {"600 root"}
            assert f'"architecture": "{node.arch}"' in project.on(
                node, "k3s crictl inspecti -o json r.example/app:1"
            )
            (name,) = project.on(node, f"ls {IMAGES}").split()
            assert f"-{node.arch}-" in name
        rows = project.on(server, "k3s kubectl get nodes").splitlines()
        assert {tuple(row.split()[:3]) for row in rows} == {
            (server.name, "server", "amd64"),
            (agent.name, "agent", "arm64"),
        }

        # Once more: nothing to do, and not a byte differs.
        settled = project.listings()
        again = project.run("apply", "--yes")
        assert again.code == 0, again.told
        assert again.document["summary"]["changed"] == 0
        assert project.differences(settled) == ""

        # A further ARM machine changes only itself.
        pids = {n.name: project.on(n, "systemctl show -p MainPID k3s k3s-agent") for n in (server, agent)}
        inventory(project, (server, agent, late))
        grown = project.run("apply", "--yes")
        assert grown.code == 0, grown.told
        assert outcomes(grown) == {server.name: "ok", agent.name: "ok", late.name: "changed"}
        assert len(project.on(server, "k3s kubectl get nodes").splitlines()) == 3

        # New images on the running nodes: imported, the old archive gone, nothing restarted.
        for arch in (Arch.AMD64, Arch.ARM64):
            project.put(f"images-{arch}.tar", archive(arch, "r.example/app:2"))
        updated = project.run("apply", "--yes", "--only", "images")
        assert updated.code == 0, updated.told
        for node in (server, agent, late):
            assert f'"architecture": "{node.arch}"' in project.on(
                node, "k3s crictl inspecti -o json r.example/app:2"
            )
            assert len(project.on(node, f"ls {IMAGES}").split()) == 1
            assert "Failed to process" not in project.on(node, "journalctl -q -u k3s -u k3s-agent -o cat")
        assert pids == {
            n.name: project.on(n, "systemctl show -p MainPID k3s k3s-agent") for n in (server, agent)
        }

        # A new release: a snapshot first, then every node restarts into it.
        newer = "v1.37.0+k3s1"
        for arch in (Arch.AMD64, Arch.ARM64):
            project.put(f"k3s-{arch}", k3s(arch, newer))
        inventory(project, (server, agent, late), release=newer)
        upgraded = project.run("apply", "--yes")
        assert upgraded.code == 0, upgraded.told
        rows = project.on(server, "k3s kubectl get nodes").splitlines()
        assert {row.split()[3] for row in rows} == {newer}
        digest = hashlib.sha256(k3s(server.arch, newer)).hexdigest()
        kept = project.on(server, f"cat /var/lib/rancher/k3s/server/db/snapshots/before-{digest[:12]}*")
        assert kept == f"snapshot of {VERSION}\n"

        # And away with it: as before, but for what sealboot itself remembers.
        inventory(project, (server, agent, late), state="absent")
        reset = project.run("apply", "--yes")
        assert reset.code == 0, reset.told
        project.nodes = (server, agent)
        for name, listing in project.listings().items():
            assert _essence(listing) == _essence(untouched[name])


def _essence(listing: str) -> set[str]:
    """A listing without what sealboot remembers, and without the times of directories: things came and went."""
    rows = [line.rsplit(" ", 4) for line in listing.splitlines()]
    return {
        " ".join(row[:4] if row[3] == "-" else row)
        for row in rows
        if not row[0].startswith("./var/lib/sealboot")
    }
