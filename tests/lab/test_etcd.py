"""A real distributed system: etcd on two x86-64 machines and an ARM one, from Debian's own programs, under systemd."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from labkit import debs
from labkit.lab import Lab
from labkit.machines import Node
from labkit.project import Project

EXAMPLE = Path(__file__).resolve().parents[2] / "docs/examples/etcd.yaml"
CTL = "ETCDCTL_API=3 etcdctl --endpoints=http://127.0.0.1:2379"
#: Two members are a quorum of three: one machine of each architecture must agree.
KINDS = ("amd64-systemd", "amd64-systemd", "arm64-systemd")

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def project(lab: Lab, tmp_path: Path) -> Iterator[Project]:
    """The example as the documentation has it, with this lab's machines in place of its hosts."""
    with lab.fresh(*KINDS) as nodes:
        made = Project(lab, tmp_path / "project", nodes)
        for arch in ("amd64", "arm64"):
            for package in ("etcd-server", "etcd-client"):
                # Names that tell nothing: what is in the files decides.
                target = made.binaries / f"etcd-{'first' if arch == 'arm64' else 'second'}/usr/bin"
                shutil.copytree(debs.extract(package, arch) / "usr/bin", target, dirs_exist_ok=True)
        example: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text())
        made.inventory(
            driver=example["cluster"]["driver"],
            name=example["cluster"]["name"],
            role="member",
            artifacts=example["artifacts"],
            extra={"phases": example["phases"]},
        )
        yield made


def _healthy(project: Project, node: Node) -> bool:
    return "is healthy" in project.on(node, f"{CTL} endpoint health 2>&1")


def _main_pid(project: Project, node: Node) -> str:
    return project.on(node, "systemctl show -p MainPID --value etcd").strip()


def test_three_members_of_two_architectures(project: Project) -> None:
    first, second, arm = project.nodes

    applied = project.run("apply", "--yes")
    assert applied.code == 0, applied.told
    assert {row["outcome"] for row in applied.document["hosts"]} == {"changed"}
    sent = {row["host"]: row["sent"] for row in applied.document["hosts"]}
    for node in project.nodes:
        files = [debs.extract(f"etcd-{p}", node.about.debian) / "usr/bin" for p in ("server", "client")]
        assert sent[node.name] == sum(f.stat().st_size for folder in files for f in folder.iterdir())
        assert _healthy(project, node)
        assert f"linux/{node.arch.value}" in project.on(
            node, f"ETCD_UNSUPPORTED_ARCH={node.arch.value} etcd --version"
        )
    members = json.loads(project.on(arm, f"{CTL} member list -w json"))["members"]
    assert {member["name"] for member in members} == {node.name for node in project.nodes}

    # One store: what one architecture writes the other reads.
    project.on(first, f"{CTL} put colour green")
    assert project.on(arm, f"{CTL} get colour --print-value-only").strip() == "green"
    project.on(arm, f"{CTL} put shape round")
    assert project.on(second, f"{CTL} get shape --print-value-only").strip() == "round"

    # Once more: nothing to do, and no service was touched.
    running = {node.name: _main_pid(project, node) for node in project.nodes}
    again = project.run("apply", "--yes")
    assert again.code == 0, again.told
    assert again.document["summary"] == {"hosts": 3, "changed": 0, "bytes_sent": 0}
    assert {node.name: _main_pid(project, node) for node in project.nodes} == running

    # A member stopped and a setting changed by hand, on ARM: only that machine is mended.
    project.on(arm, "systemctl stop etcd; echo ETCD_NAME=wrong > /etc/etcd/etcd.env")
    mended = project.run("apply", "--yes")
    assert mended.code == 0, mended.told
    outcomes = {row["host"]: (row["outcome"], row["sent"]) for row in mended.document["hosts"]}
    assert outcomes == {first.name: ("ok", 0), second.name: ("ok", 0), arm.name: ("changed", 0)}
    assert _healthy(project, arm)
    assert project.on(arm, f"{CTL} get colour --print-value-only").strip() == "green"
    for node in (first, second):
        assert _main_pid(project, node) == running[node.name]
