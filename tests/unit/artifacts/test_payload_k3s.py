"""k3s look-alikes: a tar.zst among the program's constants, whole, damaged and for another machine."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from fit_kit import facts_of
from payload_kit import go_info, go_inline, k3s_archive, k3s_program, program, upx_like

from sealboot.artifacts import inspect
from sealboot.artifacts.reader import Memory, Window
from sealboot.artifacts.zstd import frame_length
from sealboot.fit import judge
from sealboot.model.arch import Arch
from sealboot.model.artifact import Artifact, Other
from sealboot.model.diagnostic import Severity
from sealboot.model.payload import Payload
from sealboot.model.verdict import Outcome

BOTH = [False, True]


def look(folder: Path, data: bytes, *, deep: bool) -> Artifact:
    path = folder / "k3s"
    path.write_bytes(data)
    return inspect(path, "k3s", deep=deep)


def payload_of(artifact: Artifact) -> Payload:
    (found,) = [layer for layer in artifact.layers if isinstance(layer, Payload)]
    return found


@pytest.mark.parametrize("arch", [Arch.AMD64, Arch.ARM64, Arch.ARM, Arch.S390X])
def test_intact(arch: Arch, tmp_path: Path) -> None:
    archive = k3s_archive(arch)
    data = k3s_program(arch, archive)
    quick, deep = (look(tmp_path, data, deep=d) for d in BOTH)
    assert (quick.diagnostics, deep.diagnostics) == ((), ())
    for found in (payload_of(quick), payload_of(deep)):
        assert (found.format, found.offset) == ("tar.zst", data.index(archive))
        assert found.facts["bytes"] == str(len(archive))
        assert found.facts["named"] == hashlib.sha256(archive).hexdigest()
        assert {c.arch for c in found.components} == {arch}
    assert [c.name for c in payload_of(deep).components] == ["bin/cni", "bin/k3s", "bin/runc"]
    assert payload_of(quick).components[0].name == "bin/cni"
    go = quick.layers[1]
    assert isinstance(go, Other)
    assert go.facts["version"] == "v1.36.3+k3s1"


def test_a_window_of_32_mib(tmp_path: Path) -> None:
    """k3s packs with `--long=25`."""
    data = k3s_program(Arch.AMD64, k3s_archive(Arch.AMD64, long=True))
    assert look(tmp_path, data, deep=True).diagnostics == ()


@pytest.mark.parametrize("deep", BOTH)
def test_what_does_no_harm(deep: bool, tmp_path: Path) -> None:
    """The archive is part of the program: bytes behind it, packing and a new name of the file change nothing."""
    data = k3s_program(Arch.AMD64, k3s_archive(Arch.AMD64))
    assert look(tmp_path, data + b"\n", deep=deep).diagnostics == ()
    packed = look(tmp_path, upx_like(Arch.AMD64), deep=deep)
    assert [d.code for d in packed.diagnostics] == ["SB402"]


@pytest.mark.parametrize("deep", BOTH)
def test_truncated(deep: bool, tmp_path: Path) -> None:
    data = k3s_program(Arch.AMD64, k3s_archive(Arch.AMD64))
    for cut in (1, 1000, len(data) - 600):
        found = look(tmp_path, data[:-cut], deep=deep)
        assert [(d.code, d.severity) for d in found.diagnostics] == [("SB401", Severity.ERROR)]
        assert "truncated" in found.diagnostics[0].summary


@pytest.mark.parametrize("deep", BOTH)
def test_foreign_programs_inside(deep: bool, tmp_path: Path) -> None:
    found = look(tmp_path, k3s_program(Arch.ARM64, k3s_archive(Arch.AMD64)), deep=deep)
    (foreign,) = found.diagnostics
    assert (foreign.code, foreign.severity) == ("SB410", Severity.ERROR)
    assert foreign.summary == "k3s is arm64 (aarch64), but carries programs for amd64 (x86-64)"
    assert "bin/cni" in dict(foreign.evidence)["inside"]
    verdict = judge(found, facts_of(Arch.ARM64))
    assert (verdict.outcome, verdict.usable, verdict.reason) == (Outcome.CANNOT, False, "SB410")


def test_damage_in_the_middle(tmp_path: Path) -> None:
    archive = bytearray(k3s_archive(Arch.AMD64))
    digest = hashlib.sha256(archive).hexdigest()
    archive[len(archive) // 2] ^= 0xFF
    data = k3s_program(Arch.AMD64, bytes(archive), name=digest)
    assert look(tmp_path, data, deep=False).diagnostics == ()
    (damage,) = look(tmp_path, data, deep=True).diagnostics
    assert (damage.code, damage.severity) == ("SB403", Severity.ERROR)
    assert damage.summary.startswith("k3s: the archive inside it is damaged: it")
    assert "k3s --version" in damage.notes[0]


def test_another_archive_than_named(tmp_path: Path) -> None:
    data = k3s_program(Arch.AMD64, k3s_archive(Arch.AMD64), name="ab" * 32)
    assert look(tmp_path, data, deep=False).diagnostics == ()
    (damage,) = look(tmp_path, data, deep=True).diagnostics
    assert damage.summary.endswith(f"its SHA-256 is not the one in its name, {'ab' * 32}")


def test_an_archive_that_was_cut_before_it_was_embedded(tmp_path: Path) -> None:
    """The program is whole; its archive ends too early: block headers lead out of the program."""
    archive = k3s_archive(Arch.AMD64)
    data = k3s_program(Arch.AMD64, archive[: len(archive) // 2])
    for deep in BOTH:
        (damage,) = look(tmp_path, data, deep=deep).diagnostics
        assert damage.code == "SB403"
        assert "it ends in the middle of its zstd data" in damage.summary


def test_the_magic_alone_is_no_archive(tmp_path: Path) -> None:
    """Programs that read zstd hold its magic as a constant."""
    info = go_info("github.com/k3s-io/k3s/cmd/k3s", {"GOARCH": "amd64"})
    noise = b"\x28\xb5\x2f\xfd" + bytes(range(256)) * 4
    archive = k3s_archive(Arch.AMD64)
    data = program(Arch.AMD64, go_inline("go1.24.1", info, Arch.AMD64), noise * 8, archive)
    found = look(tmp_path, data, deep=True)
    assert found.diagnostics == ()
    assert payload_of(found).offset == data.index(archive)
    alone = program(Arch.AMD64, go_inline("go1.24.1", info, Arch.AMD64), noise)
    assert [type(layer) for layer in look(tmp_path, alone, deep=True).layers[1:]] == [Other]


def test_the_length_of_a_frame() -> None:
    archive = k3s_archive(Arch.AMD64)
    assert frame_length(Memory(archive)) == (len(archive), "")
    assert frame_length(Memory(archive + b"more")) == (len(archive), "")
    assert frame_length(Window(Memory(b"xx" + archive), 2, len(archive))) == (len(archive), "")
    for cut in (1, 4, 5, 1000):
        assert frame_length(Memory(archive[:-cut]))[1] == "it ends in the middle of its zstd data"
    assert frame_length(Memory(b""))[1]
