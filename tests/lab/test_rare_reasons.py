"""The rarer reasons why a file does not run, foretold from facts that the probe gathered, and then tried."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from labkit import machines, rare
from labkit.lab import Lab

from sealboot.model.arch import Arch
from sealboot.model.facts import Facts

NODE_KINDS = tuple(dict.fromkeys(case.kind for case in rare.ON_NODES))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rare")


@pytest.fixture(scope="module")
def node_rows(session_lab: Lab, folder: Path) -> dict[str, rare.Row]:
    session_lab.need(*NODE_KINDS)
    rows = [row for kind in NODE_KINDS for row in rare.observe(session_lab, kind, rare.ON_NODES, folder)]
    return {row.case.name: row for row in rows}


def as_expected(row: rare.Row) -> None:
    assert row.foretold == row.case.foretold
    assert row.case.happened in row.happened
    assert row.agree


@pytest.mark.parametrize("case", rare.ON_NODES, ids=lambda case: case.name)
def test_what_a_node_does_was_foretold(node_rows: dict[str, rare.Row], case: rare.Case) -> None:
    as_expected(node_rows[case.name])


@pytest.fixture
def facts(lab: Lab, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Facts]:
    """What the probe says of one machine of the kind that the test names."""
    kind = request.param
    (node,) = lab.need(kind)
    yield rare.facts_of(lab, node, tmp_path)
    if machines.KINDS[kind].vm:
        lab.stop(node)


def only(kind: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("facts", [kind], indirect=True)


@only("amd64-musl")
def test_the_probe_sees_musl(facts: Facts) -> None:
    assert facts.libc.kind == "musl"
    assert facts.libc.version == (1, 2, 3)
    assert "/lib/ld-musl-x86_64.so.1" in facts.libc.loaders
    assert not any("linux" in loader for loader in facts.libc.loaders)


@only("amd64-old-glibc")
def test_the_probe_sees_the_old_glibc(facts: Facts) -> None:
    assert (facts.libc.kind, facts.libc.version) == ("glibc", (2, 31))


@only("i386-userland")
def test_the_probe_sees_a_32_bit_userland_on_a_64_bit_kernel(facts: Facts) -> None:
    assert (facts.kernel_machine, facts.kernel_arch) == ("x86_64", Arch.AMD64)
    assert (facts.userland_arch, facts.userland_bits) == (Arch.I386, 32)
    assert facts.native == {Arch.AMD64, Arch.I386}
    assert facts.libc.loaders == {"/lib/ld-linux.so.2"}


@only("armhf-userland")
def test_the_probe_sees_an_armhf_userland_on_an_arm64_kernel(facts: Facts) -> None:
    assert (facts.kernel_arch, facts.userland_arch, facts.hard_float) == (Arch.ARM64, Arch.ARM, True)
    assert facts.personality_32
    assert facts.native == {Arch.ARM64, Arch.ARM}
    assert facts.libc.loaders == {"/lib/ld-linux-armhf.so.3"}
