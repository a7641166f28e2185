from __future__ import annotations

import platform
import subprocess
from pathlib import Path

import pytest
from fit_kit import artifact_of, elf_of
from requires import program_path

from sealboot.lab import tinyelf
from sealboot.model.arch import Arch

NATIVE = {Arch.AMD64, Arch.I386}
EMULATORS = {
    Arch.ARM64: "qemu-aarch64-static",
    Arch.ARM: "qemu-arm-static",
    Arch.RISCV64: "qemu-riscv64-static",
    Arch.PPC64LE: "qemu-ppc64le-static",
    Arch.S390X: "qemu-s390x-static",
}


def command(arch: Arch, program: Path) -> list[str]:
    if arch in NATIVE and platform.machine() == "x86_64":
        return [str(program)]
    return [program_path(EMULATORS[arch]), str(program)]


@pytest.mark.parametrize("arch", tinyelf.supported())
@pytest.mark.parametrize(("text", "code"), [("hello\n", 0), ("x" * tinyelf.MAX_TEXT, 3), ("", 255)])
def test_runs_and_says_its_text(arch: Arch, text: str, code: int, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(tinyelf.make(arch, text, code))
    program.chmod(0o755)
    done = subprocess.run(command(arch, program), capture_output=True, timeout=30, check=False)
    assert (done.returncode, done.stdout.decode()) == (code, text)


@pytest.mark.parametrize("arch", tinyelf.supported())
def test_is_small_and_what_it_should_be(arch: Arch, tmp_path: Path) -> None:
    data = tinyelf.make(arch, '{"goarch":"' + arch + '"}\n')
    assert len(data) < 300
    artifact = artifact_of(tmp_path, f"tool-{arch}", data)
    elf = elf_of(artifact)
    assert (elf.arch, elf.static, elf.executable, elf.defect, elf.end) == (arch, True, True, "", len(data))
    assert not artifact.diagnostics
    assert data == tinyelf.make(arch, '{"goarch":"' + arch + '"}\n')


@pytest.mark.parametrize("arch", tinyelf.supported())
def test_ballast_is_loaded_and_changes_nothing(arch: Arch, tmp_path: Path) -> None:
    data = tinyelf.make(arch, "hello\n", 5, ballast=bytes(range(256)) * 8192)
    artifact = artifact_of(tmp_path, f"tool-{arch}", data)
    elf = elf_of(artifact)
    assert (elf.arch, elf.defect, elf.end) == (arch, "", len(data))
    assert not artifact.diagnostics
    assert len(data) > 2 << 20
    program = tmp_path / "program"
    program.write_bytes(data)
    program.chmod(0o755)
    done = subprocess.run(command(arch, program), capture_output=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (5, b"hello\n")


def test_refuses_what_it_cannot_write() -> None:
    with pytest.raises(ValueError, match="no tiny program for loong64"):
        tinyelf.make(Arch.LOONG64, "x")
    with pytest.raises(ValueError, match="at most 2047"):
        tinyelf.make(Arch.AMD64, "x" * 2048)
    with pytest.raises(ValueError, match="code up to 255"):
        tinyelf.make(Arch.AMD64, "x", 256)
