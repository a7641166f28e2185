"""Kernels of every boot format, zboot wrappers and initrds: told by their bytes, unwrapped within bounds."""

from __future__ import annotations

import bz2
import gzip
import lzma
import subprocess
from pathlib import Path

import pytest
from boot_kit import (
    MACHINES,
    METHODS,
    arm64_image,
    bzimage,
    cpio,
    pe,
    riscv_image,
    s390_image,
    zboot,
    zimage,
)
from elf_corpus import static
from fit_kit import artifact_of
from requires import requires

from sealboot.artifacts.findings import Finding
from sealboot.artifacts.initrd import identify_initrd
from sealboot.artifacts.kernel import identify
from sealboot.artifacts.reader import Memory
from sealboot.artifacts.streams import peek
from sealboot.artifacts.zboot import read_zboot, unwrap
from sealboot.artifacts.zstd import zstd
from sealboot.model.arch import Arch
from sealboot.model.artifact import Initrd, Kernel, Kind
from sealboot.model.diagnostic import Severity


def kernel_of(data: bytes) -> Kernel:
    found = identify(Memory(data))
    assert found is not None
    assert not found.findings
    return found.kernel


def test_bzimage() -> None:
    assert kernel_of(bzimage()) == Kernel(
        "bzImage",
        Arch.AMD64,
        version="6.6.1-test",
        relocatable=True,
        compression="zstd",
        protocol="2.15",
        memory=1 << 24,
    )
    assert kernel_of(bzimage(wide=False)).arch is Arch.I386
    old = identify(Memory(bzimage(protocol=0x0204)), Arch.I386)
    assert old is not None
    assert (old.kernel.arch, old.kernel.relocatable, old.kernel.memory) == (Arch.I386, None, None)


def test_a_bzimage_cut_inside_its_payload() -> None:
    found = identify(Memory(bzimage()[:-1]))
    assert found is not None
    assert found.findings[0].what.startswith("truncated")


@pytest.mark.parametrize(("code", "size"), [(0, None), (1, 4096), (2, 16384), (3, 65536)])
def test_arm64_image_and_its_page_size(code: int, size: int | None) -> None:
    found = kernel_of(arm64_image(code))
    assert (found.format, found.arch, found.page_size, found.endian) == ("Image", Arch.ARM64, size, "little")
    assert (found.version, found.memory) == ("6.6.1-test", 1 << 20)


def test_other_formats() -> None:
    assert kernel_of(arm64_image(big=True)).endian == "big"
    assert kernel_of(riscv_image()).arch is Arch.RISCV64
    assert [kernel_of(zimage(big=big)).endian for big in (False, True)] == ["little", "big"]
    assert kernel_of(s390_image()).arch is Arch.S390X
    cut = identify(Memory(zimage()[:-1]))
    assert cut is not None
    assert cut.findings[0].what.startswith("truncated")
    loong = identify(Memory(arm64_image()[:56] + b"\xcd\x23\x82\x81" + bytes(64)), Arch.LOONG64)
    assert loong is not None
    assert loong.kernel.arch is Arch.LOONG64


def test_a_text_with_the_magic_in_the_right_place_is_no_kernel() -> None:
    assert identify(Memory(b"the quick brown fox jumps over the lazy dog and so on an ARMd man")) is None


def test_a_kernel_compressed_as_a_whole(tmp_path: Path) -> None:
    found = artifact_of(tmp_path, "Image.gz", gzip.compress(arm64_image(2)))
    assert found.kind is Kind.KERNEL
    assert found.kernel is not None
    assert (found.kernel.format, found.kernel.compression, found.kernel.page_size) == ("Image", "gzip", 16384)
    assert found.platforms == ("linux/arm64",)


def test_a_static_program_is_no_kernel(tmp_path: Path) -> None:
    found = artifact_of(tmp_path, "big", static(Arch.PPC64LE, "x") + bytes(2 << 20))
    assert found.kind is Kind.ELF


@pytest.mark.parametrize("method", METHODS)
def test_zboot_is_unwrapped(method: str, tmp_path: Path) -> None:
    image = arm64_image(3, size=3 << 20)
    data = zboot(image, method=method)
    found = artifact_of(tmp_path, "vmlinuz", data)
    assert (found.kind, found.diagnostics) == (Kind.KERNEL, ())
    outer, inner = (layer for layer in found.layers if isinstance(layer, Kernel))
    assert (outer.format, outer.arch) == ("zboot", Arch.ARM64)
    assert outer.compression == method.removesuffix("kern").removesuffix("22")
    assert (inner.format, inner.page_size) == ("Image", 65536)
    header = read_zboot(Memory(data))
    assert header is not None
    content = unwrap(header)
    assert not isinstance(content, Finding)
    assert b"".join(content) == image


def test_zboot_with_a_kernel_of_another_machine(tmp_path: Path) -> None:
    found = artifact_of(tmp_path, "vmlinuz", zboot(arm64_image(), MACHINES["riscv64"]))
    assert [(d.code, d.severity) for d in found.diagnostics] == [("SB405", Severity.ERROR)]
    assert "riscv64, but the kernel in it is aarch64" in found.diagnostics[0].summary


def test_zboot_with_no_kernel_in_it(tmp_path: Path) -> None:
    found = artifact_of(tmp_path, "vmlinuz", zboot(b"hello" * 100))
    assert [d.code for d in found.diagnostics] == ["SB405"]


def test_zboot_that_lies_about_its_compression(tmp_path: Path) -> None:
    found = artifact_of(tmp_path, "vmlinuz", zboot(arm64_image(), claimed="zstd22"))
    assert found.diagnostics[0].summary == "vmlinuz: the kernel in it is not zstd data, as its header says"


def test_damaged_zboot_never_gives_half_a_kernel() -> None:
    data = bytearray(zboot(arm64_image(size=2 << 20), method="zstd22"))
    at = data.index(b"\x28\xb5\x2f\xfd")
    header = read_zboot(Memory(bytes(data[: at + 64])))
    assert header is not None
    assert isinstance(unwrap(header), Finding)
    length = int.from_bytes(data[12:16], "little")
    data[at + length - 40 : at + length] = b"\xff" * 40
    header = read_zboot(Memory(bytes(data)))
    assert header is not None
    assert isinstance(unwrap(header), Finding)
    for offset, part in ((at, b"\x02\x21\x4c\x18"), (at, b"none")):
        data[offset : offset + 4] = part
        header = read_zboot(Memory(bytes(data)))
        assert header is not None
        refused = unwrap(header)
        assert isinstance(refused, Finding)
        assert "cannot be unwrapped" in refused.what


ARCHIVE = cpio([("bin", b""), ("init", b"#!/bin/sh\n" * 100)])
EARLY = cpio([("kernel", b""), ("kernel/x86/microcode/GenuineIntel.bin", b"u" * 5000)]) + bytes(300)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (ARCHIVE, Initrd(("cpio",))),
        (gzip.compress(ARCHIVE), Initrd(("gzip",))),
        (zstd.compress(ARCHIVE), Initrd(("zstd",))),
        (lzma.compress(ARCHIVE), Initrd(("xz",))),
        (lzma.compress(ARCHIVE, lzma.FORMAT_ALONE), Initrd(("lzma",))),
        (bz2.compress(ARCHIVE), Initrd(("bzip2",))),
        (EARLY + gzip.compress(ARCHIVE), Initrd(("cpio", "gzip"), microcode=True)),
        (EARLY + b"\x02\x21\x4c\x18" + bytes(64), Initrd(("cpio", "lz4"), microcode=True)),
        (EARLY + ARCHIVE + bytes(512), Initrd(("cpio", "cpio"), microcode=True)),
    ],
    ids=lambda value: "+".join(value.parts) if isinstance(value, Initrd) else None,
)
def test_initrd(data: bytes, expected: Initrd, tmp_path: Path) -> None:
    found = artifact_of(tmp_path, "initramfs.xz", data)
    assert (found.kind, found.layers) == (Kind.INITRD, (expected,))


def test_compressed_data_that_is_no_initrd(tmp_path: Path) -> None:
    data = gzip.compress(b"a tar archive, say" * 100)
    assert artifact_of(tmp_path, "x.gz", data).kind is Kind.GZIP
    assert identify_initrd(Memory(data)) is None
    assert identify_initrd(Memory(data), expected=True) == Initrd(("gzip",))
    assert identify_initrd(Memory(b"\x02\x21\x4c\x18" + bytes(64))) is None


def lz4(*blocks: bytes) -> bytes:
    """Linux's lz4: the legacy mark, then each block behind its size."""
    return b"\x02\x21\x4c\x18" + b"".join(len(block).to_bytes(4, "little") + block for block in blocks)


def test_lz4_is_looked_into(tmp_path: Path) -> None:
    """Literals of more than 15 bytes, a copy that overlaps itself, literals again: by the block format."""
    packed = b"\xff\x02" + b"070701" + b"0123456789" + b"0" + b"\x01\0" + b"\xff\x0a" + b"\x30end"
    content = b"0707010123456789" + b"0" * (1 + 15 + 255 + 10 + 4) + b"end"
    assert peek("lz4", [lz4(packed)], 1000) == content
    assert peek("lz4", [lz4(packed)], 20) == content[:20]
    found = artifact_of(tmp_path, "initrd.img", lz4(packed))
    assert (found.kind, found.layers) == (Kind.INITRD, (Initrd(("lz4",)),))
    assert artifact_of(tmp_path, "x", lz4(b"\x50hello")).kind is Kind.LZ4
    for broken in (b"", b"\xff", b"\x10a\x09\0\x0f\xff", b"\xf0" + b"\xff" * 70000):
        peek("lz4", [lz4(broken)], 1000)


def test_lz4s_own_output(tmp_path: Path) -> None:
    requires("lz4")
    done = subprocess.run(["lz4", "-l", "-9", "-c"], input=ARCHIVE * 50, capture_output=True, check=True)
    assert artifact_of(tmp_path, "initrd.img", done.stdout).layers == (Initrd(("lz4",)),)
    kernel = arm64_image(2)
    done = subprocess.run(["lz4", "-l", "-c"], input=kernel, capture_output=True, check=True)
    assert peek("lz4", [done.stdout], len(kernel)) == kernel
    found = artifact_of(tmp_path, "Image.lz4", done.stdout)
    assert found.kernel is not None
    assert (found.kernel.page_size, found.kernel.compression) == (16384, "lz4")


def test_a_pe_program_is_no_kernel(tmp_path: Path) -> None:
    assert artifact_of(tmp_path, "grub.efi", pe(0x8664, [(".text", bytes(64))])).kind is Kind.PE
