"""PE headers and unified kernel images, built by the kit: facts, sections cut right, everything that can be wrong."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from boot_kit import (
    MACHINES,
    OS_RELEASE,
    add_sections,
    arm64_image,
    bzimage,
    cpio,
    pe,
    sign,
    uki,
    zboot,
)
from fit_kit import artifact_of

from sealboot.artifacts.findings import Finding
from sealboot.artifacts.pe import MAX_SECTIONS, parse_pe
from sealboot.artifacts.reader import Memory
from sealboot.artifacts.uki import MAX_TEXT, extract
from sealboot.model.arch import Arch
from sealboot.model.artifact import Artifact, Initrd, Kernel, Kind, Layer, Pe, Uki
from sealboot.model.diagnostic import Severity


def layer_of(found: Artifact, kind: type[Layer]) -> Layer:
    (layer,) = [layer for layer in found.layers if isinstance(layer, kind)]
    return layer


def codes(found: Artifact) -> list[tuple[str, Severity]]:
    return [(d.code, d.severity) for d in found.diagnostics]


def taken(data: bytes, name: str, profile: int = 0, *, unwrapped: bool = False) -> bytes:
    content = extract(Memory(data), name, profile=profile, unwrapped=unwrapped)
    assert not isinstance(content, Finding), content
    return b"".join(content)


def refused(data: bytes, name: str, profile: int = 0, *, unwrapped: bool = False) -> Finding:
    content = extract(Memory(data), name, profile=profile, unwrapped=unwrapped)
    assert isinstance(content, Finding)
    return content


@pytest.mark.parametrize(("name", "machine"), MACHINES.items())
def test_the_machine_of_a_pe_image(name: str, machine: int, tmp_path: Path) -> None:
    found = artifact_of(tmp_path, "image.efi", pe(machine, [(".text", b"x" * 700)], plus=machine > 0x1C4))
    header = layer_of(found, Pe)
    assert isinstance(header, Pe)
    assert found.kind is Kind.PE
    assert (header.arch, header.bits) == (Arch(name), 64 if machine > 0x1C4 else 32)
    assert (header.subsystem, header.signed) == (10, False)
    assert [(s.name, s.virtual_size, s.raw_size, s.length) for s in header.sections] == [
        (".text", 700, 1024, 700)
    ]
    assert found.platforms == (), "it may be a program for Windows"
    assert not found.diagnostics


def test_an_unknown_machine_has_no_architecture() -> None:
    parsed = parse_pe(Memory(pe(0x1F0)))
    assert parsed.pe is not None
    assert parsed.pe.arch is None


def test_a_signature_is_told_and_a_broken_one_is_not_believed() -> None:
    for plus in (True, False):
        signed = sign(pe(0x14C, [(".text", b"x")], plus=plus))
        parsed = parse_pe(Memory(signed))
        assert parsed.pe is not None
        assert parsed.pe.signed
        cut = parse_pe(Memory(signed[:-1]))
        assert cut.pe is not None
        assert not cut.pe.signed
        assert "its signature at" in cut.findings[0].what
    zeros = bytearray(sign(pe()))
    zeros[-64:] = bytes(64)
    parsed = parse_pe(Memory(bytes(zeros)))
    assert parsed.pe is not None
    assert not parsed.pe.signed
    assert [(f.what, f.fatal) for f in parsed.findings] == [
        ("the certificate table holds no signature", False)
    ]


def test_mz_without_a_pe_header_is_damaged(tmp_path: Path) -> None:
    found = artifact_of(tmp_path, "x.efi", b"MZ" + bytes(200))
    assert (found.kind, found.layers) == (Kind.PE, ())
    assert codes(found) == [("SB401", Severity.ERROR)]


def test_more_sections_than_are_ever_loaded() -> None:
    data = bytearray(pe(parts=[(".text", b"x")]))
    struct.pack_into("<H", data, 0x86, 65535)
    parsed = parse_pe(Memory(bytes(data) + bytes(8192)))
    assert parsed.pe is not None
    assert len(parsed.pe.sections) == MAX_SECTIONS
    assert "65535 sections" in parsed.findings[0].what


def test_the_facts_of_a_uki(tmp_path: Path) -> None:
    found = artifact_of(tmp_path, "metal-arm64-uki.efi", uki())
    assert (found.kind, found.platforms, found.diagnostics) == (Kind.UKI, ("linux/arm64",), ())
    made = layer_of(found, Uki)
    assert isinstance(made, Uki)
    assert made.stub == "systemd-stub 257.1"
    assert made.os_release["ID"] == "talos"
    assert made.os_release["PRETTY_NAME"] == "Talos (v1.14.0)"
    assert (made.uname, made.cmdline) == ("6.6.1-test", "console=ttyAMA0 talos.platform=metal")
    assert (made.profiles, made.measured, made.addon) == ((), False, False)
    assert layer_of(found, Initrd) == Initrd(("zstd",))
    assert found.kernel is not None
    assert (found.kernel.format, found.kernel.page_size) == ("Image", 4096)
    assert found.elf is None


def test_sections_come_out_byte_for_byte() -> None:
    """Raw data is padded to 512 bytes; a content that ends in zeros keeps them."""
    kernel = bzimage(pad=4001) + b"\0\0\0"
    initrd = cpio([("init", b"x" * 1000)]) + b"\0"
    data = uki(0x8664, kernel, initrd)
    assert taken(data, ".linux") == kernel
    assert taken(data, ".initrd") == initrd
    assert taken(data, ".osrel") == OS_RELEASE
    assert refused(data, ".dtb").what == "no section .dtb"
    assert refused(b"no pe", ".linux").code == "SB401"


def test_profiles_override_the_base_and_are_never_merged(tmp_path: Path) -> None:
    more = [
        (".profile", b"ID=main\nTITLE=Talos\n"),
        (".profile", b"ID=reset\nTITLE='Reset it'\n"),
        (".cmdline", b"talos.experimental.wipe=system"),
        (".pcrsig", b"{}"),
    ]
    data = uki(more=more)
    made = layer_of(artifact_of(tmp_path, "x.efi", data), Uki)
    assert isinstance(made, Uki)
    assert [(p.id, p.title, p.sections, p.cmdline) for p in made.profiles] == [
        ("main", "Talos", (), None),
        ("reset", "Reset it", (".cmdline", ".pcrsig"), "talos.experimental.wipe=system"),
    ]
    assert made.cmdline.endswith("talos.platform=metal")
    assert made.measured
    assert taken(data, ".cmdline") == b"console=ttyAMA0 talos.platform=metal"
    assert taken(data, ".cmdline", 1) == b"talos.experimental.wipe=system"
    assert taken(data, ".linux", 1) == taken(data, ".linux")
    assert refused(data, ".linux", 2).what == "no profile 2: there are 2"


@pytest.mark.parametrize("outer", ["amd64", "riscv64", "386"])
def test_inner_kernel_and_outer_machine_disagree(outer: str, tmp_path: Path) -> None:
    kernel = pe(MACHINES["arm64"], [(".text", bytes(64))], head=arm64_image()[:64])
    found = artifact_of(tmp_path, "x.efi", uki(MACHINES[outer], kernel))
    assert codes(found) == [("SB405", Severity.ERROR)]
    assert "but the kernel in it is aarch64" in found.diagnostics[0].summary


def test_a_zboot_kernel_of_another_machine_in_a_uki(tmp_path: Path) -> None:
    found = artifact_of(tmp_path, "x.efi", uki(MACHINES["amd64"], zboot(arm64_image())))
    assert codes(found) == [("SB405", Severity.ERROR)]
    assert "x86-64, but the kernel in it is aarch64" in found.diagnostics[0].summary


def test_zboot_in_a_uki_is_unwrapped_on_request() -> None:
    image = arm64_image()
    wrapped = zboot(image, method="zstd22")
    data = uki(kernel=wrapped)
    assert taken(data, ".linux") == wrapped
    assert taken(data, ".linux", unwrapped=True) == image
    plain = uki(kernel=image)
    assert taken(plain, ".linux", unwrapped=True) == image


@pytest.mark.parametrize(
    ("kernel", "initrd", "wrong"),
    [
        (b"not a kernel at all", None, (".linux holds no kernel", Severity.ERROR)),
        (bytes(4096), None, (".linux holds no kernel", Severity.ERROR)),
        (None, b"not an initrd", (".initrd holds no initrd", Severity.WARNING)),
    ],
)
def test_parts_that_are_not_what_they_should_be(
    kernel: bytes | None, initrd: bytes | None, wrong: tuple[str, Severity], tmp_path: Path
) -> None:
    found = artifact_of(tmp_path, "x.efi", uki(0xAA64, kernel, initrd))
    assert [(d.summary.removeprefix("x.efi: "), d.severity) for d in found.diagnostics] == [wrong]


def test_a_uki_without_a_kernel(tmp_path: Path) -> None:
    data = add_sections(pe(0xAA64, [(".text", b"x")]), [(".osrel", OS_RELEASE), (".initrd", cpio([]))])
    found = artifact_of(tmp_path, "x.efi", data)
    assert found.kind is Kind.UKI
    assert found.diagnostics[0].summary == "x.efi: no section .linux: there is no kernel to boot"
    assert codes(found) == [("SB405", Severity.ERROR)]


def test_a_boot_manager_is_no_uki(tmp_path: Path) -> None:
    """systemd-boot says which release it is of (`.osrel`) and carries nothing to boot."""
    data = add_sections(
        pe(0xAA64), [(".sdmagic", b"#### LoaderInfo: systemd-boot 252 ####"), (".osrel", OS_RELEASE)]
    )
    found = artifact_of(tmp_path, "systemd-bootaa64.efi", data)
    assert (found.kind, found.diagnostics) == (Kind.PE, ())


def test_an_addon_is_no_uki_and_not_damaged(tmp_path: Path) -> None:
    found = artifact_of(tmp_path, "x.addon.efi", add_sections(pe(0xAA64), [(".cmdline", b"quiet")]))
    made = layer_of(found, Uki)
    assert isinstance(made, Uki)
    assert (found.kind, made.addon, made.cmdline, found.diagnostics) == (Kind.PE, True, "quiet", ())


def test_another_uname_than_the_kernels(tmp_path: Path) -> None:
    data = uki(0x8664, bzimage()).replace(b"6.6.1-test\0\0\0\0", b"6.6.2-test\0\0\0\0")
    found = artifact_of(tmp_path, "x.efi", data)
    assert codes(found) == [("SB405", Severity.WARNING)]
    assert found.diagnostics[0].summary == "x.efi: .uname says 6.6.2-test, the kernel 6.6.1-test"


def test_sections_that_overlap_in_memory(tmp_path: Path) -> None:
    data = bytearray(uki())
    table = 0x80 + 24 + struct.unpack_from("<H", data, 0x94)[0]
    names = [bytes(data[table + 40 * n :][:8]).rstrip(b"\0") for n in range(7)]
    linux, initrd = (table + 40 * names.index(name) for name in (b".linux", b".initrd"))
    data[initrd + 12 : initrd + 16] = data[linux + 12 : linux + 16]
    found = artifact_of(tmp_path, "x.efi", bytes(data))
    assert codes(found) == [("SB405", Severity.ERROR)]
    assert "overlap in memory" in found.diagnostics[0].summary


def test_a_section_that_is_longer_in_memory_than_in_the_file(tmp_path: Path) -> None:
    data = bytearray(uki())
    table = 0x80 + 24 + struct.unpack_from("<H", data, 0x94)[0]
    initrd = next(table + 40 * n for n in range(7) if bytes(data[table + 40 * n :][:7]) == b".initrd")
    struct.pack_into("<I", data, initrd + 8, 4096)
    found = artifact_of(tmp_path, "x.efi", bytes(data))
    assert codes(found) == [("SB405", Severity.WARNING)]
    assert ".initrd has 4096 bytes in memory, but 512 in the file" in found.diagnostics[0].summary
    assert len(taken(bytes(data), ".initrd")) == 512


def test_a_uki_cut_anywhere_behind_its_headers_is_damaged(tmp_path: Path) -> None:
    data = uki()
    for end in range(4096, len(data) - 512, 512):
        found = artifact_of(tmp_path, "x.efi", data[:end])
        assert found.kind is Kind.UKI
        assert ("SB401", Severity.ERROR) in codes(found), end
    assert refused(data[:-1024], ".initrd").what.startswith("truncated")


def test_long_texts_are_cut(tmp_path: Path) -> None:
    stub = pe(0xAA64, [(".linux", arm64_image()), (".cmdline", b"x" * (MAX_TEXT + 1))])
    found = artifact_of(tmp_path, "x.efi", stub)
    made = layer_of(found, Uki)
    assert isinstance(made, Uki)
    assert len(made.cmdline) == MAX_TEXT
    assert codes(found) == [("SB405", Severity.WARNING)]


def test_a_name_that_lies_about_a_kernel(tmp_path: Path) -> None:
    found = artifact_of(tmp_path, "vmlinuz-amd64", arm64_image())
    assert codes(found) == [("SB111", Severity.WARNING)]
    assert isinstance(found.layers[0], Kernel)


@pytest.mark.parametrize(
    ("at", "value", "words"), [(68, 3, "subsystem 3"), (0, 0x10B, "PE32")], ids=["subsystem", "magic"]
)
def test_a_stub_that_no_firmware_starts(at: int, value: int, words: str, tmp_path: Path) -> None:
    image = bytearray(uki())
    struct.pack_into("<H", image, 0x80 + 24 + at, value)
    found = artifact_of(tmp_path, "image.efi", bytes(image))
    assert ("SB405", Severity.WARNING) in codes(found)
    assert any(words in d.summary for d in found.diagnostics)
