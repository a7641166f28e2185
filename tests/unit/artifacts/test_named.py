"""What is no program has a name: pages, packages and programs of other systems."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealboot.artifacts import inspect
from sealboot.artifacts.named import name_format
from sealboot.artifacts.reader import Memory
from sealboot.model.artifact import Kind, Other
from sealboot.model.formats import Format

CASES = Path(__file__).parent / "named_cases"

EXPECTED = {
    "ar": Format.GO_PACKAGE,
    "bomscript": Format.BOM_SCRIPT,
    "deb": Format.DEB,
    "html": Format.HTML,
    "html-blank": Format.HTML,
    "json": Format.JSON,
    "lfs": Format.LFS,
    "macho-arm64": Format.MACHO,
    "macho-universal": Format.MACHO_UNIVERSAL,
    "notfound": Format.TEXT,
    "rpm": Format.RPM,
    "squashfs": Format.SQUASHFS,
    "utf16": Format.UTF16,
    "wasm": Format.WASM,
    "xml": Format.XML,
}


def name(data: bytes) -> str | None:
    found = name_format(Memory(data))
    return found.name if found else None


def test_files_that_had_no_name() -> None:
    found = {path.name: inspect(path, path.name) for path in CASES.iterdir()}
    assert {a.kind for a in found.values()} == {Kind.UNKNOWN}
    layers = {path: a.layers[0] for path, a in found.items()}
    assert {path: layer.name for path, layer in layers.items() if isinstance(layer, Other)} == EXPECTED


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"%PDF-1.7\n", Format.PDF),
        (b"7z\xbc\xaf\x27\x1c\0\4", Format.SEVEN_ZIP),
        (b"xar!\0\x1c", Format.XAR),
        (b"QFI\xfb\0\0\0\3", Format.QCOW2),
        (bytes(32769) + b"CD001\1", Format.ISO),
        (bytes(510) + b"\x55\xaa", Format.BOOT_SECTOR),
        (b"!<arch>\nlibx.o/         0", Format.AR),
        (struct.pack(">IHH", 0xCAFEBABE, 0, 65), Format.JAVA),
        (struct.pack(">II", 0xFEEDFACF, 0x0100000C), Format.MACHO),
        (b"\xef\xbb\xbf<html>", Format.HTML),
        (b"<Error><Code>NoSuchKey</Code></Error>", Format.XML),
        (b"[\n  {}]", Format.JSON),
        (b"{name: x}", Format.TEXT),
        ("größer\n".encode(), Format.TEXT),
        ("ä".encode() * 4096, Format.TEXT),  # the last character is cut where reading stops
        (b"caf\xe9\n", None),
        (b"\x01\x02\x03", None),
        (b"plain\0text", None),
    ],
)
def test_names(data: bytes, expected: Format | None) -> None:
    assert name(data) == expected


def test_what_a_file_says_of_itself() -> None:
    def facts(data: bytes) -> dict[str, str]:
        found = name_format(Memory(data))
        assert found is not None
        return dict(found.facts)

    two = struct.pack(">II5I5I", 0xCAFEBABE, 2, 0x01000007, 3, 0, 0, 0, 0x0100000C, 0, 0, 0, 0)
    assert facts(two) == {"arch": "amd64 arm64"}
    assert facts(struct.pack("<II", 0xFEEDFACF, 0x0100000C)) == {"arch": "arm64"}
    assert facts(b"\n\n Not Found \nmore") == {"text": "Not Found"}
    assert facts(b"x" * 4000) == {"text": "x" * 100}


@given(st.binary(max_size=600))
def test_no_bytes_break_it(data: bytes) -> None:
    name_format(Memory(data))
