"""Kernels and UKIs against machines: which boot, and why the others do not; and none of them is a program."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from boot_kit import MACHINES, arm64_image, bzimage, cpio, pe, riscv_image, s390_image, uki, zboot, zimage
from fit_kit import artifact_of, facts_of

from sealboot.fit import judge
from sealboot.fit.boot import judge_boot
from sealboot.fit.case import describe_kind
from sealboot.model.arch import Arch
from sealboot.model.artifact import Artifact, Kind
from sealboot.model.diagnostic import Severity
from sealboot.model.facts import Cpu, Facts
from sealboot.model.verdict import Outcome, Verdict

IMAGES = {
    "uki-arm64": (uki(), Arch.ARM64),
    "uki-amd64": (uki(0x8664, bzimage()), Arch.AMD64),
    "bzimage": (bzimage(), Arch.AMD64),
    "image": (arm64_image(), Arch.ARM64),
    "zboot": (zboot(arm64_image()), Arch.ARM64),
    "zimage": (zimage(), Arch.ARM),
    "riscv": (riscv_image(), Arch.RISCV64),
    "s390": (s390_image(), Arch.S390X),
}
HOSTS = (Arch.AMD64, Arch.ARM64, Arch.ARM, Arch.RISCV64, Arch.S390X, Arch.I386, Arch.PPC64LE)


def told(verdict: Verdict) -> list[tuple[str, Severity]]:
    return [(d.code, d.severity) for d in verdict.diagnostics]


@pytest.fixture
def made(tmp_path: Path) -> dict[str, Artifact]:
    return {name: artifact_of(tmp_path, name, data) for name, (data, _) in IMAGES.items()}


def test_every_image_boots_on_its_own_machine_alone(made: dict[str, Artifact]) -> None:
    for name, (_, arch) in IMAGES.items():
        for host in HOSTS:
            verdict = judge_boot(made[name], facts_of(host))
            if host is arch:
                assert (verdict.outcome, verdict.usable, verdict.reason, told(verdict)) == (
                    Outcome.RUNS,
                    True,
                    None,
                    [],
                )
            else:
                assert (verdict.outcome, verdict.usable, verdict.reason) == (Outcome.CANNOT, False, "SB114")
                assert verdict.diagnostics[0].hints == (f"use the image built for {host.both_names}",)


def test_a_64_bit_processor_boots_a_32_bit_kernel_where_it_can(tmp_path: Path) -> None:
    small = artifact_of(tmp_path, "bz", bzimage(wide=False))
    assert judge_boot(small, facts_of(Arch.AMD64)).usable
    assert judge_boot(small, facts_of(Arch.ARM64)).reason == "SB114"


@pytest.mark.parametrize(
    ("facts", "image"),
    [
        (replace(facts_of(Arch.I386), cpu=Cpu(flags=frozenset({"lm"}))), "bzimage"),
        (replace(facts_of(Arch.ARM), cpu=Cpu(arm_level=8)), "image"),
        (replace(facts_of(Arch.ARM64), kernel_arch=None), "image"),
    ],
)
def test_doubts_are_warnings(facts: Facts, image: str, made: dict[str, Artifact]) -> None:
    verdict = judge_boot(made[image], facts)
    assert verdict.usable
    assert told(verdict) == [("SB114", Severity.WARNING)]


def test_under_emulation_the_real_processor_boots(made: dict[str, Artifact]) -> None:
    facts = replace(facts_of(Arch.ARM64), beneath=Arch.AMD64)
    assert judge_boot(made["image"], facts).reason == "SB114"
    assert judge_boot(made["bzimage"], facts).usable


def test_page_size_and_byte_order_of_an_arm64_image(tmp_path: Path) -> None:
    facts = facts_of(Arch.ARM64)
    verdict = judge_boot(artifact_of(tmp_path, "k64", arm64_image(3)), facts)
    assert (verdict.usable, told(verdict)) == (True, [("SB105", Severity.WARNING)])
    assert dict(verdict.diagnostics[0].evidence) == {
        "file": "a Linux kernel for aarch64, pages of 65536 bytes",
        "host": "pages of 4096 bytes",
    }
    assert told(judge_boot(artifact_of(tmp_path, "k0", arm64_image(0)), facts)) == []
    big = judge_boot(artifact_of(tmp_path, "big", arm64_image(big=True)), facts)
    assert told(big) == [("SB114", Severity.WARNING)]
    assert judge_boot(artifact_of(tmp_path, "zbig", zimage(big=True)), facts).reason == "SB114"


def test_what_does_not_boot(tmp_path: Path) -> None:
    facts = facts_of(Arch.ARM64)
    broken = artifact_of(tmp_path, "u", uki(MACHINES["amd64"], zboot(arm64_image())))
    assert judge_boot(broken, facts).reason == "SB405"
    assert judge_boot(artifact_of(tmp_path, "t", uki()[:9000]), facts).reason == "SB401"
    for data in (cpio([]), pe(0xAA64), b"#!/bin/sh\n", b""):
        assert judge_boot(artifact_of(tmp_path, "x", data), facts).reason == "SB112"


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("uki-arm64", "a unified kernel image for aarch64"),
        ("bzimage", "a Linux kernel for x86-64"),
        ("s390", "a Linux kernel for s390x"),
    ],
)
def test_none_of_them_is_a_program(image: str, words: str, made: dict[str, Artifact]) -> None:
    verdict = judge(made[image], facts_of(IMAGES[image][1]))
    assert (verdict.outcome, verdict.reason) == (Outcome.CANNOT, "SB112")
    assert dict(verdict.diagnostics[0].evidence)["file"] == words
    assert "what a machine boots" in verdict.diagnostics[0].hints[0]


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_words(kind: Kind) -> None:
    assert describe_kind(Artifact("x", kind))


def test_an_initrd_is_no_program(tmp_path: Path) -> None:
    found = artifact_of(tmp_path, "initrd", cpio([("init", b"x")]))
    assert found.kind is Kind.INITRD
    verdict = judge(found, facts_of(Arch.AMD64))
    assert dict(verdict.diagnostics[0].evidence)["file"] == "an initial RAM file system"
