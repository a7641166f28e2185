"""The rarer reasons why a file does not run, foretold from facts that the probe gathered, and then tried."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from labkit import machines, rare, rarecases
from labkit.lab import Lab

from sealboot.model.arch import Arch
from sealboot.model.facts import Facts

NODE_KINDS = tuple(dict.fromkeys(case.kind for case in rarecases.ON_NODES))
MACHINE_KINDS = tuple(dict.fromkeys(case.kind for case in rarecases.ON_MACHINES))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rare")


@pytest.fixture(scope="module")
def node_rows(session_lab: Lab, folder: Path) -> dict[str, rare.Row]:
    session_lab.need(*NODE_KINDS)
    rows = [row for kind in NODE_KINDS for row in rare.observe(session_lab, kind, rarecases.ON_NODES, folder)]
    return {row.case.name: row for row in rows}


def as_expected(row: rare.Row) -> None:
    assert row.foretold == row.case.foretold
    assert row.case.happened in row.happened
    assert row.agree


@pytest.mark.parametrize("case", rarecases.ON_NODES, ids=lambda case: case.name)
def test_what_a_node_does_was_foretold(node_rows: dict[str, rare.Row], case: rarecases.Case) -> None:
    as_expected(node_rows[case.name])


@pytest.mark.slow
@pytest.mark.vm
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", MACHINE_KINDS)
def test_what_a_machine_does_was_foretold(lab: Lab, kind: str, tmp_path: Path) -> None:
    rows = rare.everything(lab, [case for case in rarecases.ON_MACHINES if case.kind == kind], tmp_path)
    assert rows
    for row in rows:
        as_expected(row)


@pytest.mark.slow
@pytest.mark.vm
@pytest.mark.timeout(600)
def test_what_no_file_tells_is_not_foretold(lab: Lab, tmp_path: Path) -> None:
    """A compiler that was told to use new instructions, and not to say so: the limit of what can be known."""
    for row in rare.everything(lab, rarecases.UNTOLD, tmp_path):
        assert (row.foretold, row.happened, row.agree) == (rarecases.RUNS, row.case.happened, False)


def test_the_page_in_the_documentation_has_every_case() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs/oracle-rare.md").read_text()
    assert "**0 disagreements**" in page
    for case in (*rarecases.cases(slow=True), *rarecases.UNTOLD):
        line = f"| {case.reason} | {case.kind} | {case.file.label} | {case.foretold} |"
        assert line in page, "docs/oracle-rare.md is older than the cases: make table-rare"


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


@pytest.mark.slow
@pytest.mark.vm
@only("armhf-userland-vm")
def test_the_probe_sees_an_armhf_userland_on_a_true_arm64_kernel(facts: Facts) -> None:
    assert (facts.kernel_machine, facts.kernel_arch) == ("aarch64", Arch.ARM64)
    assert (facts.userland_arch, facts.userland_bits, facts.hard_float) == (Arch.ARM, 32, True)
    assert not facts.personality_32
    assert facts.native == {Arch.ARM64, Arch.ARM}
    assert facts.libc.loaders == {"/lib/ld-linux-armhf.so.3"}


@pytest.mark.slow
@pytest.mark.vm
@only("armv6-vm")
def test_the_probe_sees_an_armv6_processor(facts: Facts) -> None:
    assert (facts.kernel_machine, facts.kernel_arch, facts.userland_arch) == ("armv6l", Arch.ARM, Arch.ARM)
    assert (facts.cpu.arm_level, facts.hard_float) == (6, False)


@pytest.mark.slow
@pytest.mark.vm
@pytest.mark.parametrize(
    ("facts", "level"),
    [("amd64-old-cpu-vm", 1), ("amd64-v2-cpu-vm", 2), ("amd64-vm", 3)],
    indirect=["facts"],
)
def test_the_probe_sees_the_level_of_the_processor(facts: Facts, level: int) -> None:
    assert facts.cpu.x86_level == level


@pytest.mark.slow
@pytest.mark.vm
@pytest.mark.parametrize(
    ("facts", "size"),
    [("arm64-vm", 4096), ("arm64-16k-vm", 16384), ("ppc64el-vm", 65536)],
    indirect=["facts"],
)
def test_the_probe_sees_the_page_size(facts: Facts, size: int) -> None:
    assert facts.page_size == size
