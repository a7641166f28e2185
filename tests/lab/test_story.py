"""The whole story on real machines: look, ship the fitting program to each, bootstrap, and find nothing left to do."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from labkit.lab import Lab
from labkit.machines import Node
from labkit.project import Project
from labkit.sealctl import sealctl, supported

from sealboot.model.arch import Arch

pytestmark = [pytest.mark.vm, pytest.mark.timeout(300)]

#: OpenSSH and dropbear, a full and a minimal userland, four architectures, and one true arm64 kernel.
KINDS = ("amd64", "amd64-minimal", "i686", "arm64", "arm64-openssh", "riscv64", "s390x", "arm64-vm")
LIVE = "/var/lib/sealos/data/lab/rootfs/opt/sealctl"
VIP = "10.103.97.2"
#: What the whole cluster may take to be refused, in seconds.


@pytest.fixture
def project(lab: Lab, tmp_path: Path) -> Iterator[Project]:
    """A cluster of one master and seven nodes with a sealctl of every architecture, under names that tell."""
    with lab.fresh(*KINDS) as nodes:
        made = Project(lab, tmp_path / "project", nodes)
        made.inventory(
            driver="sealos", role={n.name: "node" if n is not nodes[0] else "master" for n in nodes}
        )
        for arch in supported():
            made.put(f"sealctl-linux-{arch.value}", sealctl(arch))
        yield made


def _statuses(project: Project, document: dict[str, list[dict[str, str]]]) -> dict[str, tuple[str, str]]:
    found = {row["host"]: (row["status"], row["arch"]) for row in document["hosts"]}
    assert set(found) == {node.name for node in project.nodes}
    return found


def _wanted_hosts(project: Project, node: Node) -> set[str]:
    master = project.nodes[0]
    if node is master:
        return {f"{master.address} sealos.hub", f"{master.address} apiserver.cluster.local"}
    return {
        f"{master.address} sealos.hub",
        f"{VIP} apiserver.cluster.local",
        f"{node.address} lvscare.node.ip",
    }


def test_sealos_on_every_machine(project: Project) -> None:
    untouched = project.listings()

    # Look: every machine's architecture by name, and nothing touched.
    checked = project.run("check")
    assert checked.code == 0, checked.told
    archs = {node.name: ("ok", node.arch.value) for node in project.nodes}
    assert _statuses(project, checked.document) == archs
    assert {row["artifacts"]["sealctl"] for row in checked.document["hosts"]} == {
        f"binaries/sealctl-linux-{arch.value}" for arch in supported()
    }
    for format_ in ("plain", "rich"):
        shown = project.run("check", format=format_)
        assert shown.code == 0, shown.told
        for node in project.nodes:
            (row,) = [line for line in shown.out.splitlines() if line.split()[:1] == [node.name]]
            assert f"sealctl-linux-{node.arch.value}" in row
            assert row.rstrip().endswith("ok")
    assert project.differences(untouched) == ""

    # Ship and bootstrap.
    applied = project.run("apply", "--yes")
    assert applied.code == 0, applied.told
    sizes = sum(len(sealctl(node.arch)) for node in project.nodes)
    assert applied.document["summary"]["bytes_sent"] == sizes
    assert {row["outcome"] for row in applied.document["hosts"]} == {"changed"}
    for node in project.nodes:
        digest = hashlib.sha256(sealctl(node.arch)).hexdigest()
        assert project.on(node, f"sha256sum {LIVE}").split()[0] == digest
        assert f'"platform":"linux/{node.arch.value}"' in project.on(node, f"{LIVE} version")
        entries = set(project.on(node, "cat /etc/hosts").splitlines())
        assert _wanted_hosts(project, node) <= entries
    assert all("localhost" in project.on(n, "cat /etc/hosts") for n in project.nodes if not n.about.vm)

    # Once more: nothing to do, nothing sent, and not a byte of any file system differs.
    settled = project.listings()
    again = project.run("apply", "--yes")
    assert again.code == 0, again.told
    assert again.document["summary"] == {"hosts": len(KINDS), "changed": 0, "bytes_sent": 0}
    assert {row["outcome"] for row in again.document["hosts"]} == {"ok"}
    assert project.differences(settled) == ""

    # An x86-64 file under the arm64 name: refused by the bytes, quickly, before anything is written.
    project.put("sealctl-linux-arm64", sealctl(Arch.AMD64, version="v5.1.0"))
    for command in (("check",), ("apply", "--yes")):
        refused = project.run(*command)
        assert refused.code == 1, refused.told
        assert {"SB101", "SB111"} <= refused.codes
        wrong = {d["host"] for d in refused.document["diagnostics"] if d["code"] == "SB101"}
        assert wrong == {node.name for node in project.nodes if node.arch is Arch.ARM64}
        assert refused.seconds < again.seconds, refused.told  # sooner than there is nothing to do
    assert project.differences(settled) == ""
