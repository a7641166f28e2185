from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from elf_corpus import put, samples, static
from fit_kit import artifact_of

from sealboot.artifacts import inspect
from sealboot.artifacts.reader import Reader
from sealboot.lab import tinyelf
from sealboot.model.arch import Arch
from sealboot.model.artifact import Kind, Other
from sealboot.model.diagnostic import Severity

BY_NAME = {sample.name: sample.bytes for sample in samples()}


def codes(path: Path) -> list[str]:
    return [d.code for d in inspect(path).diagnostics]


@pytest.mark.parametrize("arch", tinyelf.supported())
def test_a_sound_program(arch: Arch, tmp_path: Path) -> None:
    data = static(arch, "x")
    found = artifact_of(tmp_path, f"bin/tool-{arch}", data)
    assert (found.path, found.kind, found.size) == (f"bin/tool-{arch}", Kind.ELF, len(data))
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    assert (found.platforms, found.named_arch, found.diagnostics) == ((f"linux/{arch}",), arch, ())


def test_a_name_that_lies(tmp_path: Path) -> None:
    found = artifact_of(tmp_path, "k3s-arm64", static(Arch.AMD64, "x"))
    (lie,) = found.diagnostics
    assert (lie.code, lie.severity, lie.artifact) == ("SB111", Severity.WARNING, "k3s-arm64")
    assert lie.summary == "k3s-arm64 is x86-64, despite its name"
    assert dict(lie.evidence) == {"name": "arm64 (aarch64)", "bytes": "amd64 (x86-64)"}


def test_a_machine_without_a_name_lies_too(tmp_path: Path) -> None:
    found = artifact_of(tmp_path, "k3s-arm64", put(static(Arch.AMD64, "x"), 18, b"\x7a\x7a"))
    assert [d.code for d in found.diagnostics] == ["SB111"]
    assert found.diagnostics[0].summary == "k3s-arm64 is machine 31354, despite its name"


def test_damage_has_its_offset(tmp_path: Path) -> None:
    found = artifact_of(tmp_path, "tool", BY_NAME["cut-code-amd64"])
    (damage,) = found.diagnostics
    assert (damage.code, damage.severity) == ("SB401", Severity.ERROR)
    assert dict(damage.evidence)["offset"] == "132"


def test_packed_with_upx(tmp_path: Path) -> None:
    """UPX leaves three program headers and writes `UPX!` four bytes behind them (at 236, 152 on 32-bit)."""
    for arch, at, table in ((Arch.AMD64, 236, 232), (Arch.I386, 152, 148)):
        start = tinyelf.headers_size(arch, 3)
        assert start == table
        code = b"\0\0\0\0UPX!" + bytes(24) + tinyelf.program(arch, tinyelf.BASE + start + 32, b"x", 0)
        load = tinyelf.program_header(
            arch, kind=1, flags=5, offset=0, address=tinyelf.BASE, size=start + len(code), align=4096
        )
        null = tinyelf.program_header(arch, kind=0, flags=0, offset=0, address=0, size=0, align=0)
        header = tinyelf.elf_header(arch, entry=tinyelf.BASE + start + 32, segments=3)
        data = header + load + null + null + code
        assert data[at : at + 4] == b"UPX!"
        (note,) = artifact_of(tmp_path, "tool", data).diagnostics
        assert (note.code, note.severity) == ("SB402", Severity.NOTE)
        assert "packer" not in dict(note.evidence)


@pytest.mark.parametrize(
    ("arch", "version", "severity"),
    [
        (Arch.ARM64, b"4.22", Severity.WARNING),
        (Arch.ARM, b"4.22", Severity.WARNING),
        (Arch.ARM64, b"4.24", Severity.NOTE),
        (Arch.AMD64, b"4.22", Severity.NOTE),
    ],
)
def test_a_packer_that_breaks_some_programs(
    arch: Arch, version: bytes, severity: Severity, tmp_path: Path
) -> None:
    """UPX 4.2.2 leaves a register that glibc's start code on ARM calls at the end; it writes its version."""
    ident = b"$Id: UPX " + version + b" Copyright (C)"
    code = b"\0\0\0\0UPX!" + bytes(24) + tinyelf.program(arch, tinyelf.BASE, b"x", 0) + ident
    start = tinyelf.headers_size(arch, 1)
    load = tinyelf.program_header(
        arch, kind=1, flags=5, offset=0, address=tinyelf.BASE, size=start + len(code), align=4096
    )
    header = tinyelf.elf_header(arch, entry=tinyelf.BASE + start + 32, segments=1)
    (found,) = artifact_of(tmp_path, "tool", header + load + code).diagnostics
    assert (found.code, found.severity) == ("SB402", severity)
    assert dict(found.evidence)["packer"] == f"UPX {version.decode()}"
    assert any("static glibc" in note for note in found.notes) == (severity is Severity.WARNING)


def test_a_script_names_its_interpreter(tmp_path: Path) -> None:
    found = artifact_of(tmp_path, "run.sh", b"#!/bin/bash -e\necho\n")
    assert found.kind is Kind.SCRIPT
    assert found.layers == (Other("script", {"interpreter": "/bin/bash"}),)


def test_things_that_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo-arm64")
    (tmp_path / "empty").touch()
    (tmp_path / "loop").symlink_to("loop")
    assert inspect(tmp_path).kind is Kind.DIRECTORY
    fifo = inspect(tmp_path / "fifo-arm64", "fifo-arm64")
    assert (fifo.kind, fifo.layers, fifo.named_arch) == (Kind.SPECIAL, (Other("a FIFO"),), Arch.ARM64)
    assert inspect(tmp_path / "empty").kind is Kind.EMPTY
    assert inspect(tmp_path / "empty").sha256 == hashlib.sha256(b"").hexdigest()
    assert codes(tmp_path / "loop") == ["SB408"]
    missing = inspect(tmp_path / "absent")
    assert (missing.kind, missing.sha256) == (Kind.MISSING, "")
    assert missing.diagnostics[0].summary.endswith("absent cannot be read: no such file or directory")


def test_too_large(tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(1 << 42)
    assert codes(tmp_path / "huge") == ["SB409"]


def test_a_medium_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"x")

    def fail(_self: Reader, _offset: int, _length: int) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Reader, "at", fail)
    found = inspect(tmp_path / "file", "file")
    assert [(d.code, d.summary) for d in found.diagnostics] == [
        ("SB408", "file cannot be read: input/output error")
    ]


def test_a_file_that_changes_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x")
    digest = Reader.sha256

    def growing(reader: Reader) -> str:
        with path.open("ab") as file:
            file.write(b"more")
        return digest(reader)

    monkeypatch.setattr(Reader, "sha256", growing)
    assert codes(path) == ["SB408"]
