"""The slow tier (`make lab-full`): true kernels of six architectures, and machines beside nodes on one bridge."""

from __future__ import annotations

from pathlib import Path

import pytest
from labkit import binfmt, kernels, machines, oracle
from labkit.lab import Lab
from labkit.launcher import TARGETS, launcher

pytestmark = [pytest.mark.slow, pytest.mark.vm, pytest.mark.timeout(600)]

VMS = [name for name, kind in machines.KINDS.items() if kind.vm]
SLOW_NODES = [name for name, kind in machines.KINDS.items() if kind.slow and not kind.vm]


def _execve(lab: Lab, node: machines.Node) -> dict[str, str]:
    answers = kernels.ask(lab, node, {arch: launcher(arch) for arch in TARGETS})
    return {arch: answer.text for arch, answer in answers.items()}


@pytest.mark.parametrize("kind", [*VMS, *SLOW_NODES])
def test_a_true_kernel_names_itself_and_refuses_the_others(lab: Lab, kind: str) -> None:
    about = machines.KINDS[kind]
    with lab.fresh(kind) as (node,):
        assert lab.ssh(node, "uname -m").stdout.decode().strip() == about.uname
        own = about.kernel_debian
        runs = {own, *binfmt.COMPATIBLE.get(own, ())}
        # Without an argument the launcher asks for NULL: EFAULT, so it did run.
        expected = {arch: "EFAULT" if arch in runs else "ENOEXEC" for arch in TARGETS}
        assert _execve(lab, node) == expected


@pytest.mark.parametrize("kind", [*VMS, *SLOW_NODES])
def test_prediction_and_true_kernel_agree(lab: Lab, kind: str, tmp_path: Path) -> None:
    rows = oracle.observe(lab, [kind], tmp_path, oracle.corpus(oracle.handmade(), tmp_path))
    for node in lab.need(kind):
        lab.stop(node)
    assert [(row.sample, row.predicted, row.happened) for row in rows if not row.agree] == []


def test_machines_and_nodes_share_one_bridge(lab: Lab) -> None:
    everyone = lab.need("amd64-minimal", "arm64", "riscv64", "s390x", "arm64-vm", "amd64-vm", "riscv64-vm")
    for one in everyone:
        for other in everyone:
            done = lab.ssh(one, f"nc -w 20 {other.address} 22 </dev/null | head -c 4")
            assert done.stdout == b"SSH-", (one.name, other.name)


def test_a_machine_that_reboots_comes_back_with_another_boot_id(lab: Lab) -> None:
    with lab.fresh("arm64-vm") as (node,):
        before = lab.ssh(node, "cat /proc/sys/kernel/random/boot_id").stdout
        lab.ssh(node, "reboot")
        lab.until_booted_anew(node, before)
        assert lab.ssh(node, "cat /proc/sys/kernel/random/boot_id").stdout != before
