"""k0s look-alikes of both layouts: each way of being broken is named, and nothing else is."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fit_kit import elf_of, facts_of, handler_for
from labkit.debs import extract
from payload_kit import (
    NAMES,
    component,
    gzip_member,
    k0s_chain,
    k0s_program,
    k0s_zip,
    upx_like,
    with_section,
)
from repack_kit import upx

from sealboot.artifacts import inspect
from sealboot.fit import judge
from sealboot.lab import tinyelf
from sealboot.model.arch import Arch
from sealboot.model.artifact import Artifact, Other
from sealboot.model.diagnostic import Severity
from sealboot.model.payload import Payload
from sealboot.model.verdict import Outcome

BOTH = [False, True]


def look(folder: Path, data: bytes, *, deep: bool) -> Artifact:
    path = folder / "k0s"
    path.write_bytes(data)
    return inspect(path, "k0s", deep=deep)


def payload_of(artifact: Artifact) -> Payload:
    (found,) = [layer for layer in artifact.layers if isinstance(layer, Payload)]
    return found


def damage_of(artifact: Artifact) -> str:
    """The summary of the one SB403, behind the file's name."""
    (found,) = [d for d in artifact.diagnostics if d.code == "SB403"]
    assert found.artifact == "k0s"
    assert found.notes
    assert found.hints
    return found.summary.removeprefix("k0s: ")


def codes(artifact: Artifact) -> list[str]:
    return [d.code for d in artifact.diagnostics]


@pytest.mark.parametrize("deep", BOTH)
@pytest.mark.parametrize("arch", [Arch.AMD64, Arch.ARM64, Arch.ARM, Arch.RISCV64, Arch.S390X])
def test_an_intact_chain(arch: Arch, deep: bool, tmp_path: Path) -> None:
    program, chain = k0s_chain(arch, padding=2016)  # as Go's own linker pads since 1.35
    found = look(tmp_path, program + chain, deep=deep)
    assert found.diagnostics == ()
    carried = payload_of(found)
    assert (carried.format, carried.offset, carried.deep) == ("gzip chain", len(program), deep)
    assert [c.arch for c in carried.components] == [arch] * len(NAMES)
    assert carried.facts["programs"] == arch.both_names
    go = found.layers[1]
    assert isinstance(go, Other)
    assert (go.facts["product"], go.facts["version"]) == ("k0s", "v1.35.1+k0s.0")


@pytest.mark.parametrize("deep", BOTH)
@pytest.mark.parametrize("arch", [Arch.AMD64, Arch.ARM, Arch.S390X])
def test_an_intact_archive(arch: Arch, deep: bool, tmp_path: Path) -> None:
    program, archive = k0s_zip(arch)
    found = look(tmp_path, program + archive, deep=deep)
    assert found.diagnostics == ()
    carried = payload_of(found)
    assert (carried.format, carried.offset) == ("zip", len(program))
    assert [(c.name, c.arch) for c in carried.components] == [(name, arch) for name in NAMES]


@pytest.mark.parametrize("deep", BOTH)
@pytest.mark.parametrize("stray", [1, 2, 51, 4096])
def test_stray_bytes_break_a_chain(stray: int, deep: bool, tmp_path: Path) -> None:
    program, chain = k0s_chain(Arch.AMD64)
    found = look(tmp_path, program + chain + b"\n" * stray, deep=deep)
    what = "1 stray byte follows its payload" if stray == 1 else f"{stray} stray bytes follow its payload"
    assert damage_of(found) == what
    (damage,) = found.diagnostics
    assert damage.severity is Severity.ERROR
    assert damage.hints[-1] == f"or cut them off: `truncate -s {len(program + chain)} k0s`"
    assert "gzip: invalid header" in damage.notes[0]


@pytest.mark.parametrize("deep", BOTH)
def test_cutting_them_off_heals_it(deep: bool, tmp_path: Path) -> None:
    program, chain = k0s_chain(Arch.AMD64)
    (tmp_path / "k0s").write_bytes(program + chain + b"\r\n")
    os.truncate(tmp_path / "k0s", len(program + chain))
    assert inspect(tmp_path / "k0s", "k0s", deep=deep).diagnostics == ()


@pytest.mark.parametrize("deep", BOTH)
@pytest.mark.parametrize("stray", [1, 51])
def test_stray_bytes_do_an_archive_no_harm(stray: int, deep: bool, tmp_path: Path) -> None:
    program, archive = k0s_zip(Arch.AMD64)
    found = look(tmp_path, program + archive + b"\n" * stray, deep=deep)
    assert found.diagnostics == ()
    assert payload_of(found).facts["behind"] == f"{stray} bytes, which do no harm"


@pytest.mark.parametrize("deep", BOTH)
def test_bytes_in_front_do_no_harm(deep: bool, tmp_path: Path) -> None:
    for program, carried in (k0s_chain(Arch.ARM64), k0s_zip(Arch.ARM64)):
        found = look(tmp_path, program + b"\0\0built by hand" + carried, deep=deep)
        assert found.diagnostics == ()
        assert payload_of(found).offset == len(program) + 15


@pytest.mark.parametrize("deep", BOTH)
def test_a_truncated_chain(deep: bool, tmp_path: Path) -> None:
    program, chain = k0s_chain(Arch.AMD64)
    member = len(gzip_member(component(Arch.AMD64, NAMES[0])))
    whole = program + chain
    for cut in (1, 8, 1000):
        text = damage_of(look(tmp_path, whole[:-cut], deep=deep))
        assert text.startswith("its payload is truncated or damaged: it ends too early: the component at ")
    text = damage_of(look(tmp_path, whole[: len(program) + member], deep=deep))
    assert text == "its payload is truncated: 2 of 3 components are missing"
    text = damage_of(look(tmp_path, whole[: len(program) + 5], deep=deep))
    assert text == "the 5 bytes behind the program are no payload: damaged or truncated"


@pytest.mark.parametrize("deep", BOTH)
def test_a_truncated_archive(deep: bool, tmp_path: Path) -> None:
    program, archive = k0s_zip(Arch.AMD64)
    for cut in (1, 22, 1000):
        found = look(tmp_path, (program + archive)[:-cut], deep=deep)
        assert damage_of(found) == "the ZIP archive behind the program has no end: the file is truncated"
        assert "PATH" in found.diagnostics[0].notes[0]
        assert found.diagnostics[0].severity is Severity.ERROR


@pytest.mark.parametrize("deep", BOTH)
def test_stripped(deep: bool, tmp_path: Path) -> None:
    found = look(tmp_path, k0s_chain(Arch.AMD64)[0], deep=deep)
    assert damage_of(found) == "its payload is gone: 3 components are named, nothing follows the program"
    assert "seek: invalid argument" in found.diagnostics[0].notes[0]
    assert found.diagnostics[0].severity is Severity.ERROR


@pytest.mark.parametrize("deep", BOTH)
def test_bare(deep: bool, tmp_path: Path) -> None:
    found = look(tmp_path, k0s_zip(Arch.AMD64)[0], deep=deep)
    assert damage_of(found) == "it carries no components: stripped, or a bare build"
    assert found.diagnostics[0].severity is Severity.WARNING


def test_a_payload_of_another_length(tmp_path: Path) -> None:
    """A whole chain, but not the one that the program was built with: one of its own, put together anew."""
    program = k0s_program(Arch.AMD64, "v1.35.1+k0s.0", NAMES, 123_456_789)
    found = look(tmp_path, program + k0s_chain(Arch.AMD64)[1], deep=False)
    assert damage_of(found).endswith("and the program was not built for that length")


def test_a_damaged_component(tmp_path: Path) -> None:
    """A flipped byte in the middle shows when every byte is looked at; a broken header shows at once."""
    program, chain = k0s_chain(Arch.AMD64)
    middle = bytearray(program + chain)
    middle[len(program) + 40_000] ^= 0xFF
    assert look(tmp_path, bytes(middle), deep=False).diagnostics == ()
    text = damage_of(look(tmp_path, bytes(middle), deep=True))
    assert text.startswith("its payload is truncated or damaged: it ")
    header = bytearray(program + chain)
    header[len(program) + len(gzip_member(component(Arch.AMD64, NAMES[0])))] ^= 0xFF
    text = damage_of(look(tmp_path, bytes(header), deep=False))
    assert text == "its payload has 2 components, the program names 3"


def test_a_damaged_archive(tmp_path: Path) -> None:
    program, archive = k0s_zip(Arch.AMD64)
    data = bytearray(program + archive)
    data[len(program) + 40_000] ^= 0xFF
    assert look(tmp_path, bytes(data), deep=False).diagnostics == ()
    assert damage_of(look(tmp_path, bytes(data), deep=True)).startswith("its payload is damaged: containerd ")
    local = bytearray(program + archive)
    local[len(program)] ^= 0xFF
    text = damage_of(look(tmp_path, bytes(local), deep=False))
    assert text == "its payload is damaged: containerd is not where the directory says"
    directory = bytearray(program + archive)
    directory[directory.rindex(b"PK\x01\x02")] ^= 0xFF
    text = damage_of(look(tmp_path, bytes(directory), deep=False))
    assert text == "its payload is damaged: its directory breaks off after 2 files"


def test_an_archive_that_lacks_something(tmp_path: Path) -> None:
    program, archive = k0s_zip(Arch.AMD64, names=("kubelet", "etcd"))
    found = look(tmp_path, program + archive, deep=False)
    assert damage_of(found) == "its payload lacks containerd, runc"
    assert found.diagnostics[0].severity is Severity.WARNING


@pytest.mark.parametrize("deep", BOTH)
@pytest.mark.parametrize("builder", [k0s_chain, k0s_zip], ids=["chain", "zip"])
def test_a_foreign_component(builder: Callable[..., tuple[bytes, bytes]], deep: bool, tmp_path: Path) -> None:
    program, carried = builder(Arch.AMD64, [Arch.AMD64, Arch.ARM64, Arch.AMD64])
    found = look(tmp_path, program + carried, deep=deep)
    (foreign,) = found.diagnostics
    assert (foreign.code, foreign.severity) == ("SB410", Severity.ERROR)
    assert foreign.summary == "k0s is amd64 (x86-64), but carries programs for arm64 (aarch64)"
    verdict = judge(found, facts_of(Arch.AMD64))
    assert (verdict.outcome, verdict.usable, verdict.reason) == (Outcome.CANNOT, False, "SB410")
    told = verdict.diagnostics[0]
    assert told.summary == "binary starts on node, but carries programs for arm64 (aarch64)"
    inside = "kubelet" if builder is k0s_zip else "the component at "
    assert inside in dict(told.evidence)["file"]
    foreign_host = judge(found, facts_of(Arch.ARM64))
    assert (foreign_host.outcome, foreign_host.reason) == (Outcome.CANNOT, "SB101")
    emulating = replace(facts_of(Arch.AMD64), binfmt=(handler_for(Arch.ARM64),))
    assert Arch.ARM64 in emulating.emulates
    verdict = judge(found, emulating)
    assert (verdict.outcome, verdict.usable) == (Outcome.RUNS, False)
    assert [d.code for d in verdict.diagnostics] == ["SB410", "SB410"]


def test_a_component_that_the_machine_runs_as_well(tmp_path: Path) -> None:
    program, carried = k0s_chain(Arch.AMD64, [Arch.AMD64, Arch.I386, Arch.AMD64])
    found = look(tmp_path, program + carried, deep=False)
    (foreign,) = found.diagnostics
    assert (foreign.code, foreign.severity) == ("SB410", Severity.WARNING)
    assert judge(found, facts_of(Arch.AMD64)).usable
    alone = replace(facts_of(Arch.AMD64), native=frozenset({Arch.AMD64}))
    assert judge(found, alone).reason == "SB410"


@pytest.mark.parametrize("deep", BOTH)
def test_a_damaged_payload_is_not_usable(deep: bool, tmp_path: Path) -> None:
    program, chain = k0s_chain(Arch.AMD64)
    verdict = judge(look(tmp_path, program + chain + b"\n", deep=deep), facts_of(Arch.AMD64))
    assert (verdict.outcome, verdict.usable) == (Outcome.RUNS, False)
    assert [d.code for d in verdict.diagnostics] == ["SB403"]


@pytest.mark.parametrize("deep", BOTH)
@pytest.mark.parametrize("arch", [Arch.AMD64, Arch.ARM])
def test_packing_afterwards_breaks_a_chain(arch: Arch, deep: bool, tmp_path: Path) -> None:
    found = look(tmp_path, upx_like(arch, k0s_chain(arch)[1]), deep=deep)
    assert codes(found) == ["SB403", "SB402"]
    text = "packed with UPX after its payload was appended: the payload now ends 48 bytes early"
    assert damage_of(found) == text
    assert found.diagnostics[0].hints[0] == "run `upx -d k0s`: it restores the file byte for byte"
    assert found.diagnostics[1].severity is Severity.NOTE
    assert not judge(found, facts_of(arch)).usable


@pytest.mark.parametrize("deep", BOTH)
def test_packing_first_breaks_nothing(deep: bool, tmp_path: Path) -> None:
    packed = upx_like(Arch.AMD64)
    for carried in (k0s_chain(Arch.AMD64)[1], k0s_zip(Arch.AMD64)[1]):
        found = look(tmp_path, packed + carried, deep=deep)
        assert codes(found) == ["SB402"]
        assert "its payload is still where the program looks for it" in found.diagnostics[0].notes
        assert judge(found, facts_of(Arch.AMD64)).usable


@pytest.mark.parametrize("deep", BOTH)
def test_packing_breaks_no_archive(deep: bool, tmp_path: Path) -> None:
    found = look(tmp_path, upx_like(Arch.AMD64, k0s_zip(Arch.AMD64)[1]), deep=deep)
    assert codes(found) == ["SB402"]
    assert "its payload is still where the program looks for it" in found.diagnostics[0].notes


def test_packing_may_hide_what_was_there(tmp_path: Path) -> None:
    found = look(tmp_path, upx_like(Arch.AMD64), deep=True)
    (note,) = found.diagnostics
    assert "cannot be seen" in note.notes[-1]
    assert dict(note.evidence)["unpacked"].endswith(" bytes")


def really_packed(folder: Path, data: bytes) -> Path:
    path = folder / "k0s"
    path.write_bytes(data)
    path.chmod(0o755)
    subprocess.run([upx(), "-1", "-q", path], check=True, capture_output=True, timeout=60)
    return path


def test_the_real_upx(tmp_path: Path) -> None:
    """The same on a real program by the real tool, and `upx -d` heals it."""
    bare = (extract("busybox-static", "amd64") / "bin/busybox").read_bytes()
    chain, archive = k0s_chain(Arch.AMD64)[1], k0s_zip(Arch.AMD64)[1]

    path = really_packed(tmp_path, bare + chain)
    for deep in BOTH:
        found = inspect(path, "k0s", deep=deep)
        assert codes(found) == ["SB403", "SB402"]
        early = len(path.read_bytes()) - path.read_bytes().index(chain) - len(chain)
        assert 48 <= early <= 51
        assert damage_of(found).endswith(f"now ends {early} bytes early")
        assert dict(found.diagnostics[1].evidence)["unpacked"] == f"{len(bare + chain)} bytes"
    subprocess.run([upx(), "-d", "-q", path], check=True, capture_output=True, timeout=60)
    assert path.read_bytes() == bare + chain

    path = really_packed(tmp_path, bare + archive)
    assert codes(inspect(path, "k0s", deep=True)) == ["SB402"]
    path = really_packed(tmp_path, bare)
    first = path.read_bytes()
    assert codes(inspect(path, "k0s", deep=True)) == ["SB402"]
    assert codes(look(tmp_path, first + chain, deep=True)) == ["SB402"]


@pytest.mark.parametrize(
    ("debian", "arch"), [("amd64", Arch.AMD64), ("arm64", Arch.ARM64), ("armhf", Arch.ARM)]
)
def test_behind_real_go_programs(debian: str, arch: Arch, tmp_path: Path) -> None:
    """A payload begins where everything that the headers describe ends, as linkers really leave it."""
    bare = (extract("runc", debian) / "usr/sbin/runc").read_bytes()
    for carried in (k0s_chain(arch)[1], k0s_zip(arch)[1]):
        found = look(tmp_path, bare + bytes(2016) + carried, deep=True)
        assert found.diagnostics == ()
        assert payload_of(found).offset == len(bare) + 2016
        assert {c.arch for c in payload_of(found).components} == {arch}
        wrong = look(tmp_path, bare + k0s_chain(Arch.RISCV64)[1], deep=False)
        assert codes(wrong) == ["SB410"]


@pytest.mark.requires("strip")
def test_the_real_strip(tmp_path: Path) -> None:
    """`strip` drops what follows a program; the program and its marks stay."""
    program, chain = k0s_chain(Arch.AMD64)
    path = tmp_path / "k0s"
    start = tinyelf.headers_size(Arch.AMD64, 1)
    path.write_bytes(with_section(program, Arch.AMD64, ".data", start, len(program) - start) + chain)
    assert inspect(path, "k0s").diagnostics == ()
    subprocess.run(["strip", path], check=True, capture_output=True, timeout=60)
    found = inspect(path, "k0s")
    assert elf_of(found).arch is Arch.AMD64
    assert damage_of(found).startswith("its payload is gone: 3 components")
