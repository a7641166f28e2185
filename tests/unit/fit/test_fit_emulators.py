"""The second oracle: QEMU's loaders stand in for the kernels of machines that are not here."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from elf_corpus import samples
from fit_kit import artifact_of, facts_of
from requires import program_path

from sealboot.fit import judge
from sealboot.model.arch import Arch
from sealboot.model.facts import Libc
from sealboot.model.verdict import Outcome

EMULATORS = {
    Arch.ARM64: "qemu-aarch64-static",
    Arch.ARM: "qemu-arm-static",
    Arch.RISCV64: "qemu-riscv64-static",
    Arch.S390X: "qemu-s390x-static",
}


@pytest.mark.parametrize("arch", EMULATORS, ids=str)
def test_prediction_and_emulator_agree(arch: Arch, tmp_path: Path) -> None:
    emulator = program_path(EMULATORS[arch])
    # A machine of one architecture with a userland that has no loader of these names.
    facts = replace(
        facts_of(arch),
        native=frozenset({arch}),
        beneath=Arch.AMD64,
        libc=Libc("glibc", (2, 36), frozenset({"/lib/ld-elsewhere.so.1"})),
    )
    disagreements = []
    for sample in samples():
        artifact = artifact_of(tmp_path, sample.name, sample.bytes)
        command = [emulator, str(tmp_path / sample.name)]
        done = subprocess.run(command, capture_output=True, timeout=30, check=False)
        ran = done.returncode == 0 and done.stdout == sample.says
        verdict = judge(artifact, facts)
        if (verdict.outcome is Outcome.RUNS) is not ran:
            disagreements.append((sample.name, verdict.reason, done.returncode, done.stderr[-100:]))
    assert disagreements == []
