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
    return tmp_path / "da ta"


def run(script: str, data: Path, shell: tuple[str, ...] = ("dash",)) -> subprocess.CompletedProcess[str]:
    made = data.parent
    config = join_config(SealosOptions(), "10.0.0.12", master=True)
    env = {"DATA": str(data), "CRI": "unix:///x", "STAMP": "s", "CONFIG": config, "OTHERS": "", "PORT": "1"}
    secret = {"TOKEN": TOKEN, "CA": CA, "KEY": KEY}
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
    marks.mkdir(parents=True)
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
