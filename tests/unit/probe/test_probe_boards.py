"""Every pasted transcript, and what the parser must make of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sealboot.model.facts import Facts, fingerprint
from sealboot.probe import parse

FOLDER = Path(__file__).parents[2] / "transcripts"
BOARDS = sorted(path.stem for path in FOLDER.glob("*.txt"))


def board(name: str) -> Facts:
    facts = parse((FOLDER / f"{name}.txt").read_bytes(), host=name, nonce="BOARD", sent=0.0, received=0.2)
    assert isinstance(facts, Facts)
    return facts


def described(facts: Facts) -> dict[str, Any]:
    plain = (
        "kernel_machine kernel_arch userland_arch userland_bits endian native emulates page_size kernel_release "
        "hard_float os_id os_version init virtualization uid user become memory personality_32 beneath"
    )
    values = {name: getattr(facts, name) for name in plain.split()}
    return {
        **{name: sorted(v) if isinstance(v, frozenset) else v for name, v in values.items()},
        "refuses": sorted(str(h.arch) for h in facts.binfmt if h.refuses),
        "libc": [facts.libc.kind, list(facts.libc.version or ()), sorted(facts.libc.loaders)],
        "x86_level": facts.cpu.x86_level,
        "arm_level": facts.cpu.arm_level,
        "cpus": facts.cpu.count,
        "spaces": [[s.path, s.existing, s.mount, s.fstype, s.free, s.writable] for s in facts.spaces],
        "conflicts": len(facts.conflicts),
    }


def test_there_are_boards_and_each_has_an_expectation() -> None:
    assert len(BOARDS) >= 12
    assert {path.stem for path in FOLDER.glob("*.json")} == set(BOARDS)


@pytest.mark.parametrize("name", BOARDS)
def test_board(name: str) -> None:
    assert described(board(name)) == json.loads((FOLDER / f"{name}.json").read_text())


@pytest.mark.parametrize("name", BOARDS)
def test_questions_and_tools_of_a_board(name: str) -> None:
    facts = board(name)
    assert facts.observed["greeting"] == "hello\nfrom the question"
    assert {"sh", "mv", "sha256sum"} <= facts.tools


def test_fingerprints_tell_boards_apart_and_are_stable() -> None:
    prints = {fingerprint(board(name)) for name in BOARDS}
    assert len(prints) == len(BOARDS)
    assert fingerprint(board("alpine-arm64")) == fingerprint(board("alpine-arm64"))


def test_a_64_bit_kernel_under_a_32_bit_userland_keeps_both() -> None:
    facts = board("raspberry-pi-os-32")
    assert (facts.kernel_arch, facts.userland_arch) == ("arm64", "arm")
    assert facts.become == "nopasswd"


def test_the_same_refusal_of_the_own_kind_makes_an_emulated_machine_or_an_emulating_one() -> None:
    closed, opened = board("qemu-user-arm64"), board("qemu-user-arm64-open")
    assert closed.native == {"arm64"}
    assert closed.beneath == "amd64"
    assert opened.native == {"amd64", "386"}
    assert opened.emulates == {"arm64"}
