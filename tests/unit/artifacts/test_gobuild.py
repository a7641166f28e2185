from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
from elf_corpus import GLIBC_LOADERS, dynamic, static
from fit_kit import artifact_of, elf_of, facts_of
from hypothesis import example, given, settings
from hypothesis import strategies as st
from labkit.debs import extract
from payload_kit import MAGIC, address_of_part, go_info, go_inline, go_pointed, program, with_section

from sealboot.artifacts import inspect
from sealboot.artifacts.elf import parse
from sealboot.artifacts.gobuild import GoBuild, read_gobuild
from sealboot.artifacts.reader import Memory
from sealboot.fit import judge
from sealboot.lab import tinyelf
from sealboot.model.arch import Arch
from sealboot.model.artifact import Other
from sealboot.model.verdict import Outcome

K3S = {
    "-ldflags": '"-X github.com/k3s-io/k3s/pkg/version.Version=v1.36.3+k3s1 -X github.com/k3s-io/k3s/pkg/version.GitCommit=0123abcd -w -s"',
    "CGO_ENABLED": "0",
    "GOARCH": "arm",
    "GOOS": "linux",
    "GOARM": "7",
    "vcs.revision": "4cb5f0764b8d5f425645c6f433394fede34a8a26",
}
INFO = go_info("github.com/k3s-io/k3s/cmd/k3s", K3S, "github.com/k3s-io/k3s\t(devel)")


def build_of(data: bytes) -> GoBuild | None:
    elf = parse(Memory(data)).elf
    assert elf is not None
    return read_gobuild(Memory(data), elf)


def simple(arch: Arch, **target: str) -> bytes:
    info = go_info("example.org/tool", {"GOARCH": arch.value, **target})
    return program(arch, go_inline("go1.22.3", info, arch))


@pytest.mark.parametrize("arch", tinyelf.supported())
def test_both_formats_say_the_same(arch: Arch) -> None:
    inline = build_of(program(arch, go_inline("go1.22.3", INFO, arch)))
    pointed = build_of(program(arch, go_pointed("go1.22.3", INFO, arch, address_of_part(arch))))
    assert inline is not None
    assert inline == pointed
    assert (inline.toolchain, inline.path) == ("go1.22.3", "github.com/k3s-io/k3s/cmd/k3s")
    assert (inline.module, inline.module_version) == ("github.com/k3s-io/k3s", "(devel)")
    assert inline.version == "v1.36.3+k3s1"
    assert inline.settings["GOARM"] == "7"
    assert inline.facts()["vcs.revision"] == K3S["vcs.revision"]


def test_only_data_that_is_read_are_searched_too() -> None:
    """Newer linkers put the header among constants; a segment of code is never searched."""
    blob = go_inline("go1.27.3", INFO, Arch.AMD64)
    data = program(Arch.AMD64, blob)
    elf = parse(Memory(data)).elf
    assert elf is not None
    for flags, found in ((4, True), (6, True), (5, False)):
        changed = replace(elf, segments=tuple(replace(s, flags=flags) for s in elf.segments))
        assert (read_gobuild(Memory(data), changed) is not None) is found


@pytest.mark.parametrize("arch", [Arch.AMD64, Arch.ARM, Arch.S390X])
def test_the_section_says_where_to_look(arch: Arch) -> None:
    decoy = go_inline("go0.decoy", INFO, arch)
    blob = go_inline("go1.22.3", INFO, arch)
    data = program(arch, decoy, blob)
    found = build_of(data)
    assert found is not None
    assert found.toolchain == "go0.decoy"
    found = build_of(with_section(data, arch, ".go.buildinfo", data.index(blob), len(blob)))
    assert found is not None
    assert found.toolchain == "go1.22.3"


def test_a_section_that_lies_is_not_believed() -> None:
    data = program(Arch.AMD64, go_inline("go1.22.3", INFO, Arch.AMD64))
    found = build_of(with_section(data, Arch.AMD64, ".go.buildinfo", 0, 16))
    assert found is not None
    assert found.toolchain == "go1.22.3"


def test_constants_of_other_programs_are_not_searched() -> None:
    """Sections with names, and none of Go's: only written data may still hold a header."""
    data = program(Arch.AMD64, go_inline("go1.27.3", INFO, Arch.AMD64))
    named = with_section(data, Arch.AMD64, ".rodata", 120, 64)
    elf = parse(Memory(named)).elf
    assert elf is not None
    for flags, found in ((4, False), (6, True)):
        changed = replace(elf, segments=tuple(replace(s, flags=flags) for s in elf.segments))
        assert (read_gobuild(Memory(named), changed) is not None) is found


def test_the_magic_in_a_text_is_no_header() -> None:
    """A program that reads build information holds the magic itself, where it happens to lie."""
    for at in range(1, 16):
        data = program(Arch.AMD64, bytes(at) + MAGIC + bytes(64), go_inline("go1.22.3", INFO, Arch.AMD64))
        found = build_of(data)
        assert found is not None
        assert found.toolchain == "go1.22.3"


def test_no_go_program() -> None:
    assert build_of(static(Arch.AMD64, "x")) is None
    assert build_of(program(Arch.AMD64, MAGIC)) is None
    assert build_of(program(Arch.AMD64, MAGIC + b"\x08\x02" + bytes(16) + b"\xff" * 20)) is None
    assert build_of(program(Arch.AMD64, MAGIC + b"\x08\x00" + b"\xff" * 64)) is None
    assert build_of(program(Arch.AMD64, MAGIC + b"\x03\x00" + bytes(64))) is None


@pytest.mark.parametrize(
    ("flags", "module", "version"),
    [
        ("-X github.com/labring/sealos/pkg/version.gitVersion=v5.0.1", "", "v5.0.1"),
        ("-s -w -X 'example.org/v.Version=1.2.3-rc1'", "", "1.2.3-rc1"),
        ("-X=main.version=v0.4.1", "", "v0.4.1"),
        ("-X main.Commit=abc", "v1.9.0", "v1.9.0"),
        ("-X main.Version=unknown", "v1.9.0", "v1.9.0"),
        ("", "(devel)", ""),
    ],
)
def test_the_programs_own_version(flags: str, module: str, version: str) -> None:
    assert GoBuild("go1.22.3", settings={"-ldflags": flags}, module_version=module).version == version


@pytest.mark.parametrize(
    "flags", ["-X=a.v" * 170_000, "-X a.version=1." + "1" * 1_000_000 + "!", "-X=" + "a." * 500_000]
)
def test_a_megabyte_of_linker_flags_is_read_once(flags: str) -> None:
    began = time.process_time()
    assert GoBuild("go1.22.3", settings={"-ldflags": flags}).version == ""
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("arch", "setting", "arm", "x86"),
    [
        (Arch.ARM, {"GOARM": "5"}, 5, None),
        (Arch.ARM, {"GOARM": "6,hardfloat"}, 6, None),
        (Arch.ARM, {"GOARM": "7,softfloat"}, 7, None),
        (Arch.ARM, {"GOARM": "77"}, None, None),
        (Arch.AMD64, {"GOAMD64": "v1"}, None, 1),
        (Arch.AMD64, {"GOAMD64": "v4"}, None, 4),
        (Arch.AMD64, {"GOAMD64": "v9", "GOARM": "7"}, None, None),
        (Arch.ARM64, {"GOARM64": "v8.0"}, None, None),
    ],
)
def test_levels_reach_the_elf_layer(
    arch: Arch, setting: dict[str, str], arm: int | None, x86: int | None, tmp_path: Path
) -> None:
    found = artifact_of(tmp_path, "tool", simple(arch, **setting))
    elf = elf_of(found)
    assert (elf.arm_level, elf.x86_level) == (arm, x86)
    layer = found.layers[1]
    assert isinstance(layer, Other)
    assert layer.name == "go"
    assert layer.facts["GOARCH"] == arch
    assert found.platforms == ((f"linux/arm/v{arm}",) if arm else (f"linux/{arch}",))


@pytest.mark.parametrize(
    ("level", "features"),
    [
        ("v8.0", ()),
        ("v8.0,crypto", ()),
        ("v8.0,lse", ("atomics",)),
        ("v8.1", ("atomics",)),
        ("v9.5,lse,crypto", ("atomics",)),
        ("v10.0", ()),
    ],
)
def test_goarm64_reaches_the_elf_layer(level: str, features: tuple[str, ...], tmp_path: Path) -> None:
    found = artifact_of(tmp_path, "tool", simple(Arch.ARM64, GOARM64=level))
    assert elf_of(found).cpu_features == features


@pytest.mark.parametrize(
    ("arch", "setting", "features"),
    [
        (Arch.PPC64LE, {"GOPPC64": "power8"}, ()),
        (Arch.PPC64LE, {"GOPPC64": "power10"}, ("power10",)),
        (Arch.RISCV64, {"GORISCV64": "rva20u64"}, ()),
        (Arch.RISCV64, {"GORISCV64": "rva22u64"}, ("zba", "zbb", "zbs")),
        (Arch.RISCV64, {"GORISCV64": "rva23u64", "GOARM64": "v9.0"}, ("zba", "zbb", "zbs", "zicond", "v")),
        (Arch.AMD64, {"GOPPC64": "power10", "GOAMD64": "power10"}, ()),
    ],
)
def test_other_levels_reach_the_elf_layer(
    arch: Arch, setting: dict[str, str], features: tuple[str, ...], tmp_path: Path
) -> None:
    assert elf_of(artifact_of(tmp_path, "tool", simple(arch, **setting))).cpu_features == features


def test_build_information_of_another_machine_decides_nothing(tmp_path: Path) -> None:
    info = go_info("example.org/tool", {"GOARCH": "amd64", "GOAMD64": "v4", "GOARM": "7"})
    found = artifact_of(tmp_path, "tool", program(Arch.ARM, go_inline("go1.22.3", info, Arch.ARM)))
    assert (elf_of(found).arm_level, elf_of(found).x86_level) == (None, None)


def test_an_armv7_build_on_armv6(tmp_path: Path) -> None:
    facts = facts_of(Arch.ARM)
    zero = replace(facts, cpu=replace(facts.cpu, arm_level=6))
    for level, outcome, reason in (
        ("5", Outcome.RUNS, None),
        ("6", Outcome.RUNS, None),
        ("7", Outcome.CANNOT, "SB110"),
    ):
        verdict = judge(artifact_of(tmp_path, "tool", simple(Arch.ARM, GOARM=level)), zero)
        assert (verdict.outcome, verdict.reason) == (outcome, reason)


def test_a_v3_build_on_an_old_processor(tmp_path: Path) -> None:
    facts = facts_of(Arch.AMD64)
    old = replace(facts, cpu=replace(facts.cpu, x86_level=2))
    for level, outcome, reason in (
        ("v1", Outcome.RUNS, None),
        ("v2", Outcome.RUNS, None),
        ("v3", Outcome.CANNOT, "SB106"),
    ):
        verdict = judge(artifact_of(tmp_path, "tool", simple(Arch.AMD64, GOAMD64=level)), old)
        assert (verdict.outcome, verdict.reason) == (outcome, reason)


@pytest.mark.parametrize(
    ("debian", "arch", "arm"),
    [
        ("amd64", Arch.AMD64, None),
        ("arm64", Arch.ARM64, None),
        ("armhf", Arch.ARM, 6),  # GOARM=6, linked with C code for ARMv7: see `arm_claim`
        ("armel", Arch.ARM, 5),
    ],
)
def test_real_programs_of_debian(debian: str, arch: Arch, arm: int | None) -> None:
    runc = extract("runc", debian) / "usr/sbin/runc"
    found = inspect(runc, "runc")
    layer = found.layers[1]
    assert elf_of(found).arch is arch
    assert elf_of(found).arm_level == arm
    assert elf_of(found).arm_claim == (7 if debian == "armhf" else None)
    assert isinstance(layer, Other)
    assert (layer.name, layer.facts["path"]) == ("go", "github.com/opencontainers/runc")
    assert layer.facts["toolchain"].startswith("go1.")
    assert layer.facts["GOARCH"] == arch
    assert elf_of(found).x86_level == (1 if arch is Arch.AMD64 else None)


SOUND = [
    program(Arch.AMD64, go_inline("go1.22.3", INFO, Arch.AMD64)),
    program(Arch.S390X, go_pointed("go1.17", INFO, Arch.S390X, address_of_part(Arch.S390X))),
    program(Arch.ARM, go_pointed("go1.17", INFO, Arch.ARM, address_of_part(Arch.ARM))),
    with_section(simple(Arch.ARM64), Arch.ARM64, ".go.buildinfo", 192, 64),
    dynamic(Arch.AMD64, "x", interpreter=GLIBC_LOADERS[Arch.AMD64]),
]


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(SOUND),
    st.lists(st.tuples(st.integers(0, 900), st.binary(min_size=1, max_size=9)), max_size=5),
    st.integers(0, 200),
)
@example(SOUND[0], [(tinyelf.headers_size(Arch.AMD64, 1) + 80, b"\xff" * 9)], 0)
def test_mutations_never_raise(data: bytes, changes: list[tuple[int, bytes]], cut: int) -> None:
    changed = bytearray(data)
    for at, new in changes:
        changed[at : at + len(new)] = new
    mutated = bytes(changed[: len(changed) - cut])
    elf = parse(Memory(mutated)).elf
    if elf is not None:
        found = read_gobuild(Memory(mutated), elf)
        assert found is None or found.toolchain
