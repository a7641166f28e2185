"""A `single` k0s that somebody set up by hand is taken over with its cluster in it, not with an empty one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from labkit.k0s import k0s
from labkit.lab import Lab
from labkit.machines import Node
from labkit.project import Project

from sealboot.model.arch import Arch

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

VERSION = "v1.31.9+k0s.0"
CONFIG = "apiVersion: k0s.k0sproject.io/v1beta1\nkind: ClusterConfig\nmetadata:\n  name: k0s\nspec: {}\n"
BY_HAND = f"""mkdir -p /etc/k0s && printf '{CONFIG}' >/etc/k0s/k0s.yaml
k0s install controller --single -c /etc/k0s/k0s.yaml && k0s start || exit 1
n=0; until k0s kubectl get nodes | grep ' Ready '; do n=$((n+1)); [ $n -lt 300 ] || exit 1; sleep 0.1; done
k0s kubectl annotate node "$(hostname | tr A-Z a-z)" precious=yes"""


def inventory(project: Project, node: Node, **options: Any) -> None:
    project.inventory(
        driver="k0s",
        release=VERSION,
        role={node.name: "single"},
        artifacts={"k0s": ["binaries/k0s-*"]},
        hosts={node.name: {"ignore": [{"code": "SB660", "reason": "the stand-in starts no containers"}]}},
        extra={"options": {"adopt": "true", "health_timeout": "90", **options}},
    )


def test_a_single_host_keeps_its_datastore(lab: Lab, tmp_path: Path) -> None:
    with lab.fresh("amd64-systemd") as (node,):
        project = Project(lab, tmp_path / "project", (node,))
        program = k0s(Arch.AMD64, VERSION)
        project.put("k0s-amd64", program)
        put = "cat >/usr/local/bin/k0s && chmod 755 /usr/local/bin/k0s"
        assert lab.ssh(node, put, stdin=program).returncode == 0
        project.on(node, BY_HAND)
        stores = "ls /var/lib/k0s | grep -x -e etcd -e db || :"
        assert project.on(node, stores).split() == ["db"]
        assert "wrong storage type: kine" in project.on(node, "k0s etcd member-list 2>&1 || :")

        inventory(project, node, config={"storage": {"type": "etcd"}})
        refused = project.run("apply", "--yes")
        assert (refused.code, "SB667" in refused.codes) == (1, True), refused.told
        assert project.on(node, stores).split() == ["db"]

        inventory(project, node)
        taken = project.run("apply", "--yes")
        assert taken.code == 0, taken.told
        assert project.on(node, stores).split() == ["db"]
        shown = (
            "k0s kubectl get node \"$(hostname | tr A-Z a-z)\" -o jsonpath='{.metadata.annotations.precious}'"
        )
        assert project.on(node, shown) == "yes"
        again = project.run("apply", "--yes")
        assert (again.code, again.document["summary"]["changed"]) == (0, 0), again.told
