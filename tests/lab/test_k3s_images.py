"""Image archives of k3s into a real containerd, over SSH, on machines of both architectures."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import image_kit
import pytest
from labkit import containerd, faults
from labkit.k3s import VERSION, k3s
from labkit.lab import Lab
from labkit.machines import Node
from labkit.project import Project, Ran, until_event

IMAGES = "/var/lib/rancher/k3s/agent/images"
JOURNAL = "journalctl -q -u k3s -u k3s-agent -o cat"
#: The lab's machines have no memory controller to give away; a real kubelet would need it.
ACCEPTED = [{"code": "SB633", "reason": "the stand-in starts no containers"}]
ARCHES = ("amd64", "arm64")


def inventory(project: Project, slots: Sequence[str] = ("images",), **options: object) -> None:
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
    for node in nodes:
        project.put(f"k3s-{node.arch}", k3s(node.arch, runtime=containerd.RUNTIME))
    return project


def put(project: Project, name: str, make: Callable[[str], bytes]) -> None:
    """One file for each architecture."""
    for arch in ARCHES:
        project.put(f"{name}-{arch}", make(arch))


def image(arch: str, tag: str, form: image_kit.Form = "oci") -> image_kit.Archive:
    return image_kit.image(f"linux/{arch}", form=form, tag=tag)


def seen(project: Project, node: Node, name: str) -> Any:
    """What containerd's CRI service says about an image."""
    return json.loads(project.on(node, f"k3s crictl inspecti -o json {name}"))


def proven(project: Project, node: Node, name: str, made: image_kit.Archive) -> bool:
    """Whether the machine has the image of its own architecture, by the digest of its configuration, whole and pinned."""
    said = seen(project, node, name)
    digests = {f"sha256:{image_kit.sha256(data)}" for data in (*made.blobs.values(), *made.files.values())}
    whole = project.on(node, f"k3s ctr images check name=={said['status']['repoTags'][0]}")
    return (
        said["status"]["id"] in digests
        and said["info"]["imageSpec"]["architecture"] == str(node.arch)
        and said["status"]["pinned"]
        and "complete (3/3)" in whole
    )


def apply(project: Project, *more: str) -> Ran:
    ran = project.run("apply", "--yes", *more)
    assert ran.code == 0, ran.told
    return ran


def test_an_archive_is_imported_by_a_real_containerd(lab: Lab, tmp_path: Path) -> None:
    with lab.fresh("amd64-systemd") as (node,):
        project = project_of(lab, tmp_path, node)
        made = image("amd64", "r.example/app:1")
        project.put("images-amd64", image_kit.zst(made.tar()))
        inventory(project)
        apply(project)
        assert proven(project, node, "r.example/app:1", made)


def test_streamed(lab: Lab, tmp_path: Path) -> None:
    with lab.fresh("amd64-systemd", "arm64-systemd") as (node, arm):
        project = project_of(lab, tmp_path, node, arm)
        made = {arch: image(arch, "busybox:1", "docker") for arch in ARCHES}
        put(project, "images", lambda arch: image_kit.zst(made[arch].tar()))
        inventory(project, images_import="stream")
        applied = apply(project)
        for one in (node, arm):
            print(project.on(one, f"k3s ctr images ls; ls -la {IMAGES}"))
            assert proven(project, one, "busybox:1", made[str(one.arch)])
        again = apply(project)
        assert again.document["summary"]["changed"] == 0, again.told
        print(applied.seconds, again.seconds)
