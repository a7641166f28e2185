"""Three k3s servers of two architectures: they join one by one, go to another release so, and come back from losses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from labkit import faults
from labkit.k3s_cluster import K3sProject, order
from labkit.lab import Lab
from labkit.machines import Node
from labkit.project import until_event
from requires import inapplicable

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

KINDS = ("amd64-systemd", "amd64-systemd", "arm64-systemd", "amd64-systemd")
ONE_BY_ONE = ("service", "ready")


def one_by_one(servers: Sequence[Node]) -> list[tuple[str, str, str]]:
    """Each server's service is started and its node Ready before the next one's turn."""
    return [
        (event, node.name, label)
        for node in servers
        for label in ONE_BY_ONE
        for event in ("StepStarted", "StepFinished")
    ]


def test_servers_join_one_by_one_and_come_back_from_losses(lab: Lab, tmp_path: Path) -> None:
    with lab.fresh(*KINDS) as nodes:
        project = K3sProject(lab, tmp_path / "project", nodes, servers=3)
        first, second, third, agent = nodes
        servers = nodes[:3]

        begun = project.run("apply", "--yes", format="jsonl")
        assert begun.code == 0, begun.told
        told = [row for row in order(begun, *ONE_BY_ONE) if row[1] != agent.name]
        assert told == one_by_one(servers)
        rows = project.rows(first)
        assert {n: row[0] for n, row in rows.items()} == {n.name: "server" for n in servers} | {
            agent.name: "agent"
        }
        tokens = {project.on(n, "cat /etc/rancher/k3s/token") for n in nodes}
        assert len(tokens) == 1
        begins = [
            n for n in nodes if "cluster-init: true" in project.on(n, "cat /etc/rancher/k3s/config.yaml")
        ]
        assert begins == [first]
        assert set(project.applied().values()) == {"ok"}

        # The connection to the second server is cut in the middle of its turn, and taken up again.
        newer = "v1.37.0+k3s1"
        project.release(newer)
        with project.running("apply", "--yes") as run:
            until_event(run, "StepStarted", step=f"start/{second.name}/service")
            cut = faults.cut_sessions(second)
            said, _ = run.communicate(timeout=200)
        assert cut >= 1
        assert run.returncode == 0, said
        assert {row[2] for row in project.rows(first).values()} == {newer}
        assert set(project.applied().values()) == {"ok"}

        # It is out of reach: the third server is not touched before the second one is up again.
        newest = "v1.38.0+k3s1"
        project.release(newest)
        with project.running("apply", "--yes") as run:
            until_event(run, "StepStarted", step=f"start/{first.name}/service")
            with faults.unplugged(lab, second):
                run.communicate(timeout=300)
            faults.cut_sessions(second)  # as its own keepalive would do it, hours later
        assert run.returncode in {3, 4}
        versions = {n: row[2] for n, row in project.rows(first).items()}
        assert (versions[first.name], versions[second.name], versions[third.name]) == (newest, newer, newer)
        finished = project.run("apply", "--yes", format="jsonl")
        assert finished.code == 0, finished.told
        resumed = [row for row in order(finished, *ONE_BY_ONE) if row[1] in {second.name, third.name}]
        assert resumed == one_by_one(servers[1:])
        assert {row[2] for row in project.rows(first).values()} == {newest}


def test_nodes_that_were_made_anew_and_nodes_that_leave(lab: Lab, tmp_path: Path) -> None:
    with lab.fresh(*["amd64-systemd"] * 4) as nodes:
        project = K3sProject(lab, tmp_path / "project", nodes, servers=3)
        first, second, third, agent = nodes
        project.applied()

        # The third server and the agent are made anew, and their nodes are still listed.
        for node, unit in ((third, "k3s"), (agent, "k3s-agent")):
            project.on(node, f"systemctl stop {unit}; rm -rf /var/lib/rancher/k3s /etc/rancher")
        refused = project.run("apply", "--yes")
        assert refused.code == 1, refused.told
        stale = {d["host"]: d for d in refused.document["diagnostics"] if d["code"] == "SB645"}
        assert set(stale) == {third.name, agent.name}
        for node in (third, agent):
            project.on(first, f"k3s kubectl delete node {node.name} --timeout=60s")
        project.applied()
        assert set(project.rows(first)) == {n.name for n in nodes}

        # With one server down, the two others are all that etcd needs: none of them may go.
        project.release(state="absent")
        project.on(third, "systemctl stop k3s")
        refused = project.run("apply", "--yes", "--limit", second.name)
        assert (refused.code, "SB685" in refused.codes) == (1, True), refused.told
        assert set(project.rows(first)) == {n.name for n in nodes}
        project.on(third, "systemctl start k3s")

        # Two servers leave a cluster that goes on: each leaves etcd before it is stopped, so that one vote is enough.
        project.on(
            third,
            "mkdir -p /var/lib/kubelet && mount -t tmpfs disk /var/lib/kubelet && touch /var/lib/kubelet/.x",
        )
        left = project.run("apply", "--yes", "--limit", f"{second.name},{third.name}")
        assert left.code == 0, left.told
        assert set(project.rows(first)) == {first.name, agent.name}
        assert project.on(first, "k3s kubectl get --raw /readyz") == "ok\n"
        assert (
            project.on(third, "grep -c '^disk /var/lib/kubelet ' /proc/mounts; ls -A /var/lib/kubelet")
            == "1\n"
        )
        told_left = project.run("check", "--limit", agent.name)
        assert [d["host"] for d in told_left.document["diagnostics"] if d["code"] == "SB649"] == [agent.name]


def test_hosts_are_looked_at_before_anything_is_sent(lab: Lab, tmp_path: Path) -> None:
    with lab.fresh("amd64-systemd", "amd64-openrc") as nodes:
        project = K3sProject(lab, tmp_path / "project", nodes)
        server, agent = nodes
        listen = "IO::Socket::INET->new(LocalPort => 6443, Listen => 1) or die; sleep 600"
        with lab.held(server) as shell:
            shell.stdin.write(f"perl -MIO::Socket::INET -e '$s = {listen}'\n".encode())
            shell.stdin.flush()
            project.on(server, "until grep -q ':192B 00000000:0000 0A' /proc/net/tcp; do sleep 0.1; done")
            project.on(agent, "ip route del default; mkdir -p /var/lib/rancher")
            project.on(agent, "mount -t tmpfs -o noexec none /var/lib/rancher")
            untouched = project.listings()
            refused = project.run("apply", "--yes")
        assert refused.code == 1, refused.told
        errors = {(d["host"], d["code"]) for d in refused.document["diagnostics"] if d["severity"] == "error"}
        assert errors == {(server.name, "SB311"), (agent.name, "SB312"), (agent.name, "SB302")}
        assert project.differences(untouched) == ""


def test_a_first_server_that_lost_its_data_begins_no_second_cluster(lab: Lab, tmp_path: Path) -> None:
    with lab.fresh("amd64-systemd", "amd64-systemd") as (first, second):
        project = K3sProject(lab, tmp_path / "project", (first, second), servers=2)
        project.applied()
        project.on(first, "systemctl stop k3s; rm -rf /var/lib/rancher/k3s /etc/rancher")
        refused = project.run("apply", "--yes")
        assert refused.code == 1, refused.told
        assert "SB638" in refused.codes


def test_a_user_who_is_not_root_sees_the_same(lab: Lab, tmp_path: Path) -> None:
    """What only root may read looks absent to others: our own node is neither empty nor somebody else's to them."""
    with lab.fresh("amd64-systemd", "amd64-systemd") as (server, agent):
        project = K3sProject(lab, tmp_path / "project", (server, agent))
        project.applied()
        for node in (server, agent):
            project.on(node, "chmod go= /etc/rancher/k3s /var/lib/rancher/k3s/*")
        inventory = tmp_path / "project/inventory.yaml"
        inventory.write_text(inventory.read_text().replace("user: root", "user: ops"))
        assert set(project.applied().values()) == {"ok"}
        for node in (server, agent):
            project.on(node, "sed -i 's/NOPASSWD: //' /etc/sudoers")
        checked = project.run("check")
        assert "SB303" in checked.codes
        assert not {"SB638", "SB641", "SB645"} & checked.codes, checked.told


def test_a_question_unpacks_nothing_and_what_is_unpacked_is_for_everybody(lab: Lab, tmp_path: Path) -> None:
    with lab.fresh("amd64-systemd") as (server,):
        project = K3sProject(lab, tmp_path / "project", (server,))
        # A run that was cut off when the program was there, and a datastore of old.
        program = (project.binaries / f"k3s-{server.arch}").read_bytes()
        put = "cat >/usr/local/bin/k3s && chmod 755 /usr/local/bin/k3s"
        assert lab.ssh(server, put, stdin=program).returncode == 0
        project.on(server, "mkdir -p /var/lib/rancher/k3s/server/db/etcd")
        planned = project.run("plan")
        assert planned.code == 0, planned.told
        assert project.on(server, "ls -A /var/lib/rancher/k3s") == "server\n"
        project.applied()
        modes = "stat -c %a /var/lib/rancher/k3s/data /var/lib/rancher/k3s/data/current/ /var/lib/rancher/k3s/data/current/bin"
        assert project.on(server, modes).split() == ["755", "755", "755"]


OLD_CGROUPS = (
    "mount -t tmpfs none /sys/fs/cgroup && mkdir /sys/fs/cgroup/memory && "
    "mount -t cgroup -o memory memory /sys/fs/cgroup/memory"
)


def test_a_host_with_old_control_groups_is_refused_unless_its_kubelet_is_told(
    lab: Lab, tmp_path: Path
) -> None:
    with lab.fresh("amd64-systemd") as (server,):
        project = K3sProject(lab, tmp_path / "project", (server,))
        assert "SB314" not in project.run("check").codes
        if lab.ssh(server, OLD_CGROUPS).returncode != 0:
            inapplicable("this kernel has no hierarchy of version 1 to mount")
        untouched = project.listings()
        refused = project.run("apply", "--yes")
        assert (refused.code, "SB314" in refused.codes) == (1, True), refused.told
        assert project.differences(untouched) == ""
        project.release(config={"kubelet-arg": ["fail-cgroupv1=false"]})
        assert "SB314" not in project.run("check").codes
        project.release("v1.34.9+k3s1")
        assert "SB314" not in project.run("check").codes
