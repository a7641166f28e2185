"""Image archives of k3s into a real containerd, over SSH, on machines of both architectures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import image_kit
import pytest
from labkit import containerd
from labkit.k3s import VERSION, k3s
from labkit.lab import Lab
from labkit.machines import Node
from labkit.project import Project, Ran

from sealboot.model.arch import Arch

IMAGES = "/var/lib/rancher/k3s/agent/images"
#: The lab's machines have no memory controller to give away; a real kubelet would need it.
ACCEPTED = [{"code": "SB633", "reason": "the stand-in starts no containers"}]


def inventory(project: Project, *, slots: Sequence[str] = ("images",), **options: object) -> None:
    nodes = project.nodes
    timeouts = {"start_timeout": "60", "ready_timeout": "60", "import_timeout": "30"}
    project.inventory(
        driver="k3s",
        release=VERSION,
        role={n.name: "agent" if i else "server" for i, n in enumerate(nodes)},
        artifacts={"k3s": ["binaries/k3s-*"], **{slot: [f"binaries/{slot}-*"] for slot in slots}},
        hosts={n.name: {"ignore": ACCEPTED} for n in nodes},
        extra={"options": {"images": list(slots), **timeouts, **options}},
    )


def project_of(lab: Lab, folder: Path, *nodes: Node) -> Project:
    """A project whose nodes have a containerd, with the k3s of each architecture."""
    containerd.install(*nodes)
    project = Project(lab, folder / "project", nodes)
    for arch in {node.arch for node in nodes}:
        project.put(f"k3s-{arch}", k3s(arch, runtime=containerd.RUNTIME))
    return project


def test_an_archive_is_imported_by_a_real_containerd(lab: Lab, tmp_path: Path) -> None:
    with lab.fresh("amd64-systemd") as (node,):
        project = project_of(lab, tmp_path, node)
        project.put("images-a", image_kit.zst(image_kit.image("linux/amd64", tag="r.example/app:1").tar()))
        inventory(project)
        applied = project.run("apply", "--yes")
        assert applied.code == 0, applied.told
        print(project.on(node, "k3s crictl inspecti -o json r.example/app:1"))
        print(project.on(node, "journalctl -q -u k3s -o cat; k3s ctr images ls"))
        print(applied.seconds)
