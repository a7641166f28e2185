"""A k0s cluster of two architectures on real machines with systemd, against the stand-in: nothing to Ready, and on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from labkit import packed
from labkit.k0s import Fault, bundle, images, k0s
from labkit.lab import Lab
from labkit.machines import Node
from labkit.project import Project, Ran

from sealboot.model.arch import Arch

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

OLD, NEW = "v1.30.14+k0s.0", "v1.31.9+k0s.0"
#: The lab's machines have no memory controller to give away, and no way to anywhere else.
ACCEPTED = [
    {"code": "SB660", "reason": "the stand-in starts no containers"},
    {"code": "SB651", "reason": "two controllers are enough to see them change in turn"},
]
NEVER: Mapping[str, Any] = {"images": {"default_pull_policy": "Never"}}


def release(project: Project, version: str, faults: Mapping[Arch, Fault] | None = None) -> None:
    """Put the programs and bundles of a release where the inventory looks for them."""
    for arch in (Arch.AMD64, Arch.ARM64):
        project.put(f"k0s-{arch}", k0s(arch, version, (faults or {}).get(arch, "")))
        project.put(f"bundle-{arch}.tar", bundle(arch, images(version)))


def inventory(
    project: Project, roles: Mapping[Node, str], version: str, *, config: object = NEVER, **options: object
) -> None:
    project.nodes = tuple(roles)
    project.inventory(
        driver="k0s",
        release=version,
        role={node.name: role for node, role in roles.items()},
        artifacts={"k0s": ["binaries/k0s-*"], "images": ["binaries/bundle-*"]},
        hosts={node.name: {"ignore": ACCEPTED} for node in roles},
        extra={
            "options": {"config": config, "health_timeout": "90", "import_timeout": "60", **options},
        },
    )


def apply(project: Project) -> Ran:
    """One apply; shell scripts take ten times as long where every program they call is emulated."""
    return project.run("apply", "--yes", limit=400)


def outcomes(ran: Ran) -> dict[str, str]:
    return {row["host"]: row["outcome"] for row in ran.document["hosts"]}


def program(project: Project, node: Node) -> str:
    return project.on(node, "sha256sum /usr/local/bin/k0s").split()[0]


def digest(arch: Arch, version: str, fault: Fault = "") -> str:
    return hashlib.sha256(k0s(arch, version, fault)).hexdigest()


def nodes(project: Project, controller: Node) -> dict[str, tuple[str, ...]]:
    """Per node: Ready or not, architecture, version."""
    rows = project.on(controller, "k0s kubectl get nodes").splitlines()
    return {row.split()[0]: tuple(row.split()[1:4]) for row in rows}


def running(version: str, *members: Node) -> dict[str, tuple[str, ...]]:
    kubelet = version.partition("+")[0] + "+k0s"
    return {node.name: ("Ready", str(node.arch), kubelet) for node in members}


def pids(project: Project, members: Sequence[Node]) -> dict[str, str]:
    show = "systemctl show -p MainPID k0scontroller k0sworker"
    return {node.name: project.on(node, show) for node in members}


def listings(project: Project) -> dict[str, str]:
    """The files of all machines, without those in which a cluster that lives keeps its heartbeats."""
    return {
        name: "".join(line for line in text.splitlines(keepends=True) if "/var/lib/k0s/etcd/" not in line)
        for name, text in project.listings().items()
    }


def assert_untouched(project: Project, before: Mapping[str, str]) -> None:
    assert project.lab.differences(before, listings(project)) == ""


def settled(project: Project) -> None:
    """A second apply changes nothing: no step, no byte."""
    before = listings(project)
    again = apply(project)
    assert again.code == 0, again.told
    assert again.document["summary"]["changed"] == 0, again.told
    assert_untouched(project, before)


def test_from_nothing_to_ready_and_on(lab: Lab, tmp_path: Path) -> None:
    with lab.fresh("amd64-systemd", "amd64-systemd", "arm64-systemd") as (first, second, worker):
        project = Project(lab, tmp_path / "project", (first, second, worker))
        release(project, OLD)
        roles = {first: "controller", second: "controller", worker: "worker"}
        inventory(project, roles, OLD)

        applied = apply(project)
        assert applied.code == 0, applied.told
        assert set(outcomes(applied).values()) == {"changed"}
        assert nodes(project, first) == nodes(project, second) == running(OLD, worker)
        for node in roles:
            assert program(project, node) == digest(node.arch, OLD)
            unit = "k0sworker" if node is worker else "k0scontroller"
            state = project.on(node, f"systemctl show -p ActiveState -p NRestarts -p UnitFileState {unit}")
            assert set(state.split()) == {"ActiveState=active", "NRestarts=0", "UnitFileState=enabled"}
        assert project.on(first, "k0s token list").splitlines()[1:] == []
        settled(project)

        # A new release: the controllers in turn, then the worker; a backup of the old one stays.
        release(project, NEW)
        inventory(project, roles, NEW)
        upgraded = apply(project)
        assert upgraded.code == 0, upgraded.told
        assert nodes(project, first) == running(NEW, worker)
        for node in roles:
            assert program(project, node) == digest(node.arch, NEW)
            assert f'"Version": "{NEW}"' in project.on(node, "k0s status -o json")
        kept = project.on(first, "tar -xOzf /var/backups/k0s/before-*/*.tar.gz version")
        assert kept == OLD
        assert len(project.on(worker, "ls /var/lib/k0s/images").split()) == 1
        assert set(images(NEW)) <= set(project.on(worker, "k0s ctr -n k8s.io images ls -q").split())
        settled(project)


def test_what_fails_leaves_the_old_one(lab: Lab, tmp_path: Path) -> None:
    with lab.fresh("amd64-systemd", "arm64-systemd") as (controller, worker):
        project = Project(lab, tmp_path / "project", (controller, worker))
        release(project, OLD)
        roles = {controller: "controller", worker: "worker"}
        inventory(project, roles, OLD, health_timeout="60")
        applied = apply(project)
        assert applied.code == 0, applied.told

        # A controller whose new program never becomes ready: back to the old one, byte for byte.
        release(project, NEW, {Arch.AMD64: "never-ready"})
        inventory(project, roles, NEW, health_timeout="60")
        before = pids(project, [worker])
        failed = apply(project)
        assert failed.code == 3, failed.told
        assert program(project, controller) == digest(Arch.AMD64, OLD)
        assert project.on(controller, "k0s kubectl get --raw=/readyz") == "ok"
        assert nodes(project, controller) == running(OLD, worker)
        assert program(project, worker) == digest(Arch.ARM64, OLD)
        assert pids(project, [worker]) == before

        # A worker that cannot be emptied: it stops before its program changes, and stays in service.
        release(project, NEW)
        project.on(controller, f"mkdir -p /etc/k0s-standin; echo {worker.name} >/etc/k0s-standin/drain-fails")
        stuck = apply(project)
        assert stuck.code == 3, stuck.told
        assert "disruption budget" in stuck.told
        assert program(project, controller) == digest(Arch.AMD64, NEW)
        assert program(project, worker) == digest(Arch.ARM64, OLD)
        assert pids(project, [worker]) == before
        assert nodes(project, controller) == running(OLD, worker)

        # The same worker with a program that never becomes ready there, and only there.
        project.on(controller, "rm /etc/k0s-standin/drain-fails")
        release(project, NEW, {Arch.ARM64: "never-ready"})
        unwell = apply(project)
        assert unwell.code == 3, unwell.told
        assert program(project, worker) == digest(Arch.ARM64, OLD)
        assert nodes(project, controller) == running(OLD, worker)

        # And with a good one the same command finishes.
        release(project, NEW)
        done = apply(project)
        assert done.code == 0, done.told
        assert nodes(project, controller) == running(NEW, worker)


PINNED = "v1.29.15+k0s.0"
BALANCED: Mapping[str, Any] = {**NEVER, "network": {"nodeLocalLoadBalancing": {"enabled": "true"}}}


def test_images_that_an_old_release_has_pinned(lab: Lab, tmp_path: Path) -> None:
    """k0s issue 5258: dynamic configuration, controller+worker, node-local load balancing, nothing pulled."""
    with lab.fresh("amd64-systemd", "arm64-systemd", "amd64-systemd") as (controller, worker, late):
        project = Project(lab, tmp_path / "project", (controller, worker))
        roles = {controller: "controller+worker", worker: "worker"}
        release(project, PINNED)
        inventory(project, roles, PINNED, config=BALANCED, dynamic_config="true")
        applied = apply(project)
        assert applied.code == 0, applied.told
        assert nodes(project, controller) == running(PINNED, controller, worker)
        live = "k0s kubectl -n kube-system get clusterconfig k0s -o json"
        assert '"version": "v1.29.15"' in project.on(controller, live)
        settled(project)

        # The next release, and a machine that never had the old one's images.
        release(project, OLD)
        roles[late] = "worker"
        inventory(project, roles, OLD, config=BALANCED, dynamic_config="true")
        untouched = listings(project)
        refused = project.run("check")
        assert refused.code == 1, refused.told
        assert {"SB670", "SB671"} <= refused.codes
        assert apply(project).code == 1
        assert_untouched(project, untouched)
        (lacking,) = [
            d for d in refused.document["diagnostics"] if d["code"] == "SB670" and d["host"] == late.name
        ]
        assert "MISSING" in lacking["evidence"]["kubeproxy"]
        (pinned,) = [d for d in refused.document["diagnostics"] if d["code"] == "SB671"]
        assert pinned["evidence"]["kubeproxy"].split() == ["v1.29.15", "v1.30.14"]
        assert pinned["evidence"]["envoyProxy"].split() == ["v1.29.12", "v1.30.9"]

        # The offered edit, shown as a step, and the upgrade passes.
        inventory(project, roles, OLD, config=BALANCED, dynamic_config="true", unpin="true")
        planned = project.run("plan")
        assert planned.code == 0, planned.told
        assert f"unpin/{controller.name}/clusterconfig" in planned.out
        assert_untouched(project, untouched)
        upgraded = apply(project)
        assert upgraded.code == 0, upgraded.told
        assert nodes(project, controller) == running(OLD, controller, worker, late)
        assert "v1.29.15" not in project.on(controller, live)
        assert '"default_pull_policy": "Never"' in project.on(controller, live)
        kept = project.on(controller, "cat /var/backups/k0s/clusterconfig-*.json")
        assert '"version": "v1.29.15"' in kept
        settled(project)


def ruined(arch: Arch) -> Iterator[tuple[str, bytes]]:
    whole = k0s(arch, OLD)
    yield "packed", packed.pack(whole)
    yield "longer", whole + b"\n"
    yield "shorter", whole[:-1000]
    yield "stripped", whole[: whole.index(bytes.fromhex("1f8b08000000000002ff"))]


def test_a_ruined_program_never_reaches_a_node(lab: Lab, tmp_path: Path) -> None:
    with lab.fresh("amd64-systemd", "arm64") as (controller, worker):
        project = Project(lab, tmp_path / "project", (controller, worker))
        release(project, OLD)
        inventory(project, {controller: "controller", worker: "worker"}, OLD)
        untouched = listings(project)
        for name, content in ruined(Arch.ARM64):
            project.put("k0s-arm64", content)
            refused = apply(project)
            assert refused.code in {1, 9}, (name, refused.told)
            assert {"SB402", "SB403"} & refused.codes, (name, refused.told)
            assert_untouched(project, untouched)
