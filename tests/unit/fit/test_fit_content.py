"""What is no program is refused by its name, with what to do about it; so are programs of other systems and ABIs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from elf_corpus import samples
from fit_kit import artifact_of, elf_of, facts_of, with_elf

from sealboot.artifacts import inspect
from sealboot.fit import judge
from sealboot.model.arch import Arch
from sealboot.model.artifact import Artifact, Kind, Other, Pe
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.facts import Cpu, Facts
from sealboot.model.formats import Format
from sealboot.model.verdict import Outcome

HERE = Path(__file__).parent
SYSTEMS = HERE / "system_cases"
BY_NAME = {sample.name: sample.bytes for sample in samples()}


def refusal(artifact: Artifact, facts: Facts) -> Diagnostic:
    verdict = judge(artifact, facts)
    assert not verdict.usable
    return verdict.diagnostics[0]


@pytest.mark.parametrize("named", list(Format))
def test_every_format_has_its_hint(named: Format) -> None:
    found = refusal(
        Artifact("k3s", Kind.UNKNOWN, layers=(Other(named, {"arch": "arm64"}),)), facts_of(Arch.ARM64)
    )
    assert found.code == "SB112"
    assert dict(found.evidence)["file"].startswith(named.value)
    assert found.hints


def test_a_page_in_the_place_of_a_program(tmp_path: Path) -> None:
    found = refusal(
        artifact_of(tmp_path, "kubectl", b"<!DOCTYPE html>\n<title>Sign in"), facts_of(Arch.AMD64)
    )
    assert dict(found.evidence)["file"] == "an HTML page"
    assert "curl -fL" in found.hints[0]


def test_a_program_of_macos_names_its_processor_and_the_right_build() -> None:
    found = refusal(
        Artifact("kubectl", Kind.UNKNOWN, layers=(Other(Format.MACHO, {"arch": "arm64"}),)),
        facts_of(Arch.ARM64),
    )
    assert dict(found.evidence)["file"] == "a macOS program for arm64"
    assert found.hints == ("take the Linux build for arm64 (aarch64) of it",)


@pytest.mark.parametrize(("subsystem", "word"), [(2, "Windows"), (3, "Windows"), (10, "PE image")])
def test_programs_of_windows_do_not_boot(subsystem: int, word: str) -> None:
    pe = Pe(machine=0xAA64, arch=Arch.ARM64, bits=64, subsystem=subsystem)
    found = refusal(Artifact("esbuild", Kind.PE, layers=(pe,)), facts_of(Arch.ARM64))
    assert word in dict(found.evidence)["file"]
    assert ("it boots" in found.hints[0]) is (subsystem == 10)


@pytest.mark.parametrize(
    ("name", "arch", "system", "outcome"),
    [
        ("freebsd-amd64", Arch.AMD64, "FreeBSD", None),
        ("netbsd-amd64", Arch.AMD64, "NetBSD", None),
        ("openbsd-amd64", Arch.AMD64, "OpenBSD", Outcome.CANNOT),
        ("illumos-amd64", Arch.AMD64, "Solaris or illumos", Outcome.CANNOT),
        ("android-arm64", Arch.ARM64, "Android", Outcome.CANNOT),
    ],
)
def test_programs_of_other_systems(name: str, arch: Arch, system: str, outcome: Outcome | None) -> None:
    artifact = inspect(SYSTEMS / name, name)
    assert elf_of(artifact).system == system
    verdict = judge(artifact, facts_of(arch))
    assert not verdict.usable
    assert verdict.diagnostics[0].code == "SB115"
    assert system in verdict.diagnostics[0].summary
    assert outcome is None or verdict.outcome is outcome
    # Where another kernel could not start it either, it is still the system that is named.
    assert refusal(artifact, facts_of(Arch.RISCV64)).code == "SB115"


def test_a_loader_that_is_there_is_a_layer_for_that_system() -> None:
    artifact = inspect(SYSTEMS / "android-arm64", "x")
    facts = facts_of(Arch.ARM64)
    loader = elf_of(artifact).interpreter or ""
    termux = replace(facts, libc=replace(facts.libc, loaders=frozenset({loader})))
    assert "SB115" not in [d.code for d in judge(artifact, termux).diagnostics]


def test_linux_programs_are_of_no_other_system() -> None:
    for name, data in BY_NAME.items():
        if name.startswith(("static-", "dynamic-")):
            artifact = artifact_of(Path("/tmp"), f"fit-{name}", data)
            Path(f"/tmp/fit-{name}").unlink()
            assert elf_of(artifact).system == ""


# -- the second ABI of one machine number ---------------------------------------------------------------


def test_n32_takes_a_64_bit_kernel() -> None:
    artifact = inspect(SYSTEMS / "n32-on-mips32", "x")
    arch = elf_of(artifact).arch
    assert arch in {Arch.MIPS, Arch.MIPSLE}
    assert refusal(artifact, facts_of(arch)).code == "SB116"
    wide = Arch.MIPS64 if arch is Arch.MIPS else Arch.MIPS64LE
    facts = replace(facts_of(wide), native=frozenset({wide, arch}))
    assert judge(artifact, facts).usable


@pytest.mark.parametrize(
    ("flags", "release", "expected"),
    [
        (0x43, "4.19.0-19-loongson-3", "SB116"),
        (0x43, "6.1.0", None),
        (0x03, "4.19.0-19-loongson-3", None),
        (0x03, "6.1.0", "SB116"),
        (0x43, "", None),
    ],
)
def test_the_two_worlds_of_loongarch(flags: int, release: str, expected: str | None) -> None:
    artifact = with_elf(inspect(SYSTEMS / "new-world", "x"), flags=flags)
    verdict = judge(artifact, replace(facts_of(Arch.LOONG64), kernel_release=release))
    assert verdict.reason == expected


# -- doubts ---------------------------------------------------------------------------------------------


def doubts(artifact: Artifact, facts: Facts) -> list[str]:
    verdict = judge(artifact, facts)
    assert verdict.usable
    assert all(d.severity is Severity.WARNING for d in verdict.diagnostics)
    return [d.code for d in verdict.diagnostics]


def test_attributes_that_the_code_does_not_bear_out_are_a_doubt() -> None:
    artifact = inspect(SYSTEMS / "armv6-agent", "x")
    facts = facts_of(Arch.ARM)
    assert doubts(artifact, replace(facts, cpu=Cpu(arm_level=6))) == ["SB110"]
    assert doubts(artifact, replace(facts, cpu=Cpu(arm_level=7))) == []


def test_a_program_that_tells_no_level_is_a_doubt_below_armv7(tmp_path: Path) -> None:
    artifact = artifact_of(tmp_path, "x", BY_NAME["static-arm"])
    assert doubts(artifact, replace(facts_of(Arch.ARM), cpu=Cpu(arm_level=6))) == ["SB110"]
    assert doubts(artifact, replace(facts_of(Arch.ARM), cpu=Cpu(arm_level=7))) == []
    assert doubts(with_elf(artifact, arm_level=6), replace(facts_of(Arch.ARM), cpu=Cpu(arm_level=6))) == []


@pytest.mark.parametrize(("page", "expected"), [(4096, []), (16384, ["SB105"]), (65536, ["SB105"])])
def test_an_allocator_built_for_small_pages_is_a_doubt(
    page: int, expected: list[str], tmp_path: Path
) -> None:
    artifact = with_elf(artifact_of(tmp_path, "x", BY_NAME["static-arm64"]), allocator="jemalloc")
    assert doubts(artifact, replace(facts_of(Arch.ARM64), page_size=page)) == expected
