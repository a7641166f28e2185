"""What boots is taken apart on the controller, matched by its kernel, and refused before anything is shipped."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from boot_kit import MACHINES, METHODS, arm64_image, bzimage, cpio, pe, uki, zboot
from disk_kit import ESP, fat, gpt
from fit_kit import facts_of

from sealboot.artifacts import inspect
from sealboot.artifacts.uki import extract
from sealboot.artifacts.zstd import zstd
from sealboot.drivers.base import Slot
from sealboot.model.arch import Arch
from sealboot.model.artifact import Artifact, Kind
from sealboot.model.bootfiles import boot_files_of, disk_image_of, file_of, machine_config_of
from sealboot.model.diagnostic import Severity
from sealboot.model.host import Host
from sealboot.plan.select import Selection, select
from sealboot.workflow.bootfiles import boot_cache, made_ready, on_controller

AMD64, ARM64 = Arch.AMD64, Arch.ARM64
BOOT = Slot("boot", kinds=(Kind.UKI, Kind.KERNEL), form="boot", boots=True)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def elf(machine: int) -> bytes:
    return (b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 2, machine)).ljust(200, b"\0")


INITRD = {
    a: METHODS["zstd22"](cpio([("init", elf(m)), ("rootfs.sqsh", b"hsqs" * 999)]))
    for a, m in ((AMD64, 0x3E), (ARM64, 0xB7))
}
PLAIN = arm64_image(size=70_000)
#: What Talos has been in for arm64 since 1.8: a kernel in zboot, in a UKI.
UKI = {
    ARM64: uki(0xAA64, zboot(PLAIN, method="zstd22"), INITRD[ARM64]),
    AMD64: uki(0x8664, bzimage(), INITRD[AMD64]),
}


def put(folder: Path, name: str, data: bytes) -> Artifact:
    (folder / name).write_bytes(data)
    return inspect(folder / name, name)


def ready(folder: Path, name: str, data: bytes, form: str = "boot") -> Artifact:
    (made,) = made_ready([put(folder, name, data)], form, folder)
    return made


def told(artifact: Artifact) -> list[str]:
    return [d.code for d in artifact.diagnostics if d.severity is Severity.ERROR]


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# -- UKIs and kernels


def test_kernel_and_initrd_come_out_of_a_uki_byte_for_byte(tmp_path: Path) -> None:
    made = boot_files_of(ready(tmp_path, "image.efi", UKI[ARM64]))
    assert made is not None
    assert made.kernel is not None
    assert made.initrd is not None
    assert Path(made.kernel.path).read_bytes() == PLAIN, "unwrapped: no old kexec knows zboot"
    assert Path(made.initrd.path).read_bytes() == INITRD[ARM64]
    assert (made.kernel.sha256, made.initrd.sha256) == (digest(PLAIN), digest(INITRD[ARM64]))
    assert (made.kernel.size, made.initrd.size, made.wrapped) == (len(PLAIN), len(INITRD[ARM64]), True)
    assert made.unpacked == len(cpio([("init", elf(0xB7)), ("rootfs.sqsh", b"hsqs" * 999)]))
    kept = [p for p in boot_cache().iterdir() if p.is_file()]
    assert {p.name for p in kept} == {f"{made.kernel.sha256}.boot", f"{made.initrd.sha256}.boot"}
    assert boot_cache().stat().st_mode & 0o077 == 0


def test_a_uki_with_a_plain_kernel(tmp_path: Path) -> None:
    made = boot_files_of(ready(tmp_path, "image.efi", UKI[AMD64]))
    assert made is not None
    assert made.kernel is not None
    assert (Path(made.kernel.path).read_bytes(), made.wrapped) == (bzimage(), False)


def test_profiles_do_not_change_what_is_loaded(tmp_path: Path) -> None:
    """The reset profile's command line behind `.profile` wipes the machine."""
    more = [
        (".profile", b"ID=main\n"),
        (".profile", b"ID=reset\n"),
        (".cmdline", b"talos.experimental.wipe=system"),
    ]
    plain, with_profiles = (ready(tmp_path, f"{n}.efi", uki(more=m)) for n, m in (("a", []), ("b", more)))
    one, two = boot_files_of(plain), boot_files_of(with_profiles)
    assert one is not None
    assert two is not None
    assert one.kernel == two.kernel
    assert "wipe" not in str([getattr(layer, "cmdline", "") for layer in with_profiles.layers])


@pytest.mark.parametrize(
    ("kernel", "wrapped", "plain"),
    [(bzimage(), False, bzimage()), (zboot(PLAIN), True, PLAIN)],
    ids=["bzImage", "zboot"],
)
def test_a_kernel_alone(kernel: bytes, wrapped: bool, plain: bytes, tmp_path: Path) -> None:
    made = boot_files_of(ready(tmp_path, "vmlinuz", kernel))
    assert made is not None
    assert made.kernel is not None
    assert (Path(made.kernel.path).read_bytes(), made.initrd, made.wrapped) == (plain, None, wrapped)


def test_an_initrd_beside_a_kernel_is_matched_by_its_programs(tmp_path: Path) -> None:
    # The file of each release says the other's architecture in its name.
    amd = ready(tmp_path, "initramfs-arm64.xz", INITRD[AMD64], "initrd")
    arm = ready(tmp_path, "initramfs-amd64.xz", INITRD[ARM64], "initrd")
    assert (amd.platforms, arm.platforms) == (("linux/amd64",), ("linux/arm64",))
    slot = Slot("initramfs", kinds=(Kind.ZSTD, Kind.INITRD), executable=False, form="initrd", boots=True)
    hosts = (Host("a", "a", ""), Host("b", "b", ""))
    facts = {"a": facts_of(AMD64, "a"), "b": facts_of(ARM64, "b")}
    chosen = select([slot], hosts, facts, {"initramfs": (amd, arm)}).chosen
    assert {host: artifact.path for (host, _), artifact in chosen.items()} == {
        "a": "initramfs-arm64.xz",
        "b": "initramfs-amd64.xz",
    }


def test_programs_of_another_machine_in_the_initrd(tmp_path: Path) -> None:
    made = ready(tmp_path, "image.efi", uki(0xAA64, zboot(PLAIN), INITRD[AMD64]))
    assert told(made) == ["SB405"]
    assert "programs in its initrd" in made.diagnostics[-1].summary


def test_an_initrd_that_breaks_off(tmp_path: Path) -> None:
    made = ready(tmp_path, "image.efi", uki(0xAA64, zboot(PLAIN), INITRD[ARM64][:-40]))
    assert told(made) == ["SB401"]


def test_a_zboot_kernel_that_does_not_inflate(tmp_path: Path) -> None:
    damaged = bytearray(zboot(PLAIN, method="zstd22"))
    damaged[4096 + 16 + 100] ^= 0xFF
    made = ready(tmp_path, "image.efi", uki(0xAA64, bytes(damaged), INITRD[ARM64]))
    assert told(made)
    assert boot_files_of(made) is None
    assert not list(boot_cache().glob("*.boot")) if boot_cache().exists() else True


def test_a_folder_that_others_can_write_is_not_used(tmp_path: Path) -> None:
    boot_cache().mkdir(parents=True)
    boot_cache().chmod(0o777)
    assert told(ready(tmp_path, "image.efi", UKI[ARM64])) == ["SB408"]


def test_a_file_that_changed_after_it_was_looked_at(tmp_path: Path) -> None:
    seen = put(tmp_path, "image.efi", UKI[ARM64])
    (tmp_path / "image.efi").write_bytes(UKI[AMD64])
    (made,) = made_ready([seen], "boot", tmp_path)
    assert told(made) == ["SB408"]


def test_a_file_that_changes_while_it_is_taken_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def meanwhile(*arguments: Any, **options: Any) -> Any:
        with (tmp_path / "image.efi").open("r+b") as file:
            file.write(b"MZ")
        return extract(*arguments, **options)

    monkeypatch.setattr("sealboot.workflow.bootfiles.extract", meanwhile)
    made = ready(tmp_path, "image.efi", UKI[ARM64])
    assert told(made) == ["SB408"]
    assert boot_files_of(made) is None


# -- matched


def matched(folder: Path, arch: Arch, *names: str) -> Selection:
    files = tuple(ready(folder, f"{name}.efi", UKI[Arch(name)]) for name in names)
    return select([BOOT], (Host("h", "h", ""),), {"h": facts_of(arch, "h")}, {"boot": files})


def test_each_machine_gets_the_image_of_its_own(tmp_path: Path) -> None:
    for arch in (AMD64, ARM64):
        found = matched(tmp_path, arch, "amd64", "arm64")
        assert found.chosen["h", "boot"].path == f"{arch}.efi"
        assert found.diagnostics == ()


def test_an_image_for_another_machine_is_refused(tmp_path: Path) -> None:
    found = matched(tmp_path, AMD64, "arm64")
    assert found.chosen == {}
    assert [(d.code, d.severity, d.artifact) for d in found.diagnostics] == [
        ("SB114", Severity.ERROR, "arm64.efi")
    ]
    assert [(p.outcome.value, p.reason) for p in found.pairs] == [("cannot-run", "SB114")]


def test_a_stub_around_a_foreign_kernel_is_refused_for_both(tmp_path: Path) -> None:
    wrong = ready(tmp_path, "wrong.efi", uki(0x8664, arm64_image(), INITRD[ARM64]))
    for arch in (AMD64, ARM64):
        found = select([BOOT], (Host("h", "h", ""),), {"h": facts_of(arch, "h")}, {"boot": (wrong,)})
        assert found.chosen == {}
        assert "SB405" in {d.code for d in found.diagnostics}


def test_a_uki_goes_before_a_kernel_alone(tmp_path: Path) -> None:
    files = (ready(tmp_path, "vmlinuz", zboot(PLAIN)), ready(tmp_path, "metal.efi", UKI[ARM64]))
    found = select([BOOT], (Host("h", "h", ""),), {"h": facts_of(ARM64, "h")}, {"boot": files})
    assert found.chosen["h", "boot"].path == "metal.efi"


# -- disk images

IMAGE = gpt(
    [(ESP, "EFI", fat(16, {"EFI/BOOT/BOOTAA64.EFI": pe(MACHINES["arm64"], [(".text", b"x" * 999)])}))],
    code=b"\xeb",
) + bytes(4 << 20)


@pytest.mark.parametrize(
    "pack",
    [bytes, gzip.compress, lzma.compress, zstd.compress],
    ids=["raw", "gzip", "xz", "zstd"],
)
def test_a_disk_image_however_it_is_compressed(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    artifact = ready(tmp_path, "metal-amd64.raw.zst", pack(IMAGE), "disk")
    made = disk_image_of(artifact)
    assert made is not None
    assert made.file is not None
    assert (made.size, made.sha256) == (len(IMAGE), digest(IMAGE))
    assert made.file.sha256 == digest((tmp_path / "metal-amd64.raw.zst").read_bytes())
    assert (made.table, made.bios, made.loaders, made.esp, made.labels) == (
        "gpt",
        True,
        (ARM64,),
        1,
        ("EFI",),
    )
    assert artifact.platforms == ("linux/arm64",)
    assert told(artifact) == []


def test_an_image_is_inflated_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ready(tmp_path, "metal.raw.gz", gzip.compress(IMAGE, mtime=0), "disk")

    def nobody(path: Path) -> None:
        raise AssertionError(f"{path} was inflated again")

    with monkeypatch.context() as patched:
        patched.setattr("sealboot.workflow.diskfiles.pieces", nobody)
        assert ready(tmp_path, "metal.raw.gz", gzip.compress(IMAGE, mtime=0), "disk") == first
    (kept,) = boot_cache().glob("*.disk")
    for junk in ("", "{}", "[]", '{"size": "x"}', "[" * 9999):
        kept.write_text(junk)
        assert ready(tmp_path, "metal.raw.gz", gzip.compress(IMAGE, mtime=0), "disk") == first
    boot_cache().chmod(0o777)
    kept.write_text("nobody believes what others may have written")
    assert ready(tmp_path, "metal.raw.gz", gzip.compress(IMAGE, mtime=0), "disk") == first


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (gzip.compress(b"no disk" * 999, mtime=0), "SB705"),
        (bytes(4096), "SB705"),
        (zstd.compress(IMAGE)[:-20], "SB401"),
        (gzip.compress(IMAGE, mtime=0)[:-20], "SB401"),
    ],
)
def test_what_is_no_whole_disk_image(data: bytes, code: str, tmp_path: Path) -> None:
    assert told(ready(tmp_path, "metal-amd64.raw.zst", data, "disk")) == [code]


def test_an_image_with_loaders_for_another_machine_fits_nobody_else(tmp_path: Path) -> None:
    slot = Slot("image", kinds=(Kind.UNKNOWN, Kind.ZSTD), executable=False, form="disk", boots=True)
    artifact = ready(tmp_path, "metal-amd64.raw.zst", zstd.compress(IMAGE), "disk")
    found = select([slot], (Host("h", "h", ""),), {"h": facts_of(AMD64, "h")}, {"image": (artifact,)})
    assert found.chosen == {}
    assert "SB104" in {d.code for d in found.diagnostics}


# -- Talos' own files


def test_configurations_and_who_may_read_them(tmp_path: Path) -> None:
    path = tmp_path / "worker.yaml"
    path.write_bytes(b"version: v1alpha1\nmachine: {type: controlplane}\n")
    path.chmod(0o600)
    (made,) = made_ready([inspect(path, "worker.yaml")], "machine-config", tmp_path)
    config = machine_config_of(made)
    assert config is not None
    assert config.file is not None
    assert (config.type, config.file.path, made.diagnostics) == ("controlplane", str(path), ())
    path.chmod(0o644)
    (made,) = made_ready([inspect(path, "worker.yaml")], "machine-config", tmp_path)
    assert [(d.code, d.severity) for d in made.diagnostics] == [("SB713", Severity.WARNING)]


def test_what_is_none_of_talos_files(tmp_path: Path) -> None:
    assert told(ready(tmp_path, "worker.yaml", b"kind: Pod\n", "machine-config")) == ["SB706"]
    assert told(ready(tmp_path, "talosconfig", b"kind: Config\n", "talosconfig")) == ["SB712"]


def test_programs_of_the_controller_are_found_from_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    put(tmp_path, "talosctl", elf(0x3E))
    (made,) = on_controller([inspect(Path("talosctl"), "talosctl")], Path())
    placed = file_of(made)
    assert placed is not None
    assert placed.path == str(tmp_path / "talosctl")


def test_files_that_are_not_there_keep_their_own_finding(tmp_path: Path) -> None:
    for form in ("boot", "initrd", "disk", "machine-config", "talosconfig"):
        (made,) = made_ready([inspect(tmp_path / "gone", "gone")], form, tmp_path)
        assert told(made) == ["SB408"]


def test_thirty_megabytes_are_taken_apart_in_a_second_or_two(tmp_path: Path) -> None:
    noise = hashlib.shake_128(b"x").digest(30 << 20)
    initrd = METHODS["zstd22"](cpio([("init", elf(0xB7)), ("rootfs.sqsh", noise)]))
    seen = put(tmp_path, "big.efi", uki(0xAA64, zboot(PLAIN, method="zstd22"), initrd))
    start = time.process_time()
    (made,) = made_ready([seen], "boot", tmp_path)
    assert boot_files_of(made) is not None
    assert time.process_time() - start < 4.0
