"""A mixed Sealos cluster on real machines: from nothing to nodes that are ready, grown, and taken down again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from labkit.lab import Lab
from labkit.machines import Node
from labkit.project import Project
from labkit.sealctl import program
from labkit.sealos_rootfs import PAUSE, RELEASE, SEALCTL, folder

from sealboot.model.arch import Arch

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

KINDS = ("amd64-systemd", "amd64", "arm64-openssh", "arm64-openssh")
DATA = "/var/lib/sealos/data/lab"
OPTIONS = {"ipvs": "false"}


@pytest.fixture
def project(lab: Lab, tmp_path: Path) -> Iterator[Project]:
    with lab.fresh(*KINDS) as nodes:
        made = Project(lab, tmp_path / "project", nodes)
        for arch in (Arch.AMD64, Arch.ARM64):
            folder(made.folder / "rootfs" / arch.value, arch)
        yield made


def describe(project: Project, nodes: tuple[Node, ...], *, accepted: str = "", **options: str) -> None:
    """An inventory of these machines: the first is a master, the third another one."""
    roles = {node.name: "node" for node in nodes} | {nodes[0].name: "master"}
    if len(nodes) > 2:
        roles[nodes[2].name] = "master"
    project.lab.inventory(
        project.folder / "inventory.yaml",
        nodes,
        driver="sealos",
        release=RELEASE,
        role=roles,
        artifacts={"rootfs": ["rootfs/*"]},
        hosts={nodes[0].name: {"ignore": [{"code": accepted, "reason": "a test"}]}} if accepted else {},
        extra={"options": {**OPTIONS, **options}},
    )


def _lasting(listing: str) -> set[str]:
    """What a listing says but for times, without what sealboot remembers on a host and what a cluster does."""
    lines = (line.rsplit(" ", 1)[0] for line in listing.splitlines())
    return {line for line in lines if not line.startswith(("./var/lib/sealboot", "./var/lib/etcd"))}


def _outcomes(document: Mapping[str, list[dict[str, str]]]) -> dict[str, str]:
    return {row["host"]: row["outcome"] for row in document["hosts"]}


def rows(project: Project, master: Node) -> dict[str, str]:
    """What the cluster says of its nodes, by name: state and release."""
    told = project.on(master, "kubectl --kubeconfig /etc/kubernetes/admin.conf get nodes")
    return {name: rest for name, _, rest in (line.partition(" ") for line in told.splitlines()[1:])}


def test_from_nothing_to_ready_and_back(project: Project) -> None:
    untouched = project.listings()
    first, second, third, late = project.nodes
    describe(project, (first, second, third))
    applied = project.run("apply", "--yes")
    assert applied.code == 0, applied.told
    for node in (first, second, third):
        assert project.on(node, "kubelet --version").split()[1] == RELEASE
        assert f"linux/{node.arch.value}" in project.on(node, f"{DATA}/rootfs/opt/sealctl version")
        assert project.on(node, "stat -c %a /usr/bin/kubelet /etc/containerd") == "755\n755\n"
        assert project.on(node, f"find {DATA} -name '*.tmpl'") == ""
        mode = "node" if node is second else "master"
        config = project.on(node, "cat /etc/containerd/config.toml")
        assert config.startswith(f'mode = "{mode},{node.arch.value}"\n')
        assert f'sandbox = "sealos.hub:5000/pause:{PAUSE}"\n' in config
        assert "no value" not in config
    assert f"{third.address} apiserver.cluster.local" in project.on(third, "cat /etc/hosts")
    assert f"{first.address} apiserver.cluster.local" in project.on(second, "cat /etc/hosts")
    assert project.on(second, f"ls -A {DATA}").split() == [".sealboot", "etc", "rootfs", "rootfs.stamp"]

    # Once more: nothing to do, and not a byte of any file system differs.
    settled = project.listings()
    again = project.run("apply", "--yes")
    assert again.code == 0, again.told
    assert again.document["summary"]["changed"] == 0
    assert project.differences(settled) == ""

    # An ARM node joins: nothing changes on any other machine.
    describe(project, project.nodes)
    grown = project.run("apply", "--yes")
    assert grown.code == 0, grown.told
    assert {name for name, how in _outcomes(grown.document).items() if how == "changed"} == {late.name}
    assert rows(project, first)[late.name] == f"Ready {RELEASE}"
    now = project.listings()
    same = {name: _lasting(text) for name, text in settled.items() if name != late.name}
    assert {name: _lasting(now[name]) for name in same} == same

    # Taken down: every file system as it was, what etcd kept included.
    describe(project, project.nodes, state="absent")
    gone = project.run("apply", "--yes")
    assert gone.code == 0, gone.told
    left = project.listings()
    for node in project.nodes:
        assert _lasting(left[node.name]) == _lasting(untouched[node.name]), node.name
        assert "./var/lib/etcd" not in left[node.name]
    assert project.run("apply", "--yes").document["summary"]["changed"] == 0


@pytest.mark.parametrize(
    ("text", "cause"),
    [("kill -SEGV $$\n", "SB614"), ("exit 0\n", "SB615"), ("exit 127\n", "SB613"), ("exit 126\n", "SB602")],
)
def test_a_control_program_that_fails_is_diagnosed_from_staging(
    lab: Lab, tmp_path: Path, text: str, cause: str
) -> None:
    """It is of the right machine, so only running it tells: on the host, before anything is in its place."""
    (node,) = lab.need("amd64")
    project = Project(lab, tmp_path / "project", (node,))
    tree = folder(project.folder / "rootfs" / "amd64", Arch.AMD64)
    (tree / "opt/sealctl").write_bytes(program(Arch.AMD64, text, RELEASE))
    describe(project, (node,))
    ran = project.run("apply", "--yes")
    assert ran.code != 0
    (failed,) = [d for d in ran.document["diagnostics"] if d["code"] == "SB503"]
    assert any(note.startswith(cause) for note in failed["notes"])
    assert project.on(node, f"ls -A {DATA} 2>/dev/null || true") == ""
    project.on(node, "rm -rf /var/lib/sealos")


def _sealctl(tree: Path, instead: str) -> None:
    """The tree's sealctl with some commands of its own; all others are as they were."""
    script = SEALCTL.replace("case ${1:-} in\n", f"case ${{1:-}} in\n{instead}", 1)
    (tree / "opt/sealctl").write_bytes(program(Arch.AMD64, script, RELEASE))


@pytest.mark.parametrize(
    ("instead", "title", "words"),
    [
        ("hosts) exit 0 ;;\n", "sealos.hub is", "its check still does not hold"),
        ("render) exit 0 ;;\n", "render its templates", "left templates"),
        ("render) echo 'no values' >&2; exit 41 ;;\n", "render its templates", "no values"),
        ("hostname) echo elsewhere ;;\n", "ask sealctl", "says the host is called 'elsewhere'"),
    ],
)
def test_what_sealctl_says_is_not_believed(
    lab: Lab, tmp_path: Path, instead: str, title: str, words: str
) -> None:
    """Each of these exits as Sealos expects it, or is thrown away by it; nothing is installed after it."""
    (node,) = lab.need("amd64")
    project = Project(lab, tmp_path / "project", (node,))
    _sealctl(folder(project.folder / "rootfs" / "amd64", Arch.AMD64), instead)
    describe(project, (node,))
    before = project.on(node, "cat /etc/hosts")
    ran = project.run("apply", "--yes")
    assert ran.code == 3, ran.told
    (failed,) = [d for d in ran.document["diagnostics"] if d["code"] == "SB501"]
    assert title in failed["summary"]
    assert words in str(failed), failed
    assert project.on(node, "cat /etc/hosts; command -v kubelet || :") == before
    project.on(node, "rm -rf /var/lib/sealos")


def test_what_occupies_a_host(lab: Lab, tmp_path: Path) -> None:
    """A runtime and a port are known before anything is copied; a port that is accepted, the tree's own check refuses."""
    (node,) = lab.need("amd64")
    project = Project(lab, tmp_path / "project", (node,))
    folder(project.folder / "rootfs" / "amd64", Arch.AMD64)
    describe(project, (node,))
    project.on(node, "cp /bin/true /usr/local/bin/containerd")
    refused = project.run("apply", "--yes")
    assert (refused.code, refused.codes) == (1, {"SB622"}), refused.told
    assert "/usr/local/bin/containerd" in refused.told
    project.on(node, "rm /usr/local/bin/containerd; [ ! -e /var/lib/sealos ]")

    listen = "use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalPort => 10250, Listen => 1) or die; sleep 300"
    with lab.held(node) as shell:
        shell.stdin.write(f"exec perl -e '{listen}'\n".encode())
        shell.stdin.flush()
        project.on(
            node, "for i in $(seq 50); do ss -Htln | grep -q :10250 && exit 0; sleep 0.1; done; exit 1"
        )
        known = project.run("apply", "--yes")
        assert (known.code, known.codes) == (1, {"SB311"}), known.told
        project.on(node, "[ ! -e /var/lib/sealos ]")
        describe(project, (node,), accepted="SB311")
        busy = project.run("apply", "--yes")
    assert busy.code == 3, busy.told
    assert "port 10250 is in use" in busy.told
    assert project.on(node, "command -v kubelet || echo none") == "none\n"
    project.on(node, "rm -rf /var/lib/sealos; sed -i /sealos.hub/d /etc/hosts")
