"""The lab is what it claims: each machine names its processor, runs its own programs and refuses the others'."""

from __future__ import annotations

from pathlib import Path

import pytest
from labkit import binfmt, kernels, machines
from labkit.lab import Lab
from labkit.launcher import TARGETS, launcher

#: What each kind's kernel runs among our programs; everything else must be ENOEXEC.
RUNS = {
    kind: {about.debian, *about.emulates, *binfmt.COMPATIBLE.get(about.debian, ())}
    for kind, about in machines.KINDS.items()
}


def _start_everything(lab: Lab) -> None:
    lab.need(*machines.FAST)


@pytest.mark.vm
@pytest.mark.parametrize("kind", machines.FAST)
def test_the_machine_names_its_processor(lab: Lab, kind: str) -> None:
    _start_everything(lab)
    (node,) = lab.need(kind)
    done = lab.ssh(node, "uname -m")
    assert done.stdout.decode().strip() == machines.KINDS[kind].uname


@pytest.mark.vm
@pytest.mark.parametrize("kind", machines.FAST)
def test_its_own_programs_run_and_the_others_get_a_true_enoexec(lab: Lab, kind: str) -> None:
    (node,) = lab.need(kind)
    # Without an argument the launcher asks for NULL: EFAULT, so it did run.
    answers = kernels.ask(lab, node, {arch: launcher(arch) for arch in TARGETS})
    ran = {arch for arch, answer in answers.items() if answer.text == "EFAULT"}
    refused = {arch for arch, answer in answers.items() if answer.text == "ENOEXEC"}
    assert ran == RUNS[kind]
    assert refused == set(TARGETS) - RUNS[kind]


def test_the_machine_below_is_untouched(lab: Lab, tmp_path: Path) -> None:
    lab.need("arm64")
    here = {entry.name for entry in Path("/proc/sys/fs/binfmt_misc").iterdir()}
    assert not {name for name in here if name.startswith("lab-")}
