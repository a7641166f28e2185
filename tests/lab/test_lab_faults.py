"""Each fault of the lab does what it says, and is gone afterwards."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from labkit import faults
from labkit.lab import Lab
from labkit.machines import Node

KINDS = ["amd64", "arm64", "arm64-systemd"]


@contextlib.contextmanager
def connection(node: Node) -> Iterator[socket.socket]:
    """A connection whose server process is there: it has sent its banner."""
    with socket.create_connection((node.address, node.port), 5) as link:
        assert link.recv(4) == b"SSH-"
        yield link


@pytest.mark.parametrize("kind", KINDS)
def test_unplugged(lab: Lab, kind: str) -> None:
    (node,) = lab.need(kind)
    with faults.unplugged(lab, node), pytest.raises(OSError, match=r"timed out|unreachable"):
        socket.create_connection((node.address, node.port), 0.3)
    lab.bridge.wait_for_ssh(node.address, node.port, 10, lambda: True)


def test_slow(lab: Lab) -> None:
    (node,) = lab.need("amd64")
    begun = time.monotonic()
    with faults.slow(lab, node, "2mbit"):
        done = lab.ssh(node, "wc -c", stdin=bytes(300_000))
    assert done.stdout.strip() == b"300000"
    # 300 kB are 2.4 Mbit.
    assert time.monotonic() - begun > 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_cut_and_frozen_sessions(lab: Lab, kind: str) -> None:
    (node,) = lab.need(kind)
    with lab.held(node) as held:
        before = faults.sessions(node)
        assert before
        with faults.frozen(node):
            held.stdin.write(b"echo thawed\n")
            held.stdin.flush()
            assert "T" in {faults.state(pid) for pid in before} <= {"T", "Z"}
        assert held.stdout.readline() == b"thawed\n"
        assert faults.cut_sessions(node) >= 1
        assert held.wait(10) == 255
    assert lab.ssh(node, "true").returncode == 0


@pytest.mark.parametrize("kind", [*KINDS, pytest.param("arm64-vm", marks=pytest.mark.vm)])
def test_file_systems_that_refuse(lab: Lab, kind: str) -> None:
    (node,) = lab.need(kind)
    before = lab.listing(node)
    canary = "printf '#!/bin/sh\\nexit 0\\n' > {0}/canary; chmod 755 {0}/canary; {0}/canary; s=$?; rm -f {0}/canary; exit $s"
    with faults.noexec(lab, node, "/tmp"):
        assert lab.ssh(node, canary.format("/tmp")).returncode == 126
    assert lab.ssh(node, canary.format("/tmp")).returncode == 0
    with faults.mounted_over(lab, node, "/opt", "size=4m"):
        assert b"No space left" in lab.ssh(node, "cat > /opt/large", stdin=bytes(6 << 20)).stderr
    with faults.mounted_over(lab, node, "/opt", "ro"):
        assert b"Read-only" in lab.ssh(node, "touch /opt/file").stderr
    after = lab.listing(node)
    changed = lab.differences({kind: before}, {kind: after}).splitlines()
    assert [line for line in changed if line[:1] in "+-" and not _harmless(line)] == []


def _harmless(line: str) -> bool:
    """Only the time of /tmp itself, where the canary was, may have changed."""
    return line.startswith(("---", "+++", "-./tmp ", "+./tmp "))


@pytest.mark.parametrize("kind", ["amd64", "arm64-openssh", pytest.param("arm64-vm", marks=pytest.mark.vm)])
def test_clock(lab: Lab, kind: str) -> None:
    (node,) = lab.need(kind)

    def offset() -> float:
        return int(lab.ssh(node, "date +%s").stdout) - time.time()

    with faults.clock_ahead(lab, node, 3600):
        assert 3500 < offset() < 3700
    assert abs(offset()) < 100


def test_a_listing_shows_one_changed_byte(lab: Lab) -> None:
    (node,) = lab.need("amd64-minimal")
    lab.ssh(node, "echo a > /etc/canary")
    before = {node.name: lab.listing(node)}
    assert lab.differences(before, {node.name: lab.listing(node)}) == ""
    lab.ssh(node, "echo ab > /etc/canary")
    found = lab.differences(before, {node.name: lab.listing(node)})
    assert "-./etc/canary" in found
    assert "+./etc/canary" in found
    lab.ssh(node, "rm /etc/canary")


def test_machines_reach_each_other(lab: Lab) -> None:
    first, second = lab.need("amd64", "arm64")
    done = lab.ssh(first, f"bash -c 'exec 3<>/dev/tcp/{second.address}/22 && head -c 4 <&3'")
    assert done.stdout == b"SSH-"


def test_nothing_survives_a_killed_run(lab: Lab) -> None:
    tests = Path(__file__).resolve().parents[1]
    run = subprocess.Popen(
        [sys.executable, "-m", "labkit", "up", "amd64-minimal", "amd64-systemd"],
        cwd=tests,
        stdout=subprocess.PIPE,
    )
    assert run.stdout
    assert run.stdout.readline().startswith(b"up in")
    children = _descendants(run.pid)
    assert len(children) >= 4
    run.kill()
    run.wait()
    run.stdout.close()
    deadline = time.monotonic() + 10
    while (left := [pid for pid in children if faults.state(pid) != "Z"]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []


def _descendants(pid: int) -> set[int]:
    parents = {child: parent for child, parent, _ in faults._processes()}
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}
