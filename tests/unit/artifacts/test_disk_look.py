"""Disk images: what would boot from them, and what nobody can say."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from boot_kit import MACHINES, pe
from disk_kit import DATA, ESP, fat, gpt, mbr
from hypothesis import given, settings
from hypothesis import strategies as st

from sealboot.artifacts.disk_look import Looked, look
from sealboot.artifacts.reader import Memory
from sealboot.model.arch import Arch

AMD64, ARM64 = (pe(MACHINES[name], [(".text", b"x" * 3000)]) for name in ("amd64", "arm64"))
BITS = [12, 16, 32]


@pytest.mark.parametrize("bits", BITS)
def test_the_loaders_machine_is_read_from_its_header(bits: int) -> None:
    # The names lie: what counts is in the files.
    system = fat(bits, {"EFI/BOOT/BOOTX64.EFI": ARM64, "EFI/LINUX/TALOS.EFI": AMD64})
    image = gpt([(DATA, "BIOS", bytes(512)), (ESP, "EFI", system)], code=b"\xeb\x63")
    assert look(Memory(image)) == Looked("gpt", True, 2, (Arch.ARM64,), ("BIOS", "EFI"))


def test_an_image_for_both() -> None:
    image = gpt([(ESP, "EFI", fat(16, {"EFI/BOOT/BOOTX64.EFI": AMD64, "EFI/BOOT/BOOTAA64.EFI": ARM64}))])
    looked = look(Memory(image))
    assert looked is not None
    assert (looked.loaders, looked.bios) == ((Arch.AMD64, Arch.ARM64), False)


def test_sectors_of_four_kibibytes() -> None:
    image = gpt([(ESP, "EFI", fat(16, {"EFI/BOOT/BOOTAA64.EFI": ARM64}))], sector=4096)
    looked = look(Memory(image))
    assert looked is not None
    assert looked.loaders == (Arch.ARM64,)


def test_an_old_partition_table() -> None:
    image = mbr(0xEF, fat(16, {"EFI/BOOT/BOOTX64.EFI": AMD64}))
    assert look(Memory(image)) == Looked("mbr", True, 1, (Arch.AMD64,))
    assert look(Memory(mbr(0x83, bytes(4096)))) == Looked("mbr", True)


@pytest.mark.parametrize(
    "files",
    [{}, {"EFI/BOOT/BOOTX64.EFI": b"no program"}, {"EFI/LINUX/A.EFI": AMD64}, {"BOOT/BOOTX64.EFI": AMD64}],
)
def test_a_system_partition_without_loaders_says_nothing(files: dict[str, bytes]) -> None:
    looked = look(Memory(gpt([(ESP, "EFI", fat(16, files))])))
    assert looked is not None
    assert (looked.esp, looked.loaders) == (1, ())


@pytest.mark.parametrize(
    "data", [b"", bytes(512), bytes(1 << 20), b"\x28\xb5\x2f\xfd" * 1000, bytes(510) + b"\x55\xaa"]
)
def test_what_is_no_disk(data: bytes) -> None:
    assert look(Memory(data)) is None


def test_a_chain_that_bites_its_tail_ends() -> None:
    system = bytearray(fat(16, {"EFI/BOOT/BOOTX64.EFI": AMD64}))
    for at in range(512, 512 + 200, 2):
        system[at : at + 2] = b"\x03\x00"
    assert look(Memory(gpt([(ESP, "EFI", bytes(system))]))) is not None


_HEADERS = st.one_of(st.integers(446, 1535), st.integers(2048 * 512, 2048 * 512 + 2047))


@settings(max_examples=60, deadline=None)
@given(bits=st.sampled_from(BITS[:2]), changes=st.dictionaries(_HEADERS, st.integers(0, 255), max_size=16))
def test_whatever_is_flipped_nothing_is_raised(bits: int, changes: dict[int, int]) -> None:
    image = bytearray(gpt([(ESP, "EFI", fat(bits, {"EFI/BOOT/BOOTX64.EFI": AMD64}))], code=b"\xeb"))
    for place, value in changes.items():
        image[place] = value
    looked = look(Memory(bytes(image)))
    assert looked is None or looked.table in {"gpt", "mbr"}


@pytest.mark.requires("mkfs.vfat", "mmd", "mcopy")
@pytest.mark.parametrize("bits", BITS)
def test_against_the_tools_that_everybody_uses(bits: int, tmp_path: Path) -> None:
    disk = tmp_path / "esp"
    disk.write_bytes(bytes({12: 2, 16: 16, 32: 64}[bits] << 20))
    (tmp_path / "loader").write_bytes(ARM64)
    for command in (
        ["mkfs.vfat", "-F", str(bits), str(disk)],
        ["mmd", "-i", str(disk), "::EFI", "::EFI/BOOT"],
        ["mcopy", "-i", str(disk), str(tmp_path / "loader"), "::EFI/BOOT/BOOTAA64.EFI"],
    ):
        subprocess.run(command, check=True, capture_output=True)
    looked = look(Memory(gpt([(ESP, "EFI", disk.read_bytes())])))
    assert looked is not None
    assert looked.loaders == (Arch.ARM64,)
