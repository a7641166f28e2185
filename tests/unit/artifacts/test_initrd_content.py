"""What an initrd unpacks to, and for which processor its programs are."""

from __future__ import annotations

import struct

import pytest
from boot_kit import METHODS, cpio
from hypothesis import given, settings
from hypothesis import strategies as st

from sealboot.artifacts.findings import Finding
from sealboot.artifacts.initrd_content import Content, unpack
from sealboot.artifacts.reader import Memory
from sealboot.model.arch import Arch


def elf(machine: int) -> bytes:
    return (b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 2, machine)).ljust(
        120, b"\0"
    ) + b"x" * 5000


TALOS = [("extensions.yaml", b"layers: []\n"), ("init", elf(0xB7)), ("rootfs.sqsh", b"hsqs" * 90_000)]


@pytest.mark.parametrize("method", METHODS)
def test_compressed_as_linux_takes_it(method: str) -> None:
    archive = cpio(TALOS)
    assert unpack(Memory(METHODS[method](archive))) == Content(len(archive), Arch.ARM64)


def test_not_compressed_at_all() -> None:
    archive = cpio([("a", b"1"), ("b", elf(0x3E)), ("c", elf(0xB7))])
    assert unpack(Memory(archive)) == Content(len(archive), Arch.AMD64)


def test_scripts_have_no_processor() -> None:
    archive = cpio([("init", b"#!/bin/sh\n"), ("bin/thing", b"\x7fELF but no header of one")])
    assert unpack(Memory(METHODS["gzip"](archive))) == Content(len(archive))


@pytest.mark.parametrize("method", ["gzip", "zstd22", "xzkern"])
def test_one_that_breaks_off(method: str) -> None:
    whole = METHODS[method](cpio([("init", elf(0xB7)), ("data", bytes(range(256)) * 4000)]))
    cut = unpack(Memory(whole[: len(whole) // 2]))
    assert isinstance(cut, Finding)
    assert "cannot be unpacked" in cut.what


def test_what_nobody_here_can_inflate_is_not_judged() -> None:
    assert unpack(Memory(b"\x89LZO" + bytes(100))) is None
    assert unpack(Memory(b"")) is None


@settings(max_examples=150)
@given(changes=st.dictionaries(st.integers(0, 399), st.integers(0, 255), max_size=8), cut=st.integers(0, 400))
def test_whatever_stands_in_an_archive_nothing_is_raised(changes: dict[int, int], cut: int) -> None:
    data = bytearray(cpio([("a", b"1"), ("init", elf(0xB7))])[:400])
    for place, value in changes.items():
        data[place] = value
    found = unpack(Memory(METHODS["gzip"](bytes(data[:cut]))))
    assert isinstance(found, Content)
    assert found.size == cut
