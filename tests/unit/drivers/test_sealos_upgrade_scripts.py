"""The scripts of an upgrade in a real shell: what is guarded, what is remembered, what survives being cut off."""

from __future__ import annotations

import base64
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from sealboot.drivers import sealos_tree_scripts as tree
from sealboot.drivers import sealos_upgrade_scripts as scripts
from sealboot.drivers.sealos_kubeadm import upgrade_config
from sealboot.drivers.sealos_marks import REFUSED, marked
from sealboot.drivers.sealos_node_scripts import initialised
from sealboot.drivers.sealos_options import SealosOptions

OLD, NEW = "v1.29.9", "v1.30.4"
ADMIN = base64.b64encode(b"the administrator's").decode()

#: Keeps whether the node is closed in a file, and counts what it was asked; its configuration must be there.
KUBECTL = """#!/bin/sh
state=@STATE@
[ "$1" = --kubeconfig ] && grep -q "the administrator's" "$2" && [ "$(stat -c %a "$2")" = 600 ] || exit 9
echo "$2" >>"$state/paths"; shift 2; echo "$*" >>"$state/log"
case $1 in
get) cat "$state/closed" ;;
cordon) printf true >"$state/closed" ;;
drain) [ ! -e "$state/guarded" ] ;;
uncordon) : >"$state/closed" ;;
esac
"""


KUBEADM = f"""#!/bin/sh
case $* in
'version -o short') echo {NEW} ;;
'config images list --kubernetes-version {NEW}') echo registry.k8s.io/kube-apiserver:{NEW}; echo registry.k8s.io/coredns/coredns:v1 ;;
'upgrade apply'*|'upgrade node'*) echo "$*" >>@STATE@/kubeadm; case $* in *--config*) cat "$(echo "$*" | sed 's/.*--config //')" >@STATE@/config ;; esac ;;
*) exit 9 ;;
esac
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The cluster's folder on a node that runs the old release, with the new tree in place."""
    made = tmp_path / "data"
    (made / ".sealboot").mkdir(parents=True)
    (made / ".sealboot/version").write_text(f"{OLD}\n")
    (tmp_path / "closed").touch()
    programs = {
        "bin/kubectl": KUBECTL.replace("@STATE@", str(tmp_path)),
        "bin/kubeadm": KUBEADM.replace("@STATE@", str(tmp_path)),
        "bin/crictl": f'#!/bin/sh\necho "$6" >>"{tmp_path}/pulled"\n',
        "bin/kubelet": f"#!/bin/sh\necho Kubernetes {NEW}\n",
        "scripts/init-cri.sh": f'echo cri >>"{tmp_path}/log"\n',
        # As `init-kube.sh` does: no `set -e`, and a copy that fails at a program that runs.
        "scripts/init.sh": f'echo init >>"{tmp_path}/log"\ncp -a ../bin/* "$BIN_DIR" 2>>"{tmp_path}/cp"\n:\n',
    }
    (tmp_path / "usr").mkdir()
    for name, text in programs.items():
        path = made / "rootfs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    return made


def run(script: str, data: Path, **more: str) -> subprocess.CompletedProcess[str]:
    env = {"DATA": str(data), "VERSION": NEW, "STAMP": "s" * 64, "ADMIN": ADMIN, "DRAIN_TIMEOUT": "5"}
    words = {"DRAIN_MORE": "", "registryDomain": "d", "registryPort": "1", "sandboxImage": "pause:1"}
    words |= {"SEALOS_SYS_CRI_ENDPOINT": "/c", "SEALOS_SYS_IMAGE_ENDPOINT": "/i"}
    words["BIN_DIR"] = str(data.parent / "usr")
    return subprocess.run(
        ["/bin/sh", "-c", script],
        env={"PATH": "/usr/bin:/bin", **env, **words, **more},
        text=True,
        capture_output=True,
        timeout=20,
        check=False,
    )


def log(data: Path) -> list[str]:
    path = data.parent / "log"
    return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []


def marks(data: Path) -> set[str]:
    return {path.name for path in (data / ".sealboot").iterdir()}


def test_a_node_is_emptied_changed_and_opened(data: Path) -> None:
    for script in (scripts.DRAIN, scripts.REPLACE, scripts.OPEN):
        ran = run(script, data)
        assert ran.returncode == 0, ran.stderr
    assert log(data) == ["get", "cordon", "drain", "cri", "init", "uncordon"]
    assert marks(data) == {"version", "init"}
    assert run(marked(str(data), "version", NEW), data).returncode == 0
    assert (data.parent / "closed").read_text() == ""
    asked_with = set((data.parent / "paths").read_text().split())
    assert asked_with
    assert not any(Path(path).exists() for path in asked_with)


def test_a_drain_that_fails_stops_before_programs_change(data: Path) -> None:
    (data.parent / "guarded").touch()
    assert run(scripts.DRAIN, data).returncode != 0
    refused = run(scripts.REPLACE, data)
    assert (refused.returncode, "not drained" in refused.stderr) == (REFUSED, True)
    assert log(data) == ["get", "cordon", "drain"]
    # Asked again once it may: whose the cordon is was written down, and is not mistaken for the operator's.
    (data.parent / "guarded").unlink()
    for script in (scripts.DRAIN, scripts.REPLACE, scripts.OPEN):
        assert run(script, data).returncode == 0
    assert log(data)[3:] == ["cordon", "drain", "cri", "init", "uncordon"]


def test_what_the_operator_has_closed_stays_closed(data: Path) -> None:
    (data.parent / "closed").write_text("true")
    (data / ".sealboot/cordon").write_text(f"{OLD} ours\n")  # of an upgrade that ended long ago
    for script in (scripts.DRAIN, scripts.REPLACE, scripts.OPEN):
        assert run(script, data).returncode == 0
    assert "uncordon" not in log(data)


def test_a_drain_of_another_upgrade_counts_for_nothing(data: Path) -> None:
    (data / ".sealboot/drained").write_text(f"{OLD}\n")
    assert run(scripts.REPLACE, data).returncode == REFUSED


def test_emptydir_only_where_the_operator_says_so(data: Path) -> None:
    assert run(scripts.DRAIN, data, DRAIN_MORE="--delete-emptydir-data").returncode == 0
    assert "--timeout=5s --delete-emptydir-data" in (data.parent / "log").read_text()


@pytest.mark.parametrize(("program", "said"), [("kubeadm", OLD), ("kubelet", f"Kubernetes {OLD}")])
def test_a_tree_of_another_release(program: str, said: str, data: Path) -> None:
    assert run(scripts.TOOLS, data).returncode == 0
    (data / "rootfs/bin" / program).write_text(f"#!/bin/sh\necho {said}\n")
    ran = run(scripts.TOOLS, data)
    assert (ran.returncode, f"has {said}, not {NEW}" in ran.stderr) == (REFUSED, True)


@pytest.fixture
def kubelets(data: Path) -> Path:
    """A kubectl in PATH that answers as the API servers do; `versions` has one line for each server."""
    (data.parent / "kubectl").write_text(
        "#!/bin/sh\n"
        f"""case "$*" in
*' --server https://'*' get --raw /version') grep "^$4 " {data.parent}/versions | cut -d' ' -f2- ;;
*nodeInfo*) printf %s "$(cat {data.parent}/ready)" ;;
*unschedulable*) cat {data.parent}/closed ;;
*) exit 9 ;;
esac
"""
    )
    (data.parent / "kubectl").chmod(0o755)
    return data


def asked(script: str, data: Path) -> bool:
    return run(script, data, PATH=f"{data.parent}:/usr/bin:/bin").returncode == 0


def test_a_node_waits_for_every_api_server(kubelets: Path) -> None:
    script = scripts.served_by(NEW, ["10.0.0.1", "10.0.0.2"], 6443)
    lines = [f'https://10.0.0.{n}:6443 {{ "gitVersion": "{v}" }}\n' for n, v in ((1, NEW), (2, OLD))]
    versions = kubelets.parent / "versions"
    versions.write_text("".join(lines))
    assert not asked(script, kubelets)
    assert asked(scripts.served_by(NEW, ["10.0.0.1"], 6443), kubelets)
    versions.write_text("".join(lines).replace(OLD, NEW))
    assert asked(script, kubelets)
    versions.write_text(lines[0].replace(NEW, f"{NEW}0"))
    assert not asked(scripts.served_by(NEW, ["10.0.0.1"], 6443), kubelets)


@pytest.mark.parametrize(
    ("told", "ready"), [(f"{NEW} True", True), (f"{OLD} True", False), (f"{NEW} Unknown", False), ("", False)]
)
def test_ready_means_with_the_new_kubelet(told: str, ready: bool, kubelets: Path) -> None:
    (kubelets.parent / "ready").write_text(told)
    assert asked(scripts.ready_with(NEW), kubelets) is ready


def test_what_counts_as_drained(kubelets: Path) -> None:
    script = scripts.drained(str(kubelets), NEW, "s" * 64)
    assert not asked(script, kubelets)
    (kubelets / ".sealboot/drained").write_text(f"{NEW}\n")
    assert not asked(script, kubelets)  # somebody has opened it since
    (kubelets.parent / "closed").write_text("true")
    assert asked(script, kubelets)


@pytest.mark.parametrize("cut", range(1, 7))
def test_the_tree_before_is_kept_wherever_a_swap_is_cut_off(cut: int, tmp_path: Path) -> None:
    """Each `mv` in turn is the last thing that the script does; then it is run again, whole."""
    root, keep = tmp_path / "rootfs", tmp_path / f"rootfs.{OLD}"
    for place, release in ((tmp_path / "new", NEW), (root, OLD), (tmp_path / "rootfs.v1.28.0", "v1.28.0")):
        (place / "opt").mkdir(parents=True)
        (place / "opt/sealctl").write_text(release)
    (root / "registry").mkdir()
    (root / "registry/blob").write_text("pushed")
    pack = "sha256sum opt/sealctl >.sealboot-manifest; tar -cf ../rootfs.tar opt .sealboot-manifest"
    subprocess.run(["sh", "-c", pack], cwd=tmp_path / "new", check=True)
    (tmp_path / "tools").mkdir()
    count = tmp_path / "count"
    (tmp_path / "tools/mv").write_text(
        f'#!/bin/sh\necho x >>"{count}"\n'
        f'[ "$(wc -l <"{count}")" -lt {cut} ] || {{ kill -9 $PPID; exit 1; }}\nexec /bin/mv "$@"\n'
    )
    (tmp_path / "tools/mv").chmod(0o755)
    env = {"ROOT": str(root), "ARCHIVE": f"{root}.tar", "KEEP": str(keep)}
    first = run(tree.UNPACK, tmp_path, **env, PATH=f"{tmp_path}/tools:/usr/bin:/bin")
    assert first.returncode == (-9 if cut < 6 else 0)
    if Path(f"{root}.tar").exists():
        again = run(tree.UNPACK, tmp_path, **env)
        assert again.returncode == 0, again.stderr
    assert (root / "opt/sealctl").read_text() == NEW
    assert (keep / "opt/sealctl").read_text() == OLD
    assert (root / "registry/blob").read_text() == "pushed"
    assert {p.name for p in tmp_path.glob("rootfs*")} == {"rootfs", keep.name, "rootfs.stamp"}


def test_a_kubelet_that_runs_is_replaced_all_the_same(data: Path) -> None:
    """`cp` over a program that runs fails with ETXTBSY, and the tree's script ends well."""
    kubelet, there = data / "rootfs/bin/kubelet", data.parent / "usr/kubelet"
    shutil.copy("/bin/sleep", there)
    shutil.copy("/bin/true", kubelet)
    (data / ".sealboot/drained").write_text(f"{NEW}\n")
    with subprocess.Popen([str(there), "60"]) as running:
        try:
            ran = run(scripts.REPLACE, data)
        finally:
            running.kill()
    assert ran.returncode == 0, ran.stderr
    assert there.read_bytes() == kubelet.read_bytes()
    assert "init" in marks(data)


def test_what_was_not_replaced_is_never_said_to_be(data: Path) -> None:
    """Whatever the script did instead; nor is a mark of a run before believed."""
    (data / "rootfs/scripts/init.sh").write_text(
        'cp -a ../bin/kube* "$BIN_DIR"; echo old >"$BIN_DIR/kubelet"\n'
    )
    (data / ".sealboot/drained").write_text(f"{NEW}\n")
    ran = run(scripts.REPLACE, data)
    assert ran.returncode == 1
    assert "is not the root filesystem's after its init.sh" in ran.stderr
    assert "init" not in marks(data)
    (data / ".sealboot/init").write_text("s" * 64 + "\n")
    check = initialised(str(data), "s" * 64)
    path = f"{data.parent}/usr:/usr/bin:/bin"
    assert run(check, data, PATH=path).returncode == 1
    shutil.copy(data / "rootfs/bin/kubelet", data.parent / "usr/kubelet")
    assert run(check, data, PATH=path).returncode == 0
    assert run(check.replace("s" * 64, "t" * 64), data, PATH=path).returncode == 1


@pytest.mark.parametrize(
    ("script", "release", "said"),
    [
        ("APPLY", "v1.36.4", "upgrade apply -y --config @DATA@/etc/kubeadm-upgrade.yaml"),
        ("NODE", "v1.36.4", "upgrade node --config @DATA@/etc/kubeadm-upgrade.yaml"),
        ("APPLY", NEW, f"upgrade apply -y --ignore-preflight-errors=SystemVerification,ImagePull {NEW}"),
        ("NODE", NEW, "upgrade node --ignore-preflight-errors=SystemVerification,ImagePull"),
    ],
)
def test_kubeadm_is_kept_from_pulling_in_an_upgrade(script: str, release: str, said: str, data: Path) -> None:
    """By its own document, which there is since v1.31; before, its failure to pull is not what decides."""
    (data / "etc").mkdir()
    (data.parent / "manifests").mkdir()
    (data.parent / "manifests/kube-apiserver.yaml").touch()
    text = str(getattr(scripts, script)).replace("/etc/kubernetes/manifests", f"{data.parent}/manifests")
    config = upgrade_config(SealosOptions(), release)
    assert run(text, data, CONFIG=config).returncode == 0
    assert (data.parent / "kubeadm").read_text() == said.replace("@DATA@", str(data)) + "\n"
    assert (data.parent / "pulled").read_text().split() == [
        f"d:1/kube-apiserver:{NEW}",
        "d:1/coredns/coredns:v1",
    ]
    if config:
        document = yaml.safe_load((data.parent / "config").read_text())
        assert (document["kind"], document["apiVersion"]) == (
            "UpgradeConfiguration",
            "kubeadm.k8s.io/v1beta4",
        )
        assert document["apply"]["imagePullPolicy"] == document["node"]["imagePullPolicy"] == "Never"
        assert document["apply"]["kubernetesVersion"] == release


def test_a_worker_pulls_nothing_of_the_control_plane(data: Path) -> None:
    text = scripts.NODE.replace("/etc/kubernetes/manifests", f"{data.parent}/nowhere")
    assert run(text, data, CONFIG="").returncode == 0
    assert not (data.parent / "pulled").exists()
