"""Faults 23 to 25: a host whose clock, userland or name of itself is not what it seems."""

from __future__ import annotations

from pathlib import Path

import pytest
from faultkit import Cluster, fault
from labkit.debs import extract
from requires import requires


def clock(seconds: int) -> str:
    """Shell that makes the node's `date` differ."""
    return (
        "cp /bin/date /run/date\n"
        f'printf \'#!/bin/sh\\nexec /run/date -d "@$(( $(/run/date +%%s) + {seconds} ))" "$@"\\n\' >/run/late\n'
        "chmod 755 /run/late\nmount --bind /run/late /bin/date\n"
    )


@fault("23 clock skew above 30 s", codes="SB304", exits=1, state="nothing written")
def test_fault_23_clock(cluster: Cluster) -> None:
    nodes = [cluster.node("n1"), cluster.node("n2"), cluster.node("n3", setup=clock(-3600))]
    before = nodes[0].files()
    ran = cluster.told("check")
    found = ran.tells("SB304", "n3", "s behind", "against the median of all hosts", hint="chrony")
    assert found["severity"] == "error"
    assert (ran.code, ran.errors) == (1, ["SB304"])
    assert (ran.outcome("n1"), ran.outcome("n3")) == ("ok", "failed")
    assert cluster.run("apply", "--yes").code == 1
    assert nodes[0].files() == before


@fault("23 clock skew above 5 s", codes="SB304", exits=0, state="a warning stops nothing")
def test_fault_23_clock_warning(cluster: Cluster) -> None:
    cluster.node("n1")
    cluster.node("n2", setup=clock(15))
    ran = cluster.told("check")
    assert ran.tells("SB304", "n2", "s ahead")["severity"] == "warning"
    assert ran.code == 0


@pytest.fixture
def small_shell() -> Path:
    """A 32-bit userland in one file."""
    return extract("busybox-static", "i386") / "bin/busybox"


@fault(
    "24 64-bit kernel, 32-bit userland",
    codes="SB309",
    exits=0,
    state="both are shown; a static 64-bit file is proven by its smoke test on the host and installed",
)
def test_fault_24_userland(cluster: Cluster, small_shell: Path) -> None:
    node = cluster.node(setup=f"cp '{small_shell}' /run/sh\nmount --bind /run/sh /bin/dash\n")
    before = node.files()
    ran = cluster.told("check")
    ran.tells("SB309", "n1", "amd64 (x86-64)", "386")
    assert ran.code == 0
    row = ran.document["hosts"][0]
    assert (row["arch"], row["userland"]) == ("amd64", "386")
    assert node.files() == before
    assert cluster.run("apply", "--yes").code == 0
    assert node.live() == (cluster.folder / "binaries/tool").read_bytes()


@fault(
    "25 linux32 personality",
    codes="SB309",
    exits=0,
    state="the kernel and the shell's own header decide, `uname -m` is reported; the 64-bit file runs",
)
def test_fault_25_personality(cluster: Cluster) -> None:
    requires("setarch")
    node = cluster.node(config='ForceCommand setarch linux32 /bin/sh -c "$SSH_ORIGINAL_COMMAND"')
    ran = cluster.told("check")
    ran.tells("SB309", "n1", "i686", "uname")
    row = ran.document["hosts"][0]
    assert (ran.code, row["arch"], row["userland"]) == (0, "amd64", "amd64")
    assert cluster.run("apply", "--yes").code == 0
    assert node.live() == (cluster.folder / "binaries/tool").read_bytes()
