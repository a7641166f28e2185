"""`repack` as an operator meets it: what is shown, the exit codes, and a file that is there or not."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_kit import quick as run
from payload_kit import k0s_chain, upx_like
from repack_kit import noise, with_sections

from sealboot.lab import tinyelf
from sealboot.model.arch import Arch


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [(".debug_info", 1, 1, noise(100_000))]
    (tmp_path / "tool").write_bytes(with_sections(tinyelf.make(Arch.ARM64, "hello\n"), Arch.ARM64, rows))
    (tmp_path / "packed").write_bytes(upx_like(Arch.AMD64, k0s_chain(Arch.AMD64)[1]))
    return tmp_path


NO_UPX = {"PATH": "/nowhere"}


def test_what_is_shown(folder: Path) -> None:
    ran = run(folder, "repack", "tool", env=NO_UPX)
    assert (ran.code, ran.err) == (0, "")
    assert "tool  elf, 98.1 KiB, linux/arm64" in ran.out
    assert "without .debug_info" in ran.out
    assert "estimated by deflating the program" in ran.out
    assert "nothing was written; --output writes it" in ran.out
    assert sorted(p.name for p in folder.iterdir()) == ["packed", "tool"]


def test_the_file_is_written_and_told(folder: Path) -> None:
    ran = run(folder, "repack", "tool", "--output", "small", "--format", "json", env=NO_UPX)
    assert ran.code == 0
    told = ran.document
    assert (told["command"], told["output"], told["diagnostics"]) == ("repack", "small", [])
    assert told["saved"] == told["source"]["size"] - (folder / "small").stat().st_size > 99_000
    assert told["result"]["path"] == "small"
    assert told["result"]["platforms"] == ["linux/arm64"]
    assert any("loaded bytes are the same" in proof for proof in told["proofs"])
    ran = run(folder, "repack", "small", "--output", "smaller", env=NO_UPX)
    assert ran.code == 1
    assert "error[SB419]" in ran.out
    assert "nothing was written" in ran.out
    assert "--output writes it" not in ran.out
    assert not (folder / "smaller").exists()


def test_exit_codes(folder: Path) -> None:
    (folder / "there").write_text("mine")
    for code, line, found in (
        (5, "repack tool -o there", "error[SB418]"),
        (0, "repack tool -o there --force", "written to there"),
        (1, "repack packed", "error[SB403]"),
        (1, "repack packed -o out", "error[SB416]"),
        (1, "repack tool --pack", "error[SB416]"),
        (1, "repack absent", "error[SB408]"),
        (1, "repack .", "error[SB415]"),
        (2, "repack", "FILE"),
    ):
        ran = run(folder, *line.split(), env=NO_UPX)
        assert ran.code == code, line
        assert found in ran.out + ran.err, line


def test_a_program_that_cannot_be_proven_is_exit_9(folder: Path) -> None:
    tools = folder / "bin"
    tools.mkdir()
    (tools / "upx").write_text(
        '#!/bin/sh\ncase $1 in --version) echo upx 4.2.4;; -d) echo no >"$4";; *) cp "$4" "$3";; esac\n'
    )
    (tools / "upx").chmod(0o755)
    ran = run(folder, "repack", "tool", "--pack", "-o", "out", env={"PATH": f"{tools}:/usr/bin:/bin"})
    assert ran.code == 9
    assert "error[SB417]" in ran.out
    assert not (folder / "out").exists()


def test_an_output_without_a_name_is_no_trial(folder: Path) -> None:
    """`--output "$OUT"` with OUT unset: success without a file would be a lie."""
    ran = run(folder, "repack", "tool", "--output", "", env=NO_UPX)
    assert ran.code == 2
    assert "it is empty" in ran.err
