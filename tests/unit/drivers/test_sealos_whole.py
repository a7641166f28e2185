"""What a whole sealos cluster is checked for, and its scripts in real shells."""

from __future__ import annotations

import socket
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from sealos_kit import CTL, CTL2, NODE, PI, STORE, program, tree_artifact, whole

from sealboot.drivers import sealos_image_scripts as images
from sealboot.drivers import sealos_node_scripts as node
from sealboot.drivers import sealos_tree_scripts as tree
from sealboot.drivers.sealos_checks import questions
from sealboot.drivers.sealos_marks import REFUSED, marked
from sealboot.drivers.sealos_options import SealosOptions
from sealboot.model.arch import Arch
from sealboot.model.archive import Image
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.facts import Space
from sealboot.model.host import Host
from sealboot.model.steps import Run, Succeeds


def findings(cluster: object) -> list[Diagnostic]:
    made = cluster.driver.checks(cluster.context())  # type: ignore[attr-defined]
    return list(made)


def codes(cluster: object) -> list[tuple[str, str | None]]:
    return [(d.code, d.host) for d in findings(cluster)]


def test_a_sound_cluster_has_no_findings() -> None:
    assert codes(whole(CTL, NODE, PI)) == []


def test_what_must_be_written_down() -> None:
    assert codes(whole(CTL, release=None)) == [("SB607", None)]
    assert codes(whole(CTL, NODE, options={})) == [("SB607", None)]
    assert codes(whole(CTL, options={})) == []
    assert codes(whole(CTL, NODE, options={"ipvs": "false"})) == []
    refused = whole(CTL, release=None)
    assert refused.driver.waves(refused.context()) == ()


def test_every_member_is_judged_against_the_host() -> None:
    inner = "cri/cri-containerd.tar.gz!usr/bin/runc"
    foreign = tree_artifact(
        Arch.ARM64, programs=[program("opt/sealctl", Arch.ARM64), program(inner, Arch.AMD64)]
    )
    (found,) = findings(whole(CTL, PI, artifacts={"pi01": foreign}))
    assert (found.code, found.host, found.severity) == ("SB101", "pi01", Severity.ERROR)
    assert inner in found.summary
    assert ("members", inner) in found.evidence


def test_a_broken_control_program_of_the_right_machine_is_found() -> None:
    broken = tree_artifact(Arch.ARM64, programs=[program("opt/sealctl", Arch.ARM64, defect="cut off")])
    assert codes(whole(CTL, PI, artifacts={"pi01": broken})) == [("SB401", "pi01")]


def test_images_for_every_architecture_in_use() -> None:
    half = tree_artifact(
        Arch.AMD64,
        images=[
            Image("a:1", ("linux/amd64",)),
            Image("b:1", ("linux/amd64", "linux/arm64/v8")),
            Image("c:1"),
        ],
    )
    found = findings(whole(CTL, NODE, PI, artifacts={"ctl1": half}))
    assert [(d.code, d.host, d.also) for d in found] == [("SB620", "ctl1", ("box01",)), ("SB620", "pi01", ())]
    assert found[1].evidence[0] == ("images", "a:1, c:1")


def test_hosts_without_tools_or_with_a_runtime() -> None:
    assert codes(whole(CTL, observed={"ctl1": {"sealos.tools": "tar\nfind"}})) == [("SB621", "ctl1")]
    occupied = {"sealos.runtime": "/usr/bin/containerd\n/run/containerd/containerd.sock"}
    assert codes(whole(CTL, observed={"ctl1": occupied})) == [("SB622", "ctl1")]
    assert codes(whole(CTL, observed={"ctl1": {**occupied, "sealos.node": "ours"}})) == []


def test_old_control_groups_are_refused_from_kubernetes_1_35_on() -> None:
    told = {name: {"cgroups": "v1\n"} for name in ("ctl1", "store")}
    assert codes(whole(CTL, STORE, release="v1.35.0", observed=told)) == [("SB314", "ctl1")]
    assert codes(whole(CTL, STORE, release="v1.34.9", observed=told)) == []


@pytest.mark.parametrize(
    ("host", "listening", "taken"),
    [
        (CTL, "tcp 6443\ntcp 10250\ntcp 5000", "TCP 10250, TCP 6443, TCP 5000"),
        (NODE, "tcp 6443\ntcp 5050\ntcp 5000", "TCP 5050"),
        (STORE, "tcp 10250\ntcp 5000", "TCP 5000"),
    ],
)
def test_ports_that_are_taken_are_known_before_anything_is_copied(
    host: Host, listening: str, taken: str
) -> None:
    hosts = (CTL,) if host is CTL else (CTL, host)
    told = {"ports": listening}
    (found,) = findings(whole(*hosts, observed={host.name: told}))
    assert (found.code, found.host, found.evidence[0][1]) == ("SB311", host.name, taken)
    ours = {**told, "sealos.node": "begun"}
    assert codes(whole(*hosts, observed={host.name: ours})) == []


@pytest.mark.parametrize("release", ["v1.29", "v1.29.9,x:y", "1.29.9"])
def test_what_is_no_release_reaches_no_configuration(release: str) -> None:
    refused = whole(CTL, release=release)
    assert codes(refused) == [("SB607", None)]
    assert refused.driver.waves(refused.context()) == ()


def test_the_release_that_is_wrong_is_the_one_that_is_told() -> None:
    """`kubernetes_version` goes before the inventory's release, in the judgement and in the words."""
    options = {"kubernetes_version": "v1.29.9", "ipvs": "false"}
    assert codes(whole(CTL, options=options, release="latest")) == []
    made = whole(CTL, options={"ipvs": "false"}, release="latest")
    assert "'latest' is no release" in findings(made)[0].summary


@pytest.mark.parametrize("name", ["X-Y", "1A", "a.b", ""])
def test_variables_of_a_host_are_names_that_a_shell_takes(name: str) -> None:
    made = whole(replace(CTL, vars={f"env_{name}": "1", "env_OK_1": "$(id)"}))
    assert codes(made) == [("SB603", "ctl1")]
    assert made.driver.waves(made.context()) == ()


@pytest.mark.parametrize(
    ("runs", "wanted", "why"),
    [
        ("v1.28.3", "v1.29.9", ""),
        ("v1.29.1", "v1.29.9", ""),
        ("v1.29.9", "v1.29.9", ""),
        ("v1.29.9-rc.0", "v1.29.9", ""),
        ("v1.27.16", "v1.29.9", "skip releases"),
        ("v1.30.0", "v1.29.9", "go back"),
        ("v1.29.10", "v1.29.9", "go back"),
        ("v2.0.0", "v1.29.9", "go back"),
        ("v1.29.9", "v2.0.0", "skip releases"),
    ],
)
def test_an_upgrade_goes_by_one_release_and_not_back(runs: str, wanted: str, why: str) -> None:
    told = {"sealos.node": "ours", "sealos.member": f"member\n{runs}\n"}
    found = findings(whole(CTL, release=wanted, observed={"ctl1": told}))
    assert [(d.code, d.severity) for d in found] == ([("SB623", Severity.ERROR)] if why else [])
    assert all(why in d.summary and runs in d.summary for d in found)


def test_a_host_that_is_no_member_is_not_upgraded() -> None:
    assert codes(whole(CTL, observed={"ctl1": {"sealos.node": "ours", "sealos.member": "v1.20.0"}})) == []


def test_an_empty_first_master_begins_no_second_cluster() -> None:
    member = {"sealos.member": "member\nv1.29.9\n"}
    (found,) = findings(whole(CTL, CTL2, NODE, observed={"pictl2": member, "box01": member}))
    assert (found.code, found.host, found.also) == ("SB624", "ctl1", ("pictl2", "box01"))
    assert "put pictl2 first" in found.hints[0]
    (lost,) = findings(whole(CTL, NODE, observed={"box01": member}))
    assert "the cluster is lost" in lost.hints[0]
    assert codes(whole(CTL, NODE, observed={"ctl1": member, "box01": member})) == []


def test_a_reset_needs_no_file_and_no_release() -> None:
    gone = whole(
        CTL, NODE, options={"state": "absent"}, release=None, observed={"ctl1": {"sealos.tools": "tar"}}
    )
    assert codes(gone) == []
    ctx = gone.context()
    assert gone.driver.slots(gone.inventory, ctx.options) == ()
    assert [w.id for w in gone.driver.waves(ctx)][:3] == ["leave-nodes", "delete-nodes", "leave-masters"]


@pytest.mark.parametrize(("free", "expected"), [(100_000, []), (10_000, [("SB301", "warning")]), (5_000, [])])
def test_space_for_what_is_unpacked(free: int, expected: list[tuple[str, str]]) -> None:
    """Below what the archives take, the check of all drivers says so; this one is about what is between."""
    cluster = whole(CTL)
    ctx = cluster.context()
    space = Space(
        "/var/lib/sealos/data",
        "/var",
        exists=False,
        fstype="ext4",
        mount="/",
        options=frozenset(),
        free=free,
        total=None,
        writable=True,
    )
    facts = {name: replace(facts, spaces=(space,)) for name, facts in ctx.facts.items()}
    found = cluster.driver.checks(replace(ctx, facts=facts))
    assert [(d.code, str(d.severity)) for d in found] == expected


def test_the_questions_in_a_shell(tmp_path: Path) -> None:
    asked = questions(f"{tmp_path}/data root/", SealosOptions())
    assert set(sh(asked["sealos.tools"]).stdout.split()) == {"tar", "bash", "sha256sum", "find", "mktemp"}
    assert sh(asked["sealos.node"]).stdout == ""
    (tmp_path / "data root/lab/.sealboot").mkdir(parents=True)
    assert sh(asked["sealos.node"]).stdout == "begun\n"
    (tmp_path / "data root/lab/.sealboot/check").touch()
    assert sh(asked["sealos.node"]).stdout == "begun\nours\n"
    assert sh(asked["sealos.runtime"], PATH="/nowhere").returncode == 0


def sh(script: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", "-c", script, "sh", *arguments],
        env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", **env},
        text=True,
        capture_output=True,
        timeout=20,
        check=False,
    )


SEALCTL = """#!/bin/sh
case "$1" in
version) echo '{"platform":"linux/amd64"}' ;;
render) for f; do case $f in /*/etc) for t in "$f"/*.tmpl; do mv "$t" "${t%.tmpl}"; done ;; esac; done ;;
esac
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The cluster's folder on a host, with a tree that was just unpacked."""
    root = tmp_path / "data/rootfs"
    for name, text in (("opt/sealctl", SEALCTL), ("etc/a.yml.tmpl", "a"), ("scripts/check.sh", "exit 0\n")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "opt/sealctl").chmod(0o755)
    return root.parent


def test_templates_that_are_left_are_told(data: Path) -> None:
    assert sh(node.rendered(f"{data}/rootfs")).returncode == 1
    (data / "rootfs/scripts/late.sh.tmpl").write_text("x")
    ran = sh(node.RENDER, DATA=str(data))
    assert ran.returncode == REFUSED
    assert "scripts/late.sh.tmpl" in ran.stderr
    (data / "rootfs/scripts/late.sh.tmpl").unlink()
    assert sh(node.RENDER, DATA=str(data)).returncode == 0
    assert sh(node.rendered(f"{data}/rootfs")).returncode == 0


def test_a_renderer_that_fails_is_heard(data: Path) -> None:
    (data / "rootfs/opt/sealctl").write_text("#!/bin/sh\nexit 41\n")
    assert sh(node.RENDER, DATA=str(data)).returncode == 41


def pack(data: Path, archive: Path) -> None:
    script = (
        "find . -type f ! -name '*.tmpl' | sed 's|^./||' | LC_ALL=C sort | xargs sha256sum >../sums; "
        'mv ../sums .sealboot-manifest; tar -cf "$1" $(ls -A)'
    )
    subprocess.run(["sh", "-c", script, "sh", str(archive)], cwd=data / "rootfs", check=True)


def test_the_tree_is_tried_unpacked_and_known_again(data: Path, tmp_path: Path) -> None:
    archive = data / "rootfs.tar"
    pack(data, archive)
    subprocess.run(["rm", "-rf", str(data / "rootfs")], check=True)
    root, stamp = f"{data}/rootfs", "a" * 64
    digest = subprocess.run(["sha256sum", str(archive)], capture_output=True, text=True, check=True).stdout[
        :64
    ]
    tried = sh(tree.TRY_SEALCTL, str(archive))
    assert (tried.returncode, tried.stdout) == (0, '{"platform":"linux/amd64"}\n')
    assert sorted(p.name for p in data.iterdir()) == ["rootfs.tar"]
    assert sh(tree.mounted_or_sent(root, stamp, str(archive), digest)).returncode == 0
    assert sh(tree.mounted(root, stamp)).returncode == 1
    ran = sh(tree.UNPACK, ROOT=root, ARCHIVE=str(archive), STAMP=stamp)
    assert ran.returncode == 0, ran.stderr
    assert sorted(p.name for p in data.iterdir()) == ["rootfs", "rootfs.stamp"]
    assert sh(tree.mounted(root, stamp)).returncode == 0
    assert sh(tree.mounted(root, "b" * 64)).returncode == 1
    (data / "rootfs/scripts/check.sh").write_text("exit 1\n")
    assert sh(tree.mounted(root, stamp)).returncode == 1
    assert sh(tree.mounted_or_sent(root, stamp, str(archive), digest)).returncode == 1


@pytest.mark.parametrize("cut", range(1, 5))
def test_a_swap_that_was_cut_off_keeps_the_images(data: Path, tmp_path: Path, cut: int) -> None:
    """Each `mv` of the script in turn is the last thing that it does."""
    archive, root = data / "rootfs.tar", data / "rootfs"
    pack(data, archive)
    (root / "registry").mkdir(exist_ok=True)
    (root / "registry/blob").write_text("pushed")
    tools = tmp_path / "cut"
    tools.mkdir()
    (tools / "mv").write_text(
        f'#!/bin/sh\necho x >>"{tools}/count"\n'
        f'[ "$(wc -l <"{tools}/count")" -lt {cut} ] || {{ kill -9 $PPID; exit 1; }}\nexec /bin/mv "$@"\n'
    )
    (tools / "mv").chmod(0o755)
    env = {"ROOT": str(root), "ARCHIVE": str(archive), "STAMP": "a" * 64}
    broken = subprocess.run(
        ["sh", "-c", tree.UNPACK],
        env={**env, "PATH": f"{tools}:/usr/bin:/bin"},
        capture_output=True,
        check=False,
    )
    assert broken.returncode == -9
    ran = sh(tree.UNPACK, **env)
    assert ran.returncode == 0, ran.stderr
    assert (root / "registry/blob").read_text() == "pushed"
    assert sorted(p.name for p in data.iterdir()) == ["rootfs", "rootfs.stamp"]


def test_a_master_begins_nothing_while_another_answers(data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = str(listening.getsockname()[1])
        more = {"STAMP": "x", "CRI": "x", "PORT": port, "DATA": str(data)}
        ran = sh(node.KUBEADM_INIT, **more, OTHERS="127.0.0.1")
    assert ran.returncode == 65
    assert "would begin a second cluster" in ran.stderr
    assert not (data / ".sealboot/kubeadm.begun").exists()


def test_an_archive_that_was_damaged_never_becomes_the_tree(data: Path) -> None:
    archive = data / "new.tar"
    (data / "rootfs/.sealboot-manifest").write_text(f"{'0' * 64}  opt/sealctl\n")
    subprocess.run(["tar", "-cf", str(archive), "."], cwd=data / "rootfs", check=True)
    before = (data / "rootfs/opt/sealctl").stat()
    ran = sh(tree.UNPACK, ROOT=f"{data}/rootfs", ARCHIVE=str(archive), STAMP="a" * 64)
    assert ran.returncode == 1
    assert "not what was packed" in ran.stderr
    assert (data / "rootfs/opt/sealctl").stat().st_ino == before.st_ino


@pytest.mark.parametrize(
    ("program_text", "status"),
    [("\x7fELF garbage", 126), ("#!/bin/sh\nkill -SEGV $$\n", 139), ("#!/no/such/loader\n", 127)],
)
def test_statuses_of_a_control_program_that_cannot_run_come_through(
    program_text: str, status: int, data: Path
) -> None:
    (data / "rootfs/opt/sealctl").write_text(program_text)
    subprocess.run(["tar", "-cf", str(data / "t.tar"), "opt"], cwd=data / "rootfs", check=True)
    ran = sh(tree.TRY_SEALCTL, str(data / "t.tar"))
    assert ran.returncode in {status, 126 if status == 127 else status}
    assert not list(data.glob(".try-*"))


def test_a_registry_that_holds_something_else_is_not_removed(data: Path, tmp_path: Path) -> None:
    other = tmp_path / "registry"
    other.mkdir()
    (other / "precious").write_text("x")
    env = {"DATA": str(data), "STAMP": "s", "registryData": str(other), "registryConfig": "/nowhere"}
    ran = sh(images.REGISTRY, **env)
    assert ran.returncode == REFUSED
    assert (other / "precious").read_text() == "x"


@pytest.mark.parametrize(("served", "left"), [("10.103.97.2:6443", False), ("10.9.9.9:6443", True)])
def test_a_reset_removes_the_static_pod_that_is_ours(served: str, left: bool, tmp_path: Path) -> None:
    """Also where kubeadm was not ours to run, and never one that balances another address."""
    manifest = tmp_path / "kube-sealos-lvscare.yaml"
    manifest.write_text(f"args: [--vs, {served}]\n")
    made = whole(CTL, NODE, options={"state": "absent", "manifests": str(tmp_path), "lvscare_image": "i"})
    (step,) = [
        s for w in made.driver.waves(made.context()) for s in w.steps if s.id == "reset/box01/balancing"
    ]
    assert isinstance(step, Run)
    assert isinstance(step.check, Succeeds)
    assert sh(step.check.script).returncode == (0 if left else 1)
    assert sh(step.script, **step.env).returncode == 0
    assert manifest.exists() is left
    assert sh(step.check.script).returncode == 0


def test_a_reset_deletes_the_objects_of_those_that_leave(tmp_path: Path) -> None:
    """On the master that goes last; names that are none of a node reach no shell."""
    made = whole(CTL, CTL2, NODE, PI, options={"state": "absent"})
    ctx = made.context()
    names = {"ctl1": "CTL1", "pictl2": "pictl2.lan", "box01": "box;rm", "pi01": ""}
    ctx = replace(ctx, facts={n: replace(f, hostname=names[n]) for n, f in ctx.facts.items()})
    waves = [w for w in made.driver.waves(ctx) if w.id == "delete-nodes"]
    (step,) = waves[0].steps
    assert isinstance(step, Run)
    assert (step.host, step.env["NAMES"]) == ("ctl1", "pictl2.lan ctl1")
    # Asked of an API server that lists one of them, another, and of none.
    assert isinstance(step.check, Succeeds)
    for listed, status in (("node/ctl1\\nnode/x", 1), ("node/ctl10\\nnode/x", 0), ("", 0)):
        (tmp_path / "kubectl").write_text(f"#!/bin/sh\nprintf '{listed}'\n")
        (tmp_path / "kubectl").chmod(0o755)
        assert sh(step.check.script, PATH=f"{tmp_path}:/usr/bin:/bin").returncode == status
    alone = made.driver.waves(replace(ctx, selected=(PI,)))
    assert "delete-nodes" not in {w.id for w in alone}


def test_a_host_that_passed_is_not_checked_again_when_half_of_it_is_installed(data: Path) -> None:
    """The tree's check refuses what the next stage installs: a run that broke off there must go on."""
    script = data / "rootfs/scripts/check.sh"
    assert sh(node.checked(str(data))).returncode == 1
    env = {"DATA": str(data), "STAMP": "s", "registryData": "/var/lib/registry"}
    script.write_text("echo 'a port is in use' >&2; exit 1\n")
    ran = sh(node.BOOTSTRAP_CHECK, **env)
    assert (ran.returncode, ran.stderr) == (1, "a port is in use\n")
    assert sh(node.checked(str(data))).returncode == 1
    script.write_text('[ "$1" = /var/lib/registry ]\n')
    assert sh(node.BOOTSTRAP_CHECK, **env).returncode == 0
    assert sh(node.checked(str(data))).returncode == 0


def test_a_running_node_of_another_release_is_left_as_it_is(data: Path, tmp_path: Path) -> None:
    """Asked with the paths of a folder, as the node's own would be."""
    script = node.INIT.replace("/etc/kubernetes", str(tmp_path / "kubernetes"))
    (tmp_path / "kubernetes").mkdir()
    (tmp_path / "kubernetes/kubelet.conf").write_text("x")
    (data / ".sealboot").mkdir()
    (data / ".sealboot/version").write_text("v1.28.0\n")
    ran = sh(script, DATA=str(data), STAMP="s", VERSION="v1.29.9", registryDomain="d", registryPort="1")
    assert ran.returncode == REFUSED
    assert "runs v1.28.0, not v1.29.9" in ran.stderr
    assert not (data / ".sealboot/init").exists()


def test_what_init_installs_is_for_everybody(data: Path) -> None:
    (data / "rootfs/bin").mkdir()
    (data / "rootfs/bin/crictl").write_text("#!/bin/sh\n")
    (data / "rootfs/bin/crictl").chmod(0o755)
    (data / "rootfs/scripts/init-cri.sh").write_text(f': >"{data}/runtime"\n')
    env = {"DATA": str(data), "STAMP": "s", "VERSION": "v1", "registryDomain": "d", "registryPort": "1"}
    env |= {"SEALOS_SYS_CRI_ENDPOINT": "/c", "SEALOS_SYS_IMAGE_ENDPOINT": "/i", "sandboxImage": "pause:1"}
    env["BIN_DIR"] = str(data / "bin")
    (data / "rootfs/scripts/init.sh").write_text(
        f'mkdir "{data}/made" "$BIN_DIR"; cp -a ../bin/* "$BIN_DIR"\n'
    )
    assert sh("umask 077\n" + node.INIT, **env).returncode == 0
    assert (data / "runtime").stat().st_mode & 0o777 == 0o644
    assert (data / "made").stat().st_mode & 0o777 == 0o755
    assert sh(marked(str(data), "init", "s")).returncode == 0
    assert sh(marked(str(data), "init", "t")).returncode == 1


def test_kubeadm_is_kept_from_a_cluster_that_is_not_ours() -> None:
    """Only what a run of ours left half done is reset; the guard stands in front of both commands."""
    for script in (node.KUBEADM_INIT, node.KUBEADM_JOIN):
        guard = script.index("not by our doing")
        assert (
            script.index("kubeadm.begun")
            < guard
            < script.index("kubeadm init" if "kubeadm init --config" in script else "kubeadm join --config")
        )
