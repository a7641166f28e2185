"""Faults 10 to 13 and 22: places that cannot be written to, on hosts and here."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from faultkit import DEST, OLD, Cluster, Node, fault, install, tool, until
from requires import requires

MIB = 1 << 20


@fault("10 target and staging noexec", codes="SB302", exits=1, state="nothing written")
def test_fault_10_noexec(cluster: Cluster) -> None:
    node = cluster.node(setup="mount -t tmpfs -o noexec tmpfs /opt/bin\n")
    before = node.files()
    ran = cluster.told("check")
    ran.tells("SB302", "n1", "/opt/bin", "noexec", '"mount": "/opt/bin tmpfs', hint="remount,exec")
    assert (ran.code, ran.errors) == (1, ["SB302"])
    assert cluster.told("apply", "--yes").code == 1
    assert node.files() == before


@fault(
    "10 noexec that appears after the check",
    codes="SB503",
    exits=3,
    state="old binary live, staged file removed, journal says failed",
)
def test_fault_10_noexec_at_the_smoke_test(cluster: Cluster) -> None:
    cluster.ship(tool(size=4 * MIB))
    node = cluster.node(setup="mount -t tmpfs -o exec tmpfs /opt/bin\n")
    node.inside(DEST).write_bytes(OLD)

    def harm() -> None:
        node.sh("mount -o remount,noexec /opt/bin")

    with at_upload(cluster, node, harm):
        ran = cluster.run("apply", "--yes")
    ran.tells("SB503", None, "/opt/bin is mounted noexec")
    assert (ran.code, ran.outcome("n1")) == (3, "failed")
    assert node.live() == OLD
    assert node.leftovers() == []
    assert node.journal()[-1]["mark"] == "failed"


@contextmanager
def at_upload(cluster: Cluster, node: Node, harm: object) -> Iterator[None]:
    """Do harm once 1 MiB of an upload has passed, and only then let the rest pass."""
    proxy = cluster.behind(node, hold_up=MIB)
    cluster.write()

    def wait() -> None:
        until(lambda: proxy.held, what="an upload")
        assert callable(harm)
        harm()
        proxy.release()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    yield
    thread.join(20)


@fault("11 target missing", codes="", exits=0, state="the directory is made, the tool is live")
def test_fault_11_missing_target_is_made(cluster: Cluster) -> None:
    node = cluster.node(setup="rmdir /opt/bin\n")
    ran = cluster.told("apply", "--yes")
    assert ran.code == 0
    assert node.live() == (cluster.folder / "binaries/tool").read_bytes()


@pytest.mark.parametrize(
    ("setup", "words", "hint"),
    [
        ("rmdir /opt/bin\n: >/opt/bin\n", ("cannot be made", "/opt/bin is a file"), "move /opt/bin away"),
        ("mount -t tmpfs -o ro tmpfs /opt/bin\n", ("read-only file system",), "remount,rw"),
        ("chattr +i /opt/bin\n", ("marked immutable",), "`chattr -i /opt/bin`"),
    ],
    ids=["a file in its place", "read-only", "immutable"],
)
@fault(
    "11 target a file, read-only or immutable",
    codes="SB302",
    exits=1,
    state="nothing written",
)
def test_fault_11_unusable_target(cluster: Cluster, setup: str, words: tuple[str, ...], hint: str) -> None:
    requires("chattr")
    node = cluster.node(setup=setup)
    try:
        before = node.files()
        ran = cluster.told("check")
        ran.tells("SB302", "n1", "/opt/bin", *words, hint=hint)
        assert (ran.code, ran.errors) == (1, ["SB302"])
        assert cluster.told("apply", "--yes").code == 1
        assert node.files() == before
    finally:
        node.sh("chattr -i /opt/bin 2>/dev/null || :")


@fault("12 disk full before", codes="SB301", exits=1, state="nothing written")
def test_fault_12_disk_full_before(cluster: Cluster) -> None:
    cluster.ship(tool(size=5 * MIB))
    node = cluster.node(setup="mount -t tmpfs -o size=4m tmpfs /opt/bin\n")
    before = node.files()
    ran = cluster.told("check")
    ran.tells(
        "SB301",
        "n1",
        "/opt/bin",
        "6.0 MiB (5.0 MiB and a fifth more)",
        "4.0 MiB on /opt/bin",
        hint="make room",
    )
    assert (ran.code, ran.errors) == (1, ["SB301"])
    assert cluster.told("apply", "--yes").code == 1
    assert node.files() == before


@fault(
    "13 disk full during",
    codes="SB301",
    exits=3,
    state="old binary live, staged file removed, journal says failed; rerun finishes",
)
def test_fault_13_disk_full_during(cluster: Cluster) -> None:
    cluster.ship(tool(size=6 * MIB))
    node = cluster.node(setup="mount -t tmpfs -o size=12m tmpfs /opt/bin\n")
    node.inside(DEST).write_bytes(OLD)

    def harm() -> None:
        node.sh("dd if=/dev/zero of=/opt/bin/filler bs=64k 2>/dev/null || :")

    with at_upload(cluster, node, harm):
        ran = cluster.run("apply", "--yes")
    ran.tells(
        "SB301", None, "no space for /opt/bin/tool", f"need {6 * MIB:,} bytes", "free", hint="make room"
    )
    assert (ran.code, ran.outcome("n1")) == (3, "failed")
    assert node.live() == OLD
    assert node.leftovers() == []
    assert node.journal()[-1] == node.journal()[-1] | {"mark": "failed"}
    node.sh("rm /opt/bin/filler")
    ran = cluster.run("apply", "--yes")
    assert (ran.code, ran.outcome("n1")) == (0, "changed")
    assert node.live() == (cluster.folder / "binaries/tool").read_bytes()


def full(folder: Path) -> str:
    """Shell that leaves no byte in a folder of this machine."""
    return (
        f"mount -t tmpfs -o size=4k tmpfs '{folder}'\n"
        f"dd if=/dev/zero of='{folder}/filler' bs=4k count=1 2>/dev/null\n"
    )


@pytest.mark.parametrize("kind", ["full", "read-only"])
@fault(
    "22 known_hosts cannot be written with --accept-new",
    codes="SB209",
    exits=2,
    state="refused before the login: nothing written anywhere",
)
def test_fault_22_known_hosts(cluster: Cluster, kind: str) -> None:
    node = cluster.node(trusted=False)
    place = cluster.folder / "trust"
    place.mkdir()
    within = full(place) if kind == "full" else f"mount -t tmpfs -o ro tmpfs '{place}'\n"
    trust = str(place / "known_hosts")
    before = node.files()
    ran = cluster.told("apply", "--yes", "--accept-new", "--known-hosts", trust, within=within)
    why = "No space left on device" if kind == "full" else "Read-only file system"
    found = ran.tells("SB209", "n1", "could not be written", why, hint="writable")
    assert found["at"]["file"] == trust
    assert (ran.code, ran.errors) == (2, ["SB209"])
    assert node.log().count("Accepted publickey") == 0
    assert node.files() == before


@fault(
    "22 plan -o on a full disk",
    codes="SB611",
    exits=2,
    state="no plan file, no part of one; no host written to",
)
def test_fault_22_plan_file(cluster: Cluster) -> None:
    cluster.phases = install({"name": "many", "run": {"script": ": " + "x" * 9000}})
    node = cluster.node()
    place = cluster.folder / "plans"
    place.mkdir()
    target = place / "plan.json"
    before = node.files()
    listing = f"trap \"ls -A '{place}' >'{cluster.folder}/left'\" EXIT\n"
    ran = cluster.told("plan", "-o", str(target), within=full(place) + listing)
    ran.tells("SB611", None, str(target), "No space left on device", hint="choose another place")
    assert (ran.code, ran.errors) == (2, ["SB611"])
    assert (cluster.folder / "left").read_text() == "filler\n"
    assert node.files() == before
