"""`sealboot inspect --brief`: a line for each file, by its first bytes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from cli_kit import quick as run
from elf_corpus import put, static
from jsonschema import Draft202012Validator

from sealboot.artifacts import inspect
from sealboot.artifacts.brief import brief
from sealboot.model.arch import Arch
from sealboot.model.artifact import Kind

SCHEMAS = Path(__file__).parents[3] / "schemas"
REPORT = Draft202012Validator(json.loads((SCHEMAS / "report.schema.json").read_text()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "bin").mkdir()
    for name, arch in (("tool-amd64", Arch.AMD64), ("tool-arm", Arch.ARM), ("tool-s390x", Arch.S390X)):
        (tmp_path / "bin" / name).write_bytes(static(arch, "x"))
    (tmp_path / "bin" / "script").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "empty").write_text("")
    os.mkfifo(tmp_path / "bin" / "fifo")
    (tmp_path / "bin" / "link").symlink_to("tool-arm")
    return tmp_path


def test_a_line_for_each_file(folder: Path) -> None:
    ran = run(folder, "inspect", "--brief", "bin")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        "bin/empty       empty",
        "bin/fifo        special  a FIFO",
        "bin/link        elf  32-bit little-endian  arm",
        "bin/script      script",
        "bin/tool-amd64  elf  64-bit little-endian  x86-64",
        "bin/tool-arm    elf  32-bit little-endian  arm",
        "bin/tool-s390x  elf  64-bit big-endian  s390x",
    ]


def test_the_same_as_json(folder: Path) -> None:
    ran = run(folder, "inspect", "--brief", "bin/tool-s390x", "bin/fifo", "--format", "json")
    REPORT.validate(ran.document)
    assert ran.document["rows"] == [
        {
            "path": "bin/tool-s390x",
            "kind": "elf",
            "class": "64",
            "order": "big",
            "machine": "s390x",
            "note": "",
        },
        {"path": "bin/fifo", "kind": "special", "class": "", "order": "", "machine": "", "note": "a FIFO"},
    ]


def test_what_cannot_be_read_is_a_finding(folder: Path) -> None:
    ran = run(folder, "inspect", "--brief", "bin/script", "gone", "no*")
    assert ran.code == 1
    assert ran.out == "bin/script  script\ngone        missing  no such file or directory\n"
    assert ran.err == "no file matches no*\n"


@pytest.mark.parametrize("option", ["--deep", "--checksums=SUMS"])
def test_headers_are_all_that_is_read(folder: Path, option: str) -> None:
    ran = run(folder, "inspect", "--brief", option, "bin")
    assert (ran.code, ran.out) == (2, "")
    assert "--brief reads headers only" in ran.err


def test_names_do_nothing_to_a_terminal(folder: Path) -> None:
    (folder / "bin/\x1b[31mred\n\u202e").write_text("#!/bin/sh\n")
    ran = run(folder, "inspect", "--brief", "bin")
    assert r"bin/\x1b[31mred\x0a\u202e  script" in ran.out
    assert "\x1b" not in ran.out
    assert len(ran.out.splitlines()) == 8


def test_headers_that_lie_or_end(tmp_path: Path) -> None:
    """Cut anywhere and with any class and order, the short answer is the long one's."""
    whole = static(Arch.ARM64, "x")
    made = [whole[:length] for length in (4, 16, 20, 51, 52, 63, 64, 65)]
    made += [put(whole, at, bytes([value])) for at in (4, 5, 18, 19) for value in (0, 1, 2, 3, 255)]
    for data in made:
        path = tmp_path / "file"
        path.write_bytes(data)
        short, long = brief(path, "file"), inspect(path, "file")
        assert short.kind is Kind.ELF
        if long.elf is None:
            assert short.trouble, data[:20]
            assert any(short.trouble in d.summary for d in long.diagnostics), (short, long.diagnostics)
        else:
            told = (short.bits, short.endian, short.machine, short.arch)
            assert told == (long.elf.bits, long.elf.endian, long.elf.machine, long.elf.arch)
