"""Faults 14 to 17: what can happen to a file on its way."""

from __future__ import annotations

import contextlib
import os
import signal

from faultkit import DEST, OLD, Cluster, Node, fault, tool, until

MIB = 1 << 20


def cut(node: Node) -> None:
    """Kill the server's processes that serve connections."""
    for pid in node.sessions():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@fault(
    "14 connection drops mid-transfer",
    codes="",
    exits=0,
    state="the same run connects again and finishes; no staged file is left",
)
def test_fault_14_drop_mid_transfer(cluster: Cluster) -> None:
    cluster.ship(tool(size=4 * MIB))
    node = cluster.node()
    (node.opt / "bin/tool").write_bytes(OLD)
    proxy = cluster.behind(node, hold_up=MIB)
    cluster.write()
    run = cluster.start("apply", "--yes")
    until(lambda: proxy.held, what="an upload")
    assert node.live() == OLD
    assert node.leftovers()
    proxy.release()
    cut(node)
    ran = cluster.ended(run)
    assert (ran.code, ran.outcome("n1"), ran.errors) == (0, "changed", [])
    assert node.live() == (cluster.folder / "binaries/tool").read_bytes()
    assert node.leftovers() == []
    again = cluster.run("apply", "--yes")
    assert (again.code, again.outcome("n1"), again.document["summary"]["changed"]) == (0, "ok", 0)


@fault(
    "14 connection drops again and again",
    codes="SB506",
    exits=(4, 0),
    state="old binary live; rerun finishes and removes what was staged",
)
def test_fault_14_drops_too_often(cluster: Cluster) -> None:
    cluster.ship(tool(size=4 * MIB))
    node = cluster.node()
    (node.opt / "bin/tool").write_bytes(OLD)
    proxy = cluster.behind(node, hold_up=MIB)
    cluster.write()
    run = cluster.start("apply", "--yes")
    for number in range(1, 4):
        until(lambda n=number: proxy.held == n, what=f"upload {number}")  # type: ignore[misc]
        cut(node)
    ran = cluster.ended(run)
    ran.tells("SB506", "n1", "connection was lost", "unknown", hint="run the same command again")
    assert (ran.code, ran.outcome("n1")) == (4, "unknown")
    assert node.live() == OLD
    proxy.release()
    again = cluster.run("apply", "--yes")
    assert (again.code, again.outcome("n1")) == (0, "changed")
    assert again.findings("SB512", "n1")
    assert node.live() == (cluster.folder / "binaries/tool").read_bytes()
    assert node.leftovers() == []


@fault(
    "15 hung node",
    codes="SB506",
    exits=130,
    state="others finish; its old binary is live; Ctrl-C answers within 5 s; rerun finishes",
)
def test_fault_15_hung_node(cluster: Cluster) -> None:
    cluster.ship(tool(size=4 * MIB))
    good, hung = cluster.node("n1"), cluster.node("n2")
    (hung.opt / "bin/tool").write_bytes(OLD)
    proxy = cluster.behind(hung, hold_up=MIB)
    cluster.write()
    run = cluster.start("apply", "--yes")
    until(lambda: proxy.held, what="an upload")
    stopped = [hung.server.pid, *hung.server.session_pids()]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        proxy.release()
        run.event("StepFinished", host="n1", step="install/n1/configure")
        run.send(signal.SIGINT)
        ran = cluster.ended(run)
        assert ran.seconds < 5
        assert (ran.code, ran.document["interrupted"]) == (130, "SIGINT")
        assert (ran.outcome("n1"), ran.outcome("n2")) == ("changed", "unknown")
        ran.tells("SB506", "n2", "interrupted while it ran", hint="run the same command again")
        assert good.live() == (cluster.folder / "binaries/tool").read_bytes()
        assert hung.live() == OLD
    finally:
        for pid in stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
    ran = cluster.run("apply", "--yes", "--lock-timeout", "30")
    assert (ran.code, ran.outcome("n2")) == (0, "changed")
    assert hung.leftovers() == []


@fault("16 very slow node", codes="", exits=0, state="slow is no failure: it continues to the end")
def test_fault_16_slow(cluster: Cluster) -> None:
    cluster.ship(tool(size=MIB))
    node = cluster.node()
    proxy = cluster.behind(node, rate=0.5 * MIB)
    ran = cluster.run_written("apply", "--yes", "--timeout", "5")
    assert (ran.code, ran.outcome("n1"), ran.document["summary"]["bytes_sent"]) == (0, "changed", MIB)
    assert ran.document["hosts"][0]["seconds"] > 1.5
    assert proxy.passed > MIB


FLIP = r"""#!/bin/sh
case $(readlink /proc/$$/fd/0) in
*.sealboot-*)
  if [ ! -e /run/once ] || [ ! -e /run/flipped ]; then
    : >/run/flipped
    printf X | dd of=/proc/$$/fd/0 bs=1 seek=200 conv=notrunc 2>/dev/null
  fi;;
esac
exec /run/sha256sum "$@"
"""


def flipping(*, once: bool) -> str:
    """Shell that damages every staged file on the node's disk right before it is hashed there."""
    return (
        f"cp /usr/bin/sha256sum /run/sha256sum\ncat >/run/flip <<'EOF'\n{FLIP}EOF\nchmod 755 /run/flip\n"
        + (": >/run/once\n" if once else "")
        + "mount --bind /run/flip /usr/bin/sha256sum\n"
    )


@fault(
    "17 corrupted on the node",
    codes="SB502",
    exits=9,
    state="sent twice; old binary live, staged file removed, journal says failed",
)
def test_fault_17_corrupted(cluster: Cluster) -> None:
    cluster.ship(tool(size=5000))
    node = cluster.node(setup=flipping(once=False))
    node.inside(DEST).write_bytes(OLD)
    ran = cluster.told("apply", "--yes")
    ran.tells("SB502", "n1", "what arrived is not what was sent, 2 times", "sha256 ", hint="failing memory")
    assert (ran.code, ran.outcome("n1"), ran.document["summary"]["bytes_sent"]) == (9, "failed", 10000)
    assert node.live() == OLD
    assert node.leftovers() == []
    assert node.journal()[-1]["mark"] == "failed"


@fault("17 corrupted once", codes="", exits=0, state="sent once more, and live")
def test_fault_17_corrupted_once(cluster: Cluster) -> None:
    cluster.ship(tool(size=5000))
    node = cluster.node(setup=flipping(once=True))
    ran = cluster.run_written("apply", "--yes")
    assert (ran.code, ran.outcome("n1"), ran.document["summary"]["bytes_sent"]) == (0, "changed", 10000)
    assert node.live() == (cluster.folder / "binaries/tool").read_bytes()
    assert node.leftovers() == []
