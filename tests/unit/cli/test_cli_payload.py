"""`inspect` on self-extracting programs: what an operator reads, quick and deep."""

from __future__ import annotations

from pathlib import Path

from cli_kit import quick as run
from payload_kit import k0s_chain, k3s_archive, k3s_program

from sealboot.model.arch import Arch


def test_a_stray_byte_is_an_error_with_its_cure(tmp_path: Path) -> None:
    program, chain = k0s_chain(Arch.ARM64)
    (tmp_path / "k0s").write_bytes(program + chain + b"\n")
    ran = run(tmp_path, "inspect", "k0s")
    assert ran.code == 1
    shown = ran.out + ran.err
    assert "error[SB403]" in shown
    assert "k0s: 1 stray byte follows its payload" in shown
    assert f"truncate -s {len(program + chain)} k0s" in shown
    assert "gzip chain" in ran.out
    assert "v1.35.1+k0s.0" in ran.out


def test_deep_sees_what_quick_cannot(tmp_path: Path) -> None:
    program, chain = k0s_chain(Arch.AMD64)
    data = bytearray(program + chain)
    data[len(program) + 40_000] ^= 0xFF
    (tmp_path / "k0s").write_bytes(data)
    assert run(tmp_path, "inspect", "k0s").code == 0
    ran = run(tmp_path, "inspect", "--deep", "k0s", "--format", "json")
    assert ran.code == 1
    assert [d["code"] for a in ran.document["artifacts"] for d in a["diagnostics"]] == ["SB403"]


def test_the_layers_as_json(tmp_path: Path) -> None:
    (tmp_path / "k3s").write_bytes(k3s_program(Arch.ARM, k3s_archive(Arch.ARM)))
    ran = run(tmp_path, "inspect", "--deep", "k3s", "--format", "json")
    assert ran.code == 0
    (artifact,) = ran.document["artifacts"]
    elf, go, payload = artifact["layers"]
    assert (elf["layer"], go["layer"], payload["layer"]) == ("elf", "go", "payload")
    assert (go["version"], go["toolchain"]) == ("v1.36.3+k3s1", "go1.24.1")
    assert (payload["format"], payload["programs"]) == ("tar.zst", "arm")
    assert payload["names"] == "bin/cni, bin/k3s, bin/runc"
    assert payload["checked"] == "every byte"
