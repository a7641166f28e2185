"""What taking k3s away may not take away: the scripts run, in a root of their own made by other paths."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from sealboot.drivers import k3s_reset
from sealboot.drivers.k3s_config import MADE_BY
from sealboot.drivers.k3s_options import K3sOptions
from sealboot.model.host import Host
from sealboot.model.plan import Run, Succeeds

CONFIG = "/etc/rancher/k3s/config.yaml"
UNIT = "/etc/systemd/system/k3s.service"
SHELLS = (("dash",), ("busybox", "ash"))


class Machine:
    """A folder that stands for a host's root; mounts are lines of a file."""

    def __init__(self, root: Path, data: str = "/var/lib/rancher/k3s", role: str = "server") -> None:
        self.root, self.data = root, data
        self.tools = root / "tools"
        self.tools.mkdir(parents=True)
        self.mounts = root / "mounts"
        self.mounts.touch()
        self.tool("systemctl", "exit 0")
        self.tool("ip", "exit 0")
        for name in ("iptables-save", "ip6tables-save", "iptables-restore", "ip6tables-restore"):
            self.tool(name, f"cat >>{shlex.quote(str(root / 'rules'))} </dev/null; exit 0")
        gone = 'while read -r a b c; do [ "$(printf %b "$b")" = "$1" ] || printf "%s %s %s\\n" "$a" "$b" "$c"; done'
        mounts = shlex.quote(str(self.mounts))
        self.tool("umount", f"{gone} <{mounts} >{mounts}.new; mv {mounts}.new {mounts}")
        host = Host("s1", "10.0.0.11", role, paths={"data": data})
        waves = k3s_reset.waves(K3sOptions(), [host])
        self.steps = {s.id.rpartition("/")[2]: s for w in waves for s in w.steps}

    def tool(self, name: str, text: str) -> None:
        (self.tools / name).write_text(f"#!/bin/sh\n{text}\n")
        (self.tools / name).chmod(0o755)

    def put(self, path: str, text: str = "") -> Path:
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        return place

    def has(self, path: str) -> bool:
        return os.path.lexists(self.root / path.lstrip("/"))

    def _here(self, text: str) -> str:
        for top in ("/etc/", "/var/lib/", "/run/", self.data):
            text = text.replace(top, f"{self.root}\0{top}")
        text = text.replace("/proc/mounts", str(self.mounts))
        # A place that is another's beginning was moved twice.
        while f"{self.root}\0{self.root}\0" in text:
            text = text.replace(f"{self.root}\0{self.root}\0", f"{self.root}\0")
        return text.replace("\0", "")

    def shell(
        self, script: str, env: dict[str, str], shell: Sequence[str] = ("dash",)
    ) -> subprocess.CompletedProcess[str]:
        known = {name: self._here(value) for name, value in env.items()}
        path = {"PATH": f"{self.tools}:/usr/bin:/bin"}
        command = [*shell, "-c", self._here(script)]
        return subprocess.run(command, env={**known, **path}, capture_output=True, text=True, check=False)

    def run(self, name: str, shell: Sequence[str] = ("dash",)) -> subprocess.CompletedProcess[str]:
        step = self.steps[name]
        assert isinstance(step, Run)
        return self.shell(step.script, dict(step.env), shell)

    def done(self, name: str) -> bool:
        check = self.steps[name].check
        assert isinstance(check, Succeeds)
        return self.shell(check.script, {}).returncode == 0


def node(root: Path, data: str = "/var/lib/rancher/k3s") -> Machine:
    """A machine on which k3s ran by our doing."""
    machine = Machine(root, data)
    said = "" if data == "/var/lib/rancher/k3s" else f"data-dir: {machine.root}{data}\n"
    machine.put(CONFIG, f"{MADE_BY} x\nnode-name: s1\n{said}")
    machine.put(UNIT, f"{MADE_BY} x\n[Unit]\n")
    for part in ("agent/images/a.tar", "server/db/etcd/x", "storage/pvc/file", "data/current"):
        machine.put(f"{data}/{part}", "x")
    machine.put("/var/lib/kubelet/pods/p/x", "x")
    machine.put("/etc/rancher/k3s/token", "t")
    return machine


@pytest.mark.parametrize("shell", SHELLS)
def test_everything_of_ours_goes_and_nothing_beside_it(tmp_path: Path, shell: tuple[str, ...]) -> None:
    machine = node(tmp_path)
    machine.put("/var/lib/rancher/mine/file", "x")
    assert machine.done("ours")
    assert not machine.done("clean")
    ran = machine.run("clean", shell)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert machine.done("clean")
    left = [str(p.relative_to(tmp_path)) for p in (tmp_path / "var").rglob("*") if p.is_file()]
    assert left == ["var/lib/rancher/mine/file"]
    assert not machine.has("/etc/rancher")
    assert not machine.has(UNIT)


@pytest.mark.parametrize(
    ("path", "text", "told"),
    [
        (CONFIG, "token: theirs\n", "is not of our making"),
        (UNIT, "[Unit]\n", "is not of our making"),
        ("/etc/systemd/system/k3s-agent.service", f"{MADE_BY}\n", "the service of the other role"),
        ("/etc/kubernetes/kubelet.conf", "x", "a node of a kubeadm cluster"),
        (CONFIG, f"{MADE_BY}\ndata-dir: /srv/other\n", "keeps its data in /srv/other"),
    ],
)
def test_what_is_not_of_our_making_is_left_alone(tmp_path: Path, path: str, text: str, told: str) -> None:
    machine = node(tmp_path)
    machine.put(path, text)
    assert not machine.done("ours")
    ran = machine.run("ours")
    assert ran.returncode == 65
    assert told in ran.stderr
    assert next(iter(machine.steps)) == "ours"


def test_a_cluster_of_k3s_by_flags_alone_is_not_ours(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.put("/var/lib/rancher/k3s/server/db/state.db", "x")
    assert "no config.yaml of ours" in machine.run("ours").stderr


def test_a_kubeadm_node_that_never_had_k3s_keeps_everything(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.put("/etc/kubernetes/kubelet.conf", "x")
    machine.put("/var/lib/kubelet/pods/p/x", "x")
    machine.put("/var/lib/cni/x", "x")
    assert machine.done("ours")
    assert machine.done("clean")


def test_what_a_run_had_only_shipped_is_taken_back_and_no_more(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "/srv")
    machine.put("/srv/agent/images/a.sealboot.tar", "x")
    machine.put("/srv/data/theirs", "x")
    machine.put("/srv/storage/theirs", "x")
    machine.put("/var/lib/kubelet/theirs", "x")
    machine.put("/etc/rancher/k3s/token", "t")
    assert machine.done("ours")
    assert not machine.done("clean")
    assert machine.run("clean").returncode == 0
    assert machine.done("clean")
    assert not machine.has("/srv/agent")
    assert all(map(machine.has, ("/srv/data/theirs", "/srv/storage/theirs", "/var/lib/kubelet/theirs")))


def test_mounts_below_a_linked_directory_are_found_and_unmounted(tmp_path: Path) -> None:
    machine = node(tmp_path)
    place, disk = tmp_path / "var/lib/rancher/k3s", tmp_path / "mnt/my disk/k3s"
    disk.parent.mkdir(parents=True)
    place.rename(disk)
    place.symlink_to(disk)
    at = f"{disk}/storage/pvc".replace(" ", "\\040")
    machine.mounts.write_text(f"nfs:/export {at} nfs4 rw 0 0\n/dev/sdb1 /elsewhere ext4 rw 0 0\n")
    assert machine.run("clean").returncode == 0
    assert machine.mounts.read_text() == "/dev/sdb1 /elsewhere ext4 rw 0 0\n"
    assert list(disk.iterdir()) == []


def test_nothing_is_deleted_while_something_is_mounted(tmp_path: Path) -> None:
    machine = node(tmp_path)
    machine.tool("umount", "exit 1")
    machine.mounts.write_text(f"tmpfs {tmp_path}/var/lib/kubelet/pods/p tmpfs rw 0 0\n")
    ran = machine.run("clean")
    assert ran.returncode == 1
    assert "still mounted, so nothing was deleted" in ran.stderr
    assert machine.has("/var/lib/rancher/k3s/storage/pvc/file")
    assert machine.has(CONFIG)


def test_a_linked_place_loses_the_link_and_not_what_it_points_to(tmp_path: Path) -> None:
    machine = node(tmp_path)
    shared = machine.put("/mnt/shared/theirs", "x").parent
    storage = tmp_path / "var/lib/rancher/k3s/storage"
    storage.rename(tmp_path / "aside")
    storage.symlink_to(shared)
    assert machine.run("clean").returncode == 0
    assert machine.has("/mnt/shared/theirs")
    assert not machine.has("/var/lib/rancher")


def test_a_removal_that_was_cut_off_is_taken_up_again(tmp_path: Path) -> None:
    machine = node(tmp_path)
    machine.tool("rm", f'case "$*" in *{CONFIG.rpartition("/")[0]}*) exit 137 ;; esac; exec /bin/rm "$@"')
    assert machine.run("clean").returncode == 1
    assert not machine.has("/var/lib/rancher/k3s/server")
    assert machine.has(CONFIG)
    (machine.tools / "rm").unlink()
    assert machine.done("ours")
    assert not machine.done("clean")
    assert machine.run("clean").returncode == 0
    assert machine.done("clean")


def test_rules_of_others_are_restored_and_a_table_that_cannot_be_read_is_not_written(tmp_path: Path) -> None:
    machine = node(tmp_path)
    rules = tmp_path / "written"
    machine.tool("iptables-save", "printf '%s\\n' '*filter' '-A KUBE-FORWARD' '-A INPUT -j ACCEPT' COMMIT")
    machine.tool("iptables-restore", f"cat >{rules}")
    machine.tool("ip6tables-save", "echo '*filter'; exit 1")
    machine.tool("ip6tables-restore", f"cat >{rules}6")
    assert machine.run("clean").returncode == 0
    assert rules.read_text().split("\n") == ["*filter", "-A INPUT -j ACCEPT", "COMMIT", ""]
    assert not (tmp_path / "written6").exists()


def test_only_shims_of_k3s_are_ended_and_no_shell_that_speaks_of_them(tmp_path: Path) -> None:
    machine = node(tmp_path)
    shim = machine.put("/var/lib/rancher/k3s/data/x/bin/containerd-shim-runc-v2", "#!/bin/sh\nread -r line\n")
    shim.chmod(0o755)
    speaks = ["/bin/sh", "-c", "read -r line; : containerd-shim", "sh", f"{tmp_path}/run/k3s/containerd/s"]
    python = "import sys; sys.stdin.read()"
    named = [str(shim), "-c", python, f"{tmp_path}/run/k3s/containerd/s"]
    with (
        subprocess.Popen(speaks, stdin=subprocess.PIPE) as other,
        subprocess.Popen(named, executable="/usr/bin/python3", stdin=subprocess.PIPE) as pod,
    ):
        assert machine.run("clean").returncode == 0
        assert pod.wait(timeout=10) == -9
        assert other.poll() is None
        assert other.stdin is not None
        other.stdin.close()
