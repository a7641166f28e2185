"""A running Sealos cluster of two architectures brought to the next release, also when the run dies on the way."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from labkit.lab import Lab
from labkit.machines import Node
from labkit.project import Project, until_event
from labkit.sealos_rootfs import RELEASE, folder

from sealboot.model.arch import Arch

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

DATA = "/var/lib/sealos/data/lab"
NEXT, LATER = "v1.30.4", "v1.32.0"
PODS = "/var/lib/etcd/member/pods"


def trees(project: Project, release: str) -> None:
    for arch in (Arch.AMD64, Arch.ARM64):
        folder(project.folder / "rootfs" / arch.value, arch, release)


def describe(project: Project, release: str, **options: str) -> None:
    """The first machine and the third are masters; kubelet is a unit of systemd on all."""
    roles = dict(zip((n.name for n in project.nodes), ("master", "node", "master"), strict=False))
    project.inventory(
        driver="sealos",
        release=release,
        role=roles,
        artifacts={"rootfs": ["rootfs/*"]},
        extra={"options": {"ipvs": "false", "ready_timeout": "60", "drain_timeout": "5", **options}},
    )


@contextlib.contextmanager
def cluster(lab: Lab, tmp_path: Path, *kinds: str) -> Iterator[Project]:
    """A cluster of the release before."""
    with lab.fresh(*kinds) as nodes:
        project = Project(lab, tmp_path / "project", nodes)
        trees(project, RELEASE)
        describe(project, RELEASE)
        applied = project.run("apply", "--yes")
        assert applied.code == 0, applied.told
        yield project


def rows(project: Project) -> dict[str, str]:
    """What the cluster says of its nodes, by name: state and release."""
    told = project.on(project.nodes[0], "kubectl --kubeconfig /etc/kubernetes/admin.conf get nodes")
    return {name: rest for name, _, rest in (line.partition(" ") for line in told.splitlines()[1:])}


def pods(project: Project, node: Node, text: str) -> None:
    project.on(project.nodes[0], f"printf '%s\\n' {text} >{PODS}/{node.name}")


def marks(project: Project) -> dict[str, str]:
    """What tells when a machine's kubelet and API server were begun."""
    asked = "systemctl show -p MainPID kubelet; cat /etc/kubernetes/apiserver.pid 2>/dev/null || true"
    return {node.name: project.on(node, asked) for node in project.nodes}


def test_upgrade(lab: Lab, tmp_path: Path) -> None:
    with cluster(lab, tmp_path, "amd64-systemd", "arm64-systemd", "amd64-systemd") as project:
        first, node, second = project.nodes
        assert rows(project) == {n.name: f"Ready {RELEASE}" for n in project.nodes}
        pods(project, second, "web")
        pods(project, node, "guarded")
        before = marks(project)
        kubelet = project.on(node, "sha256sum /usr/bin/kubelet")

        # Two minor releases at once: nothing is sent.
        trees(project, LATER)
        describe(project, LATER)
        refused = project.run("apply", "--yes")
        assert (refused.code, refused.codes) == (1, {"SB623"}), refused.told

        # A pod that may not be moved stops its host before any of its programs change; the masters are done.
        trees(project, NEXT)
        describe(project, NEXT)
        stopped = project.run("apply", "--yes")
        assert stopped.code == 3, stopped.told
        (failed,) = [d for d in stopped.document["diagnostics"] if d["host"] == node.name]
        assert "disruption budget" in str(failed), stopped.told
        assert rows(project) == {
            first.name: f"Ready {NEXT}",
            second.name: f"Ready {NEXT}",
            node.name: f"Ready,SchedulingDisabled {RELEASE}",
        }
        assert project.on(node, "sha256sum /usr/bin/kubelet") == kubelet
        assert marks(project)[node.name] == before[node.name]

        # Once it may, the same command does the rest, and nothing twice.
        done = marks(project)
        pods(project, node, "web")
        finished = project.run("apply", "--yes")
        assert finished.code == 0, finished.told
        assert rows(project) == {n.name: f"Ready {NEXT}" for n in project.nodes}
        now = marks(project)
        assert {name for name in now if now[name] != done[name]} == {node.name}
        for each in project.nodes:
            assert project.on(each, f"{DATA}/rootfs.{RELEASE}/bin/kubelet --version").split()[1] == RELEASE
            assert (
                project.on(
                    each, f"ls -A /dev/shm {DATA}/.sealboot | grep -e drained -e cordon -e sealboot- || :"
                )
                == ""
            )
        settled = project.listings()
        again = project.run("apply", "--yes")
        assert again.document["summary"]["changed"] == 0, again.told
        assert project.differences(settled) == ""


def test_a_node_that_was_closed_by_hand_stays_closed(lab: Lab, tmp_path: Path) -> None:
    with cluster(lab, tmp_path, "amd64-systemd") as project:
        (only,) = project.nodes
        project.on(only, f"kubectl --kubeconfig /etc/kubernetes/admin.conf cordon {only.name}")
        trees(project, NEXT)
        describe(project, NEXT)
        assert project.run("apply", "--yes").code == 0
        assert rows(project) == {only.name: f"Ready,SchedulingDisabled {NEXT}"}


def test_a_tree_of_another_release_than_the_inventory_says(lab: Lab, tmp_path: Path) -> None:
    """It is asked before kubeadm plans; the cluster stays as it is."""
    with cluster(lab, tmp_path, "amd64-systemd") as project:
        before = rows(project), marks(project)
        describe(project, NEXT)
        ran = project.run("apply", "--yes")
        assert ran.code == 3, ran.told
        assert f"has {RELEASE}, not {NEXT}" in ran.told
        assert (rows(project), marks(project)) == before


def test_a_run_that_is_killed_at_every_step_comes_to_its_end(lab: Lab, tmp_path: Path) -> None:
    with cluster(lab, tmp_path, "amd64-systemd", "amd64-systemd") as project:
        first, node = project.nodes
        pods(project, node, "web")
        trees(project, NEXT)
        describe(project, NEXT)
        steps = [
            *(
                f"upgrade/{first.name}/{step}"
                for step in ("tools", "plan", "apply", "drain", "runtime", "kubelet", "open")
            ),
            *(f"upgrade/{node.name}/{step}" for step in ("node", "drain", "runtime", "kubelet", "open")),
        ]
        for step in (f"mount/{first.name}/tree", *steps):
            with project.running("apply", "--yes") as process:
                until_event(process, "StepStarted", step=step)
        finished = project.run("apply", "--yes")
        assert finished.code == 0, finished.told
        assert rows(project) == {n.name: f"Ready {NEXT}" for n in project.nodes}
        assert project.run("apply", "--yes").document["summary"]["changed"] == 0
