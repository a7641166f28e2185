"""Images of a Sealos cluster on real machines: a host that only serves them, an update, damage, one architecture too few."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from labkit.lab import Lab
from labkit.machines import Node
from labkit.project import Project, Ran
from labkit.sealos_rootfs import PAUSE, RELEASE, folder

from sealboot.model.arch import Arch

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

BOTH = (Arch.AMD64, Arch.ARM64)
BASE: Mapping[str, Sequence[Arch]] = {
    f"kube-apiserver:{RELEASE}": BOTH,
    f"pause:{PAUSE}": BOTH,
    "app:1": BOTH,
}
#: As everything in a root filesystem signs in.
SIGNED = "YWRtaW46cGFzc3cwcmQ="
#: Large enough to be sent one by one.
LAYER = 100_000
BLOBS = "/var/lib/sealos/data/lab/rootfs/registry/docker/registry/v2/blobs/sha256"


def trees(project: Project, images: Mapping[str, Sequence[Arch]]) -> None:
    for arch in BOTH:
        folder(project.folder / "rootfs" / arch.value, arch, images={**BASE, **images}, layer=LAYER)


def describe(project: Project, accepted: Sequence[str] = ()) -> None:
    master, node, store = project.nodes
    ignored = [{"code": code, "reason": "asked what is served"} for code in accepted]
    project.inventory(
        driver="sealos",
        release=RELEASE,
        role={master.name: "master", node.name: "node", store.name: "registry"},
        artifacts={"rootfs": ["rootfs/*"]},
        hosts={node.name: {"ignore": ignored}},
        extra={"options": {"ipvs": "false"}},
    )


def served(project: Project, node: Node, path: str) -> Any:
    """What the registry answers a node of the cluster, asked by the name that its runtime uses."""
    text = project.on(
        node,
        f"bash -c 'exec 3<>/dev/tcp/sealos.hub/5000; printf \"GET /v2/{path} HTTP/1.0\\r\\nAuthorization: Basic {SIGNED}\\r\\n\\r\\n\" >&3; cat <&3'",
    )
    head, _, body = text.partition("\r\n\r\n")
    return json.loads(body) if " 200 " in head else head.split()[1]


def platforms(project: Project, node: Node, image: str) -> list[str]:
    name, _, tag = image.partition(":")
    return [
        m["platform"]["architecture"] for m in served(project, node, f"{name}/manifests/{tag}")["manifests"]
    ]


def acting(ran: Ran) -> dict[str, list[str]]:
    """By host: the steps that a plan says will act."""
    steps = [
        s
        for w in ran.document["plan"]["waves"]
        for s in w["steps"]
        if s["action"] in {"create", "change", "remove"}
    ]
    hosts = dict.fromkeys(s["host"] for s in steps)
    return {host: [s["id"].rpartition("/")[2] for s in steps if s["host"] == host] for host in hosts}


def test_images_of_a_mixed_cluster(lab: Lab, tmp_path: Path) -> None:
    with lab.fresh("amd64", "arm64-openssh", "amd64") as (master, node, store):
        project = Project(lab, tmp_path / "project", (master, node, store))
        trees(project, {})
        describe(project)
        applied = project.run("apply", "--yes")
        assert applied.code == 0, applied.told
        # The host that serves is no member of the cluster: only the registry came to it.
        assert platforms(project, node, "app:1") == ["amd64", "arm64"]
        assert project.on(store, "command -v kubelet containerd || echo none") == "none\n"
        assert "apiserver" not in project.on(store, "cat /etc/hosts")
        assert project.run("apply", "--yes").document["summary"]["changed"] == 0

        # Another image: two layers and the list go to one host, and no process is another than before.
        pids = {
            n.name: project.on(n, "cat /etc/registry/pid /var/lib/kubelet/pid 2>/dev/null || :")
            for n in project.nodes
        }
        trees(project, {"app:2": BOTH})
        plan = acting(project.run("plan", "--only", "images"))
        assert (list(plan), len(plan[store.name])) == ([store.name], 4), plan
        updated = project.run("apply", "--yes", "--only", "images")
        assert updated.code == 0, updated.told
        assert platforms(project, node, "app:2") == ["amd64", "arm64"]
        sent = {row["host"]: row["sent"] for row in updated.document["hosts"]}
        assert 2 * LAYER < sent[store.name] < 4 * LAYER, sent
        assert pids == {
            n.name: project.on(n, "cat /etc/registry/pid /var/lib/kubelet/pid 2>/dev/null || :")
            for n in project.nodes
        }

        # One byte of one layer is another; one link leads nowhere: both are found, and nothing else is sent.
        path = project.on(store, f"find {BLOBS} -size +64k | sort | head -n 1").strip()
        project.on(store, f"printf X | dd of={path} bs=1 seek=5000 conv=notrunc 2>/dev/null")
        damaged = acting(project.run("plan"))
        assert damaged == {store.name: [path.split("/")[-2][:16]]}
        project.on(
            store,
            "cd /var/lib/registry/docker/registry/v2/repositories/app/_manifests/tags/1/current && : >link",
        )
        assert served(project, node, "app/manifests/1") == "404"
        assert project.run("apply", "--yes").code == 0
        assert project.on(store, f"sha256sum {path}").split()[0] == path.split("/")[-2]
        assert platforms(project, node, "app:1") == ["amd64", "arm64"]

        # An image of one architecture: refused while another is in use; where that is accepted, so it is served.
        trees(project, {"app:3": (Arch.AMD64,)})
        refused = project.run("check")
        assert (refused.code, refused.codes) == (1, {"SB620"})
        (found,) = refused.document["diagnostics"]
        assert (found["host"], found["evidence"]["images"]) == (node.name, "app:3")
        describe(project, accepted=("SB620",))
        taken = project.run("apply", "--yes", "--only", "images")
        assert taken.code == 0, taken.told
        assert platforms(project, node, "app:3") == ["amd64"]
