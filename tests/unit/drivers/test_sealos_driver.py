"""The sealos scripts run in real shells against a sealctl that behaves as the real one does."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from driver_kit import Cluster
from requires import shells

from sealboot.drivers import sealos_scripts as scripts
from sealboot.drivers.phases_schema import PhasesOptions
from sealboot.drivers.sealos import SealosDriver
from sealboot.drivers.sealos_options import SealosOptions
from sealboot.drivers.sealos_steps import Cluster as Described
from sealboot.model.arch import Arch
from sealboot.model.host import Host, Inventory
from sealboot.model.steps import Remove

SHELLS = shells("sh", "bash", "busybox")

SEALCTL = """#!/bin/sh
case "$1" in
hostname) printf %s "$(uname -n)" >&2 ;;
static-pod) [ "$2" = lvscare ] && printf '%s\\n' "$@" >"$4/$6.yaml" ;;
esac
"""


def sh(shell: list[str], script: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*shell, "-c", script], env={"PATH": "/usr/bin:/bin", **env}, text=True, capture_output=True, timeout=20, check=False
    )  # fmt: skip


@pytest.fixture
def sealctl(tmp_path: Path) -> Path:
    path = tmp_path / "my sealctl"
    path.write_text(SEALCTL)
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("shell", SHELLS)
def test_the_hostname_is_read_from_either_stream(shell: list[str], sealctl: Path) -> None:
    assert sh(shell, scripts.same_hostname(str(sealctl))).returncode == 0
    sealctl.write_text("#!/bin/sh\necho elsewhere\n")
    result = sh(shell, scripts.same_hostname(str(sealctl)))
    assert result.returncode == 1
    assert "elsewhere" in result.stderr
    sealctl.write_text("#!/bin/sh\n")
    assert sh(shell, scripts.same_hostname(str(sealctl))).returncode == 1
    sealctl.chmod(0o644)
    assert sh(shell, scripts.same_hostname(str(sealctl))).returncode == 126


@pytest.mark.parametrize("shell", SHELLS)
def test_the_static_pod_is_written_and_recognised(shell: list[str], tmp_path: Path, sealctl: Path) -> None:
    folder = str(tmp_path / "manifests")
    asked = scripts.has_lvscare(
        folder=folder,
        name="lvs",
        vip="10.103.97.2",
        image="hub/lvs:v5",
        masters=["10.0.0.1", "10.0.0.2"],
        port=6443,
    )
    assert sh(shell, asked).returncode == 1
    made = scripts.add_lvscare(
        str(sealctl),
        folder=folder,
        name="lvs",
        vip="10.103.97.2",
        image="hub/lvs:v5",
        masters=["10.0.0.1"],
        port=6443,
    )
    assert sh(shell, made).returncode == 0
    assert sh(shell, asked).returncode == 1  # the second master is not in it
    made = scripts.add_lvscare(
        str(sealctl), folder=folder, name="lvs", vip="10.103.97.2", image="hub/lvs:v5", masters=["10.0.0.1", "10.0.0.2"], port=6443
    )  # fmt: skip
    assert sh(shell, made).returncode == 0
    assert sh(shell, asked).returncode == 0


def test_the_ipvs_question_reads_the_kernels_table(tmp_path: Path) -> None:
    table = tmp_path / "ip_vs"
    table.write_text(
        "IP Virtual Server version 1.2.1 (size=4096)\nProt LocalAddress:Port Scheduler Flags\n"
        "TCP  0A676102:192B rr\n  -> 0A00000B:192B      Masq    1      0          0\n"
    )
    one = scripts.has_ipvs("10.103.97.2", ["10.0.0.11"], 6443).replace("/proc/net/ip_vs", str(table))
    two = scripts.has_ipvs("10.103.97.2", ["10.0.0.11", "10.0.0.12"], 6443).replace(
        "/proc/net/ip_vs", str(table)
    )
    assert sh(["/bin/sh"], one).returncode == 0
    assert sh(["/bin/sh"], two).returncode == 1


def inventory(*hosts: Host, **options: str) -> Inventory:
    return Inventory("i.yaml", ".", "lab", "sealos", None, hosts, options=options)


def test_clusters_that_cannot_be_described() -> None:
    master, node = Host("m", "10.0.0.1", "master"), Host("n", "n.lan", "node")
    for made, expected in (
        (inventory(Host("n", "10.0.0.2", "node")), {"SB607"}),
        (inventory(master, registry_host="mm"), {"SB607"}),
        (inventory(master, node), {"SB604"}),
        (inventory(Host("m", "fd00::1", "master"), ipvs="true"), {"SB604"}),
        (inventory(Host("m", "fd00::1", "master")), set()),
    ):
        cluster = Cluster(made, {h.name: Arch.AMD64 for h in made.hosts})
        ctx = cluster.context()
        assert {d.code for d in cluster.driver.checks(ctx)} == expected
        assert bool(cluster.driver.waves(ctx)) is (not expected)


def test_a_limit_leaves_the_others_out_and_still_knows_them() -> None:
    made = inventory(Host("m", "10.0.0.1", "master"), Host("n", "10.0.0.2", "node"))
    cluster = Cluster(made, {"m": Arch.AMD64, "n": Arch.ARM64})
    waves = cluster.driver.waves(cluster.context(["n"]))
    assert {step.host for wave in waves for step in wave.steps} == {"n"}
    assert any(step.title == "sealos.hub is 10.0.0.1" for wave in waves for step in wave.steps)


def test_a_reset_of_sealctl_alone_removes_it_from_where_it_was_put() -> None:
    elsewhere = Host("m", "10.0.0.1", "master", paths={"binary": "/opt/bin"})
    made = inventory(elsewhere, Host("n", "10.0.0.2", "node"), state="absent")
    cluster = Cluster(made, {"m": Arch.AMD64, "n": Arch.ARM64})
    steps = {s.id: s for w in cluster.driver.waves(cluster.context()) for s in w.steps}
    removed = {name: s.path for name, s in steps.items() if isinstance(s, Remove)}
    data = "/var/lib/sealos/data/lab"
    assert removed == {"reset/m/sealctl": "/opt/bin/sealctl", "reset/m/data": data, "reset/n/data": data}


def test_paths_binary_is_for_sealctl_alone() -> None:
    """A root filesystem brings its own, and that is the one that is asked."""
    host = Host("m", "10.0.0.1", "master", paths={"binary": "/opt/bin"})
    made = replace(inventory(host), artifacts={"rootfs": ("rootfs/*",)})
    described = Described(
        Cluster(made, {"m": Arch.AMD64}).context(), SealosOptions(), "10.0.0.1", ("10.0.0.1",)
    )
    assert described.sealctl(host) == "/var/lib/sealos/data/lab/rootfs/opt/sealctl"


def test_the_options_of_another_driver_are_a_bug() -> None:
    with pytest.raises(TypeError):
        SealosDriver().wants(Host("a", "a", "node"), PhasesOptions.model_construct())


@pytest.mark.parametrize(
    ("paths", "folder"),
    [
        ({}, "/var/lib/sealos/data"),
        ({"data": "/data/s/"}, "/data/s/rootfs/opt"),
        ({"binary": "/opt/bin"}, "/opt/bin"),
    ],
)
def test_what_is_probed(paths: dict[str, str], folder: str) -> None:
    wants = SealosDriver().wants(Host("a", "a", "node", paths=paths), SealosOptions())
    assert wants.directories == (folder, "/etc")
