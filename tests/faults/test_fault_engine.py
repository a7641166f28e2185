"""Faults 18 to 21: reboots, signals, a killed controller, two at once."""

from __future__ import annotations

import contextlib
import os
import signal
import uuid
from pathlib import Path
from typing import Any

import pytest
from faultkit import OLD, Cluster, Live, Node, Ran, fault, install, tool, until

MIB = 1 << 20
BOOT_ID = (
    "cat /proc/sys/kernel/random/uuid >/run/boot_id\n"
    "mount --bind /run/boot_id /proc/sys/kernel/random/boot_id\n"
)


def waiting(**more: Any) -> list[dict[str, Any]]:
    """Phases whose last step waits on the node until /opt/go exists, and counts its starts."""
    script = "echo x >>/opt/starts; while [ ! -e /opt/go ]; do sleep 0.05; done; : >/opt/done"
    return install({"name": "bootstrap", "run": {"script": script}, **more})


def reboot(node: Node) -> None:
    """What a controller sees of a reboot: every session ends, every process too, and the boot id is new."""
    node.inside("/run/boot_id").write_text(f"{uuid.uuid4()}\n")
    # Everything but its server, which stands for init; the network goes first.
    for pid in (*node.sessions(), *node.server.session_pids()):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def started(run: Live, node: Node) -> None:
    """Wait until the bootstrap step runs on the node."""
    run.event("StepStarted", host=node.name, step=f"install/{node.name}/bootstrap")
    until((node.opt / "starts").exists, what="the script")


@fault(
    "18 reboot mid-phase, step not repeatable",
    codes="SB506 SB512",
    exits=(4, 0),
    state="stops there, the step is unknown and not begun a second time; rerun goes on after it",
)
def test_fault_18_reboot(cluster: Cluster) -> None:
    cluster.phases = waiting()
    node = cluster.node(setup=BOOT_ID)
    cluster.write()
    run = cluster.start("apply", "--yes")
    started(run, node)
    reboot(node)
    ran = cluster.ended(run)
    ran.tells(
        "SB506", "n1", "its end is unknown", "it was rebooted while the step ran", hint="look at the host"
    )
    assert (ran.code, ran.outcome("n1")) == (4, "unknown")
    assert (node.opt / "starts").read_text() == "x\n"
    assert node.journal()[-1] == node.journal()[-1] | {"step": "install/n1/bootstrap", "mark": "started"}
    (node.opt / "go").touch()
    again = cluster.run("apply", "--yes")
    again.tells("SB512", "n1", "stopped at step install/n1/bootstrap (started)")
    assert again.code == 0


@fault(
    "18 reboot mid-phase, step repeatable",
    codes="",
    exits=0,
    state="done again on the new boot; run finishes",
)
def test_fault_18_reboot_repeatable(cluster: Cluster) -> None:
    cluster.phases = waiting(creates="/opt/done")
    node = cluster.node(setup=BOOT_ID)
    cluster.write()
    run = cluster.start("apply", "--yes")
    started(run, node)
    reboot(node)
    until(lambda: (node.opt / "starts").read_text() == "x\nx\n", what="the second start")
    (node.opt / "go").touch()
    ran = cluster.ended(run)
    assert (ran.code, ran.outcome("n1"), ran.errors) == (0, "changed", [])
    assert node.journal()[-1]["mark"] == "finished"


@fault(
    "19 SIGINT or SIGTERM once",
    codes="SB510",
    exits=(130, 143),
    state="the running step ends, no new one begins, summary printed; rerun finishes",
)
def test_fault_19_one_signal(cluster: Cluster) -> None:
    cluster.phases = [*waiting(), {"name": "after", "steps": [{"name": "last", "run": ": >/opt/last"}]}]
    node = cluster.node()
    cluster.write()
    for number in (signal.SIGINT, signal.SIGTERM):
        node.sh("rm -rf /opt/* && mkdir /opt/bin")
        run = cluster.start("apply", "--yes")
        started(run, node)
        run.send(number)
        (node.opt / "go").touch()
        ran = cluster.ended(run)
        assert (ran.code, ran.document["interrupted"]) == (128 + number, number.name)
        assert ran.outcome("n1") == "changed"
        ran.tells(
            "SB510", "n1", "stopped part-way", "3 steps changed it, 1 left", hint="run the same command again"
        )
        assert not (node.opt / "last").exists()
        assert node.journal()[-1] == node.journal()[-1] | {"step": "install/n1/bootstrap", "mark": "done"}
    again = cluster.run("apply", "--yes")
    assert again.code == 0
    assert (node.opt / "last").exists()


@fault(
    "19 a second signal",
    codes="SB506",
    exits=130,
    state="ends at once, the running step is unknown, summary printed, nothing runs on; lock free",
)
def test_fault_19_two_signals(cluster: Cluster) -> None:
    cluster.phases = waiting(creates="/opt/done")
    node = cluster.node()
    cluster.write()
    run = cluster.start("apply", "--yes", kind="plain")
    until((node.opt / "starts").exists, what="the script")
    run.send(signal.SIGINT)
    run.send(signal.SIGINT)
    text = run.text()
    assert run.process.returncode == 130
    assert "error[SB506]: n1: " in text
    assert "interrupted while it ran, so its end is unknown" in text
    assert "Stopped by SIGINT." in text
    assert "1 unknown." in text
    until(lambda: "/opt/starts" not in commands(node), what="the end of the script on the host")
    run = cluster.start("apply", "--yes")
    until(lambda: (node.opt / "starts").read_text() == "x\nx\n", what="the second start")
    run.send(signal.SIGINT)
    run.send(signal.SIGINT)
    ran = cluster.ended(run)
    ran.tells("SB506", "n1", "interrupted while it ran", hint="run the same command again")
    (node.opt / "go").touch()
    assert cluster.run("apply", "--yes").code == 0


def commands(node: Node) -> str:
    """The command lines of everything on the node."""
    found = b""
    for pid in node.server.session_pids():
        with contextlib.suppress(OSError):
            found += Path(f"/proc/{pid}/cmdline").read_bytes()
    return found.decode(errors="replace")


@fault("19 a signal before anything began", codes="", exits=(130, 143), state="nothing written")
def test_fault_19_while_looking(cluster: Cluster) -> None:
    cluster.connect_timeout = 60
    node = cluster.node()
    cluster.behind(node, hold_down=60)
    before = node.files()
    cluster.write()
    for number in (signal.SIGINT, signal.SIGTERM):
        run = cluster.start("apply", "--yes")
        run.event("StageStarted", host="n1", stage="connect")
        run.send(number)
        text = run.text()
        assert "Interrupted. Nothing was changed." in text
        cluster.runs.append(Ran(run.process.returncode, {}))
    assert node.files() == before


@pytest.mark.parametrize("instant", ["probing", "uploading", "between", "running", "detached"])
@fault(
    "20 SIGKILL of the controller",
    codes="",
    exits=0,
    state="old or new file whole; lock free at once; next run tells where the previous one stopped, and finishes; "
    "a detached step is adopted",
)
def test_fault_20_killed(cluster: Cluster, instant: str) -> None:
    cluster.ship(tool(size=4 * MIB))
    cluster.phases = waiting(creates="/opt/done")
    if instant == "detached":
        cluster.phases[0]["steps"][-1]["run"]["detached"] = True
    node = cluster.node()
    (node.opt / "bin/tool").write_bytes(OLD)
    proxy = cluster.behind(node, hold_up=MIB if instant == "uploading" else None)
    cluster.write()
    run = cluster.start("apply", "--yes")
    if instant == "probing":
        run.event("StageStarted", host="n1", stage="probe")
    elif instant == "uploading":
        until(lambda: proxy.held, what="an upload")
    elif instant == "between":
        run.event("StepFinished", host="n1", step="install/n1/ship")
    else:
        started(run, node)
    run.send(signal.SIGKILL)
    assert run.process.wait(10) == -signal.SIGKILL
    proxy.release()
    new = (cluster.folder / "binaries/tool").read_bytes()
    assert node.live() == (OLD if instant in {"probing", "uploading"} else new)
    (node.opt / "go").touch()
    ran = cluster.run("apply", "--yes")
    assert (ran.code, ran.errors) == (0, [])
    # A detached step may have come to its end before the next run looked.
    assert ran.outcome("n1") in ({"ok", "changed"} if instant == "detached" else {"changed"})
    stopped = {
        "uploading": "ship (started)",
        "running": "bootstrap (started)",
        "detached": "bootstrap (started)",
    }
    if instant in stopped:
        ran.tells("SB512", "n1", "previous run", f"stopped at step install/n1/{stopped[instant]}")
    if instant == "detached":
        assert (node.opt / "starts").read_text() == "x\n"
    assert node.live() == new
    assert node.leftovers() == []
    again = cluster.run("apply", "--yes")
    assert (again.code, again.document["summary"]["changed"], again.errors) == (0, 0, [])


@fault("21 two applies", codes="SB505", exits=5, state="the second changes nothing; the first finishes")
def test_fault_21_two_applies(cluster: Cluster) -> None:
    cluster.phases = waiting(creates="/opt/done")
    node = cluster.node()
    cluster.write()
    run = cluster.start("apply", "--yes", env={"LOGNAME": "alice"})
    started(run, node)
    before = node.files()
    ran = cluster.told("apply", "--yes", env={"LOGNAME": "bob"})
    ran.tells(
        "SB505",
        "n1",
        "locked by another run",
        f"alice@{os.uname().nodename}, pid {run.process.pid}",
        "command apply",
        "since 2",
        hint="--lock-timeout",
    )
    assert (ran.code, ran.outcome("n1"), ran.errors) == (5, "skipped", ["SB505"])
    assert node.files() == before
    waits = cluster.start("apply", "--yes", "--lock-timeout", "30")
    waits.event("StageStarted", host="n1", stage="lock")
    (node.opt / "go").touch()
    assert cluster.ended(run).code == 0
    assert (node.opt / "starts").read_text() == "x\n"
    assert cluster.ended(waits).code == 0
