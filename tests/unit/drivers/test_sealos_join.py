"""kubeadm's turn on a node, with a stand-in for it: secrets, and what is begun again."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from sealboot.drivers import sealos_node_scripts as node
from sealboot.drivers.sealos_kubeadm import join_config
from sealboot.drivers.sealos_options import SealosOptions

TOKEN, CA, KEY = "abcdef.0123456789abcdef", "sha256:" + "1f" * 32, "9c" * 32


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The cluster's folder, tools that are spied on, and a kubeadm that succeeds."""
    tools = tmp_path / "tools"
    tools.mkdir()
    log, etc = shlex.quote(str(tmp_path / "log")), shlex.quote(str(tmp_path / "kubernetes"))
    for name in ("sed", "cat", "cp", "mv", "rm", "mkdir"):
        (tools / name).write_text(f'#!/bin/sh\necho "{name} $*" >>{log}\nexec /usr/bin/{name} "$@"\n')
    (tools / "kubeadm").write_text(
        f'#!/bin/sh\necho "kubeadm $*" >>{log}\n'
        f'case $1 in reset) exit 0 ;; join) /usr/bin/cp "${{2#--config=}}" {log}.config ;; esac\n'
        f"/usr/bin/mkdir -p {etc}; echo x >{etc}/kubelet.conf\n"
    )
    for tool in tools.iterdir():
        tool.chmod(0o755)
    made = tmp_path / "da ta"
    (made / "rootfs/bin").mkdir(parents=True)
    for name, text in {
        "crictl": 'echo "crictl $*" >>',
        "kubeadm": "echo registry.k8s.io/kube-apiserver:v1.29.9; echo registry.k8s.io/coredns/coredns:v1 #",
    }.items():
        (made / "rootfs/bin" / name).write_text(f"#!/bin/sh\n{text}{log}\n")
        (made / "rootfs/bin" / name).chmod(0o755)
    return made


def run(
    script: str, data: Path, shell: tuple[str, ...] = ("dash",), **more: str
) -> subprocess.CompletedProcess[str]:
    made = data.parent
    config = join_config(SealosOptions(), "v1.29.9", "10.0.0.12", master=True)
    env = {"DATA": str(data), "CRI": "unix:///x", "STAMP": "s", "CONFIG": config, "OTHERS": "", "PORT": "1"}
    env |= {"VERSION": "v1.29.9", "registryDomain": "sealos.hub", "registryPort": "5000"}
    env |= {"SEALOS_SYS_CRI_ENDPOINT": "/c.sock", "SEALOS_SYS_IMAGE_ENDPOINT": "/shim.sock"}
    secret = {"TOKEN": TOKEN, "CA": CA, "KEY": KEY}
    secret |= more
    return subprocess.run(
        [*shell, "-c", script.replace("/etc/kubernetes", str(made / "kubernetes"))],
        env={**env, **secret, "PATH": f"{made}/tools:/usr/bin:/bin"},
        text=True,
        capture_output=True,
        check=False,
    )


@pytest.mark.parametrize("shell", [("dash",), ("bash", "--posix")])
def test_the_secrets_of_joining_are_in_no_command_line(data: Path, shell: tuple[str, ...]) -> None:
    ran = run(node.KUBEADM_JOIN, data, shell)
    assert ran.returncode == 0, ran.stderr
    log = (data.parent / "log").read_text()
    assert "kubeadm join" in log
    for secret in (TOKEN, CA, KEY):
        assert secret not in log + ran.stdout + ran.stderr
        assert f'"{secret}"' in (data.parent / "log.config").read_text()
    assert "@" not in (data.parent / "log.config").read_text()
    assert not (data / "etc/kubeadm-join.yaml").exists()


@pytest.mark.parametrize("script", [node.KUBEADM_INIT, node.KUBEADM_JOIN])
def test_only_what_was_left_half_done_is_begun_again(data: Path, script: str) -> None:
    marks = data / ".sealboot"
    marks.mkdir()
    (marks / "kubeadm.begun").touch()
    assert run(script, data).returncode == 0
    assert "kubeadm reset" in (data.parent / "log").read_text()
    assert [p.name for p in marks.iterdir()] == ["kubeadm"]
    # Power was lost between the two marks: the node is a member, and is not reset.
    (data.parent / "log").unlink()
    (marks / "kubeadm.begun").touch()
    ran = run(script, data)
    assert (ran.returncode, "in a cluster already" in ran.stderr) == (65, True)
    assert not (data.parent / "log").exists()


@pytest.mark.parametrize(
    ("script", "key", "pulls"),
    [(node.KUBEADM_INIT, "", 2), (node.KUBEADM_JOIN, KEY, 2), (node.KUBEADM_JOIN, "", 0)],
)
def test_what_a_control_plane_needs_is_pulled_before_kubeadm_runs(
    script: str, key: str, pulls: int, data: Path
) -> None:
    """Under the registry's name, through the shim; a worker needs none of it."""
    assert run(script, data, KEY=key).returncode == 0
    lines = (data.parent / "log").read_text().splitlines()
    pulled = [line for line in lines if line.startswith("crictl")]
    assert (
        pulled
        == [
            "crictl -r unix:///c.sock -i unix:///shim.sock pull sealos.hub:5000/kube-apiserver:v1.29.9",
            "crictl -r unix:///c.sock -i unix:///shim.sock pull sealos.hub:5000/coredns/coredns:v1",
        ][:pulls]
    )
    begins = next(n for n, line in enumerate(lines) if line.startswith(("kubeadm init", "kubeadm join")))
    assert all(lines.index(line) < begins for line in pulled)


def test_kubeadm_is_not_asked_to_pull() -> None:
    assert (
        "nodeRegistration:\n  criSocket: unix:///run/containerd/containerd.sock\n  imagePullPolicy: Never"
        in (join_config(SealosOptions(), "v1.29.9", "10.0.0.12", master=False))
    )
