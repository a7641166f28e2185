"""What taking k3s away may not take away: the scripts run, in a root of their own made by other paths."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from driver_kit import Cluster
from requires import inapplicable, shells

from sealboot.drivers import k3s_install, k3s_reset, k3s_reset_scripts
from sealboot.drivers.base import Context
from sealboot.drivers.k3s_config import MADE_BY
from sealboot.drivers.k3s_options import K3sOptions
from sealboot.model.arch import Arch
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.host import Host, Inventory
from sealboot.model.steps import Run, Succeeds

CONFIG = "/etc/rancher/k3s/config.yaml"
UNIT = "/etc/systemd/system/k3s.service"
SHELLS = shells("dash", "busybox")


class Machine:
    """A folder that stands for a host's root; mounts are lines of a file."""

    def __init__(self, root: Path, data: str = "/var/lib/rancher/k3s", role: str = "server") -> None:
        self.root, self.data = root, data
        self.tools = root / "tools"
        self.tools.mkdir(parents=True)
        (root / "run").mkdir()
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
        inventory = Inventory("i", ".", "lab", "k3s", None, (host,))
        waves = k3s_reset.waves(K3sOptions(), inventory, [host])
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
        for top in ("/etc/", "/var/lib/", "/run/", "/usr/local/", self.data):
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


@pytest.mark.requires("python3")
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


# -- what the operator mounted


def mounted(machine: Machine, *places: str) -> None:
    """Mounts, as the kernel would list them."""
    machine.mounts.write_text("".join(f"/dev/sdb1 {machine.root}{p} ext4 rw 0 0\n" for p in places))


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("shell", SHELLS)
def test_a_place_on_a_disk_of_its_own_is_emptied_and_stays_mounted(
    shell: tuple[str, ...], listed: bool, tmp_path: Path
) -> None:
    """By the kernel's table, or where only fstab has it at this moment."""
    if shell[0] == "busybox" and not listed:
        inapplicable("busybox calls its own umount, not the one of this made-up machine")
    machine = node(tmp_path)
    place = "/var/lib/rancher/k3s/storage"
    machine.put(f"{place}/.hidden", "x")
    machine.put(f"{place}/with a blank/x", "x")
    if listed:
        machine.put("/etc/fstab", f"# disks\n\nUUID=1\t{machine.root}{place}  ext4 defaults 0 2\n")
    else:
        mounted(machine, place, "/var/lib/kubelet/pods/p")
    before = machine.mounts.read_text().splitlines()[:1]
    assert machine.done("ours")
    assert machine.run("clean", shell).returncode == 0
    assert machine.mounts.read_text().splitlines() == before
    assert list((tmp_path / place.lstrip("/")).iterdir()) == []
    assert not machine.has("/var/lib/rancher/k3s/server")


def test_what_fstab_mounts_deeper_is_a_reason_to_leave_everything(tmp_path: Path) -> None:
    machine = node(tmp_path)
    deeper = f"{tmp_path}/var/lib/rancher/k3s/storage/my\\040share"
    machine.put("/etc/fstab", f"nas:/export {deeper} nfs defaults 0 0\n")
    assert machine.done("ours")  # it is not mounted
    machine.mounts.write_text(f"nas:/export {deeper} nfs4 rw 0 0\n")
    ran = machine.run("ours")
    assert ran.returncode == 65
    assert "storage/my share below what would be removed" in ran.stderr


# -- made by install.sh


def scripted(root: Path, uninstaller: str) -> Machine:
    """A machine on which install.sh made the unit for us."""
    machine = node(root)
    machine.put(UNIT, "[Service]\n")
    machine.put(k3s_install.MARK, "stamp\n")
    tool = machine.put("/usr/local/bin/k3s-uninstall.sh", f"#!/bin/sh\n{uninstaller}\n")
    tool.chmod(0o755)
    return machine


def test_the_uninstaller_of_install_sh_takes_away_what_it_made(tmp_path: Path) -> None:
    away = f"rm -rf {tmp_path}/etc/rancher/k3s {tmp_path}{UNIT} {tmp_path}/usr/local/bin/kubectl; exit 3"
    machine = scripted(tmp_path, f'echo noise >&2; {away}; rm "$0"')
    machine.put("/usr/local/bin/kubectl", "x")
    assert machine.done("ours")
    ran = machine.run("clean")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert machine.done("clean")
    for path in ("/usr/local/bin/kubectl", "/var/lib/rancher", "/var/lib/kubelet", k3s_reset_scripts.BEGUN):
        assert not machine.has(path)


def test_an_uninstaller_that_was_cut_off_is_not_taken_for_somebody_elses_host(tmp_path: Path) -> None:
    machine = scripted(tmp_path, f"rm -rf {tmp_path}/etc/rancher/k3s; kill -9 $PPID")
    assert machine.run("clean").returncode == -9
    assert not machine.has(CONFIG)
    assert machine.done("ours")
    assert not machine.done("clean")
    machine.put("/usr/local/bin/k3s-uninstall.sh", "#!/bin/sh\nexit 0\n")
    assert machine.run("clean").returncode == 0
    assert machine.done("clean")
    assert not machine.has("/var/lib/rancher")


@pytest.mark.parametrize("place", ["", "/storage"])
def test_an_uninstaller_does_not_get_to_unmount_a_disk_of_the_operators(place: str, tmp_path: Path) -> None:
    machine = scripted(tmp_path, "exit 1")
    mounted(machine, f"/var/lib/rancher/k3s{place}")
    ran = machine.run("ours")
    assert ran.returncode == 65
    assert "k3s-uninstall.sh would unmount it" in ran.stderr


def test_a_unit_of_install_sh_without_our_mark_is_somebody_elses(tmp_path: Path) -> None:
    machine = scripted(tmp_path, "exit 0")
    (tmp_path / k3s_install.MARK.lstrip("/")).unlink()
    assert "is not of our making" in machine.run("ours").stderr


# -- the cluster that goes on


S1, S2, S3 = (Host(f"s{n}", f"10.0.0.1{n}", "server") for n in (1, 2, 3))
A1 = Host("a1", "10.0.0.21", "agent", vars={"node_name": "pi"})
UP = "s1=True\ns2=True\ns3=True\n"


def context(
    every: Sequence[Host], run: Sequence[Host], told: Mapping[str, Mapping[str, str]], **options: str
) -> tuple[Cluster, Context]:
    """A run with `state: absent` on some hosts; `told` are answers (`members`, `state`) by host."""
    given = {"state": "absent", **options}
    inventory = Inventory("i", ".", "lab", "k3s", None, tuple(every), options=given)
    cluster = Cluster(inventory, {host.name: Arch.AMD64 for host in every})
    ctx = cluster.context([host.name for host in run])
    facts = {
        name: replace(seen, observed={f"k3s.{k}": v for k, v in told.get(name, {}).items()})
        for name, seen in ctx.facts.items()
    }
    return cluster, replace(ctx, facts=facts)


def findings(
    every: Sequence[Host], run: Sequence[Host], told: Mapping[str, Mapping[str, str]], **options: str
) -> dict[str, Diagnostic]:
    cluster, ctx = context(every, run, told, **options)
    return {d.code: d for d in cluster.driver.checks(ctx)}


def leaving(
    every: Sequence[Host], run: Sequence[Host], *telling: str
) -> tuple[list[str], list[str], list[str]]:
    """The waves, the steps by which nodes are deleted in their order, and the hosts that SB649 is about."""
    told = {name: {"members": UP, "state": "server\nagent\n"} for name in telling}
    cluster, ctx = context(every, run, told)
    waves = cluster.driver.waves(ctx)
    noted = [d for d in cluster.driver.checks(ctx) if d.code == "SB649"]
    steps = [s.id for w in waves for s in w.steps if s.id.startswith("leave/")]
    return [w.id for w in waves], steps, [name for d in noted for name in (d.host or "", *d.also)]


def test_a_cluster_that_goes_on_forgets_the_nodes_that_left() -> None:
    every = (S1, S2, S3, A1)
    waves, steps, told = leaving(every, (S1, S2, A1), "s1", "s2")
    assert waves == ["reset-agents", "leave", "reset-servers"]
    assert (steps, told) == (["leave/s1/pi", "leave/s2/s2", "leave/s1/s1"], [])
    # The server that answers speaks for the agents.
    assert leaving(every, (S1, S2, A1), "s2")[1] == ["leave/s2/pi", "leave/s2/s2", "leave/s1/s1"]
    assert leaving(every, (A1,)) == (["reset-agents"], [], ["a1"])
    assert leaving(every, every, "s1") == (["reset-agents", "reset-servers"], [], [])
    assert leaving((S1, A1), (S1, A1), "s1")[1:] == ([], [])


def test_each_server_leaves_etcd_right_before_it_is_stopped() -> None:
    """It asks the servers that go on: the API of a member ends when the member is taken out."""
    cluster, ctx = context((S1, S2, S3), (S2, S3), {"s2": {"members": UP}, "s3": {"members": UP}})
    (wave,) = cluster.driver.waves(ctx)
    order = [s.id for s in wave.steps if s.id.rpartition("/")[2] in {"ours", "service", "s2", "s3"}]
    assert order == [
        f"{part.format(n)}"
        for n in ("s3", "s2")
        for part in ("reset/{0}/ours", "leave/{0}/{0}", "reset/{0}/service")
    ]
    assert wave.parallel == 1
    for step in wave.steps:
        if isinstance(step, Run) and step.id.startswith("leave/"):
            assert "for sb_url in https://10.0.0.11:6443 https://127.0.0.1:6443; do" in step.script


@pytest.mark.parametrize(
    ("members", "going", "votes"),
    [
        (UP, (S2, S3), ""),
        (UP, (S3,), ""),
        # One that goes on is down already; with the third it had a majority.
        ("s1=True\ns2=Unknown\ns3=True\n", (S3,), "1 of 2 votes, and 2 are needed"),
        ("s1=Unknown\ns2=True\ns3=True\n", (S2, S3), "0 of 1 votes, and 1 are needed"),
        # A member that the inventory does not know of.
        ("s1=True\ns2=True\nold=False\n", (S2,), "1 of 2 votes, and 2 are needed"),
        ("s1=True\ns2=True\n", (S3,), ""),
    ],
)
def test_servers_do_not_go_where_the_rest_would_have_no_majority(
    members: str, going: Sequence[Host], votes: str
) -> None:
    said = {"members": members, "state": "server\nagent\npassword\n"}
    found = findings((S1, S2, S3, A1), going, {host.name: said for host in going})
    assert ("SB685" in found) == bool(votes)
    if votes:
        assert votes in found["SB685"].summary
        assert (found["SB685"].severity, found["SB685"].host) == (Severity.ERROR, going[0].name)
    assert "SB685" not in findings((S1, S2, S3, A1), (S1, S2, S3, A1), {h.name: said for h in (S1, S2, S3)})
    assert "SB685" not in findings((S1, S2, S3), going, {h.name: said for h in going}, datastore="sqlite")


@pytest.mark.parametrize(
    ("every", "going", "state", "votes"),
    [
        ((S1, S2, S3), (S3,), "server\n", ""),
        ((S1, S2, S3), (S2, S3), "server\n", "1 of 3 votes, and 2 are needed"),
        ((S1, S2), (S2,), "server\n", "1 of 2 votes, and 2 are needed"),
        # Nothing of k3s is left there: the run goes on with what an earlier one began.
        ((S1, S2), (S2,), "", ""),
    ],
)
def test_a_server_that_cannot_leave_stays_a_member(
    every: Sequence[Host], going: Sequence[Host], state: str, votes: str
) -> None:
    found = findings(every, going, {host.name: {"members": "", "state": state} for host in going})
    assert votes in found["SB685"].summary if votes else "SB685" not in found
    assert ("SB649" in found) == bool(state)


def test_servers_that_were_not_reached_do_not_vote() -> None:
    told = {"s3": {"members": "", "state": "server"}}
    cluster, ctx = context((S1, S2, S3), (S2, S3), told)
    ctx = replace(ctx, facts={"s3": ctx.facts["s3"]})
    (found,) = [d for d in cluster.driver.checks(ctx) if d.code == "SB685"]
    assert dict(found.evidence)["would not"] == "s2, s3"


def test_nodes_that_remain_are_told_with_the_command_that_deletes_them() -> None:
    note = findings((S1, A1), (A1,), {})["SB649"]
    assert (note.severity, note.hints) == (
        Severity.NOTE,
        ("afterwards, on s1: `/usr/local/bin/k3s kubectl delete node pi`",),
    )


#: kubectl of a k3s whose servers are files: a server that is none does not answer.
KUBECTL = """#!/bin/sh
umask >>@/umasks
nodes=@/${2##*/}; shift 2
[ -e "$nodes" ] || exit 1
case "$*" in
  'get --raw /readyz --request-timeout=10s') ;;
  'get nodes --request-timeout=10s -o jsonpath='*) cat "$nodes" ;;
  'delete node '*' --timeout=120s --ignore-not-found') grep -vx "$3" "$nodes" >"$nodes.new"; mv "$nodes.new" "$nodes" ;;
  *) exit 2 ;;
esac
"""


@pytest.mark.parametrize("shell", SHELLS)
def test_a_node_is_deleted_once_and_a_silent_server_stops_nobody(
    shell: tuple[str, ...], tmp_path: Path
) -> None:
    tool, data = tmp_path / "k3s", str(tmp_path / "data")

    def run(made_by: Callable[[str, str, str, Sequence[str]], str]) -> int:
        servers = [f"https://{tmp_path}/one", f"https://{tmp_path}/two"]
        script = made_by(str(tool), data, "pi", servers)
        return subprocess.run([*shell, "-c", script], capture_output=True, check=False).returncode

    forgotten, forget = k3s_reset_scripts.forgotten, k3s_reset_scripts.forget
    assert run(forgotten) == 0
    tool.write_text(KUBECTL.replace("@", str(tmp_path)))
    tool.chmod(0o755)
    # It has not unpacked itself: asking it would.
    assert (run(forgotten), run(forget), (tmp_path / "umasks").exists()) == (0, 0, False)
    (tmp_path / "data/data/current/bin").mkdir(parents=True)
    (tmp_path / "data/data/current/bin/k3s").touch()
    assert run(forgotten) == 0  # no server answers
    assert run(forget) == 1
    nodes = tmp_path / "two"
    nodes.write_text("s1\npi\npi2\n")
    assert run(forgotten) == 1
    assert run(forget) == 0
    assert run(forgotten) == 0
    assert nodes.read_text() == "s1\npi2\n"
    assert set((tmp_path / "umasks").read_text().split()) == {"0022"}
