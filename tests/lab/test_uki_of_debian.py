"""UKIs put together from Debian's own stubs and kernels, taken apart again; `file` and `objdump` as witnesses."""

from __future__ import annotations

import gzip
import hashlib
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet
from boot_kit import MACHINES, add_sections, cpio, zboot
from labkit import efi
from requires import requires

from sealboot.artifacts import inspect
from sealboot.artifacts.findings import Finding
from sealboot.artifacts.reader import Memory, open_file
from sealboot.artifacts.uki import extract
from sealboot.artifacts.zboot import read_zboot, unwrap
from sealboot.model.arch import Arch
from sealboot.model.artifact import Artifact, Initrd, Kernel, Kind, Pe, Uki
from sealboot.model.diagnostic import Severity

#: Debian's architecture -> Go's, and the format of its kernel.
KERNELS = {
    "amd64": (Arch.AMD64, "bzImage"),
    "arm64": (Arch.ARM64, "Image"),
    "armhf": (Arch.ARM, "zImage"),
    "riscv64": (Arch.RISCV64, "Image"),
    "ppc64el": (Arch.PPC64LE, "vmlinux"),
    "s390x": (Arch.S390X, "S390"),
}
OS_RELEASE = b'ID=debian\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_ID="12"\n'
#: Whoever asks first fetches a kernel or a package of boot files.
pytestmark = [pytest.mark.timeout(600), pytest.mark.requires("apt-get", "apt-cache")]
INITRD = gzip.compress(cpio([("init", b"#!/bin/sh\nexec sh\n" * 5000)]), mtime=0) + b"\0\0\0"


def _tiered(names: Sequence[str]) -> list[ParameterSet]:
    """The kernels that only the slow tier downloads (230 MB of packages) are left to it."""
    slow = KERNELS.keys() - {"amd64", "arm64"}
    return [pytest.param(name, marks=[pytest.mark.slow] if name in slow else []) for name in names]


def kernel_bytes(debian: str) -> bytes:
    return efi.kernel(debian).read_bytes()


def uki_bytes(stub: str, kernel: bytes) -> bytes:
    base = efi.stub(stub).read_bytes()
    parts = [
        (".osrel", OS_RELEASE),
        (".cmdline", b"console=ttyS0 root=LABEL=root"),
        (".linux", kernel),
        (".initrd", INITRD),
    ]
    return add_sections(base, parts)


@pytest.fixture
def put(tmp_path: Path) -> Callable[[str, bytes], Path]:
    def write(name: str, data: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write


def sha256(content: Iterator[bytes] | Finding) -> str:
    assert not isinstance(content, Finding), content
    digest = hashlib.sha256()
    for part in content:
        digest.update(part)
    return digest.hexdigest()


def taken(path: Path, section: str, *, unwrapped: bool = False) -> str:
    with open_file(path) as reader:  # type: ignore[union-attr]
        return sha256(extract(reader, section, unwrapped=unwrapped))


def layers(found: Artifact) -> tuple[Pe, Uki, Kernel]:
    pe, uki, kernel = found.layers[:3]
    assert isinstance(pe, Pe)
    assert isinstance(uki, Uki)
    assert isinstance(kernel, Kernel)
    return pe, uki, kernel


@pytest.mark.parametrize("debian", _tiered(["amd64", "arm64", "riscv64"]))
def test_a_uki_has_the_right_facts_and_gives_its_parts_back(
    debian: str, put: Callable[[str, bytes], Path]
) -> None:
    original = kernel_bytes(debian)
    path = put("image.efi", uki_bytes(debian, original))
    found = inspect(path)
    arch, form = KERNELS[debian]
    assert (found.kind, found.platforms, found.diagnostics) == (Kind.UKI, (f"linux/{arch}",), ())
    pe, uki, kernel = layers(found)
    assert (pe.machine, pe.arch, pe.bits, pe.subsystem, pe.signed) == (MACHINES[arch], arch, 64, 10, False)
    assert uki.os_release["PRETTY_NAME"] == "Debian GNU/Linux 12 (bookworm)"
    assert uki.cmdline == "console=ttyS0 root=LABEL=root"
    assert (kernel.format, kernel.arch) == (form, arch)
    assert kernel.version == efi.kernel(debian).name.split("-", 1)[1]
    assert found.layers[3] == Initrd(("gzip",))
    assert taken(path, ".linux") == hashlib.sha256(original).hexdigest()
    assert taken(path, ".initrd") == hashlib.sha256(INITRD).hexdigest()


@pytest.mark.parametrize(("stub", "debian"), [("amd64", "arm64"), ("arm64", "amd64"), ("riscv64", "arm64")])
def test_a_kernel_of_another_machine_is_caught(
    stub: str, debian: str, put: Callable[[str, bytes], Path]
) -> None:
    found = inspect(put("image.efi", uki_bytes(stub, kernel_bytes(debian))))
    (wrong,) = found.diagnostics
    assert (wrong.code, wrong.severity) == ("SB405", Severity.ERROR)
    outer, inner = KERNELS[stub][0].field_name, KERNELS[debian][0].field_name
    assert wrong.summary.endswith(f"the image is {outer}, but the kernel in it is {inner}")


@pytest.mark.parametrize("method", ["gzip", "zstd22"])
def test_zboot_around_debians_arm64_kernel_is_unwrapped(
    method: str, put: Callable[[str, bytes], Path]
) -> None:
    original = kernel_bytes("arm64")
    wrapped = zboot(original, method=method)
    alone = inspect(put("vmlinuz", wrapped))
    assert (alone.kind, alone.diagnostics) == (Kind.KERNEL, ())
    header = read_zboot(Memory(wrapped))
    assert header is not None
    assert sha256(unwrap(header)) == hashlib.sha256(original).hexdigest()
    path = put("image.efi", uki_bytes("arm64", wrapped))
    found = inspect(path)
    assert found.diagnostics == ()
    assert layers(found)[2].format == "zboot"
    assert found.kernel is not None
    assert (found.kernel.format, found.kernel.page_size) == ("Image", 4096)
    assert taken(path, ".linux") == hashlib.sha256(wrapped).hexdigest()
    assert taken(path, ".linux", unwrapped=True) == hashlib.sha256(original).hexdigest()


@pytest.mark.parametrize("debian", _tiered(list(KERNELS)))
def test_debians_kernels_agree_with_their_packages(debian: str) -> None:
    kernel_bytes(debian)
    path = efi.kernel(debian)
    found = inspect(path, "vmlinuz")
    arch, form = KERNELS[debian]
    assert (found.kind, found.diagnostics, found.platforms) == (Kind.KERNEL, (), (f"linux/{arch}",))
    assert found.kernel is not None
    assert (found.kernel.format, found.kernel.arch) == (form, arch)
    if form not in {"zImage", "S390"}:  # their versions are in the compressed part
        assert found.kernel.version == path.name.split("-", 1)[1]


def test_binutils_sees_the_same_sections(put: Callable[[str, bytes], Path]) -> None:
    requires("objdump", "objcopy")
    path = put("image.efi", uki_bytes("amd64", kernel_bytes("amd64")))
    shown = subprocess.run(["objdump", "-h", str(path)], capture_output=True, text=True, check=True).stdout
    rows = re.findall(
        r"^ +\d+ (\S+) +([0-9a-f]{8}) +[0-9a-f]+ +[0-9a-f]+ +([0-9a-f]{8})", shown, re.MULTILINE
    )
    pe, _, _ = layers(inspect(path))
    assert [(s.name, s.offset) for s in pe.sections] == [(name, int(at, 16)) for name, _, at in rows]
    out = path.with_name("linux")
    subprocess.run(
        ["objcopy", "-O", "binary", "--only-section=.linux", str(path), str(out)],
        capture_output=True,
        check=True,
    )
    cut = out.read_bytes()[: pe.sections[[s.name for s in pe.sections].index(".linux")].length]
    assert hashlib.sha256(cut).hexdigest() == taken(path, ".linux")


#: Debian 12's amd64 stub leaves no room for the section headers of a second profile.
@pytest.mark.parametrize(("debian", "profiles"), [("amd64", False), ("arm64", True)])
def test_what_ukify_makes(debian: str, profiles: bool, put: Callable[[str, bytes], Path]) -> None:
    original = kernel_bytes(debian)
    folder = put("initrd", INITRD).parent
    for name, text in (("osrel", OS_RELEASE), ("main", b"ID=main\nTITLE=Main\n"), ("reset", b"ID=reset\n")):
        put(name, text)
    begin = ("build", f"--stub={efi.stub(debian)}")
    more: tuple[str, ...] = ()
    if profiles:
        more = ("--profile=@main", "--join-profile=reset.efi")
        efi.ukify(*begin, "--profile=@reset", "--cmdline=wipe", "--output=reset.efi", cwd=folder)
    parts = (f"--linux={efi.kernel(debian)}", "--initrd=initrd", "--os-release=@osrel", "--uname=1.2.3")
    efi.ukify(*begin, *parts, "--cmdline=quiet", *more, "--output=image.efi", cwd=folder)
    found = inspect(folder / "image.efi", "image.efi")
    assert (found.kind, found.platforms) == (Kind.UKI, (f"linux/{KERNELS[debian][0]}",))
    _, uki, kernel = layers(found)
    assert (uki.uname, uki.cmdline, uki.os_release["ID"]) == ("1.2.3", "quiet", "debian")
    expected = [("main", "Main", None), ("reset", "", "wipe")] if profiles else []
    assert [(p.id, p.title, p.cmdline) for p in uki.profiles] == expected
    said = f"image.efi: .uname says 1.2.3, the kernel {kernel.version}"
    assert [(d.code, d.severity, d.summary) for d in found.diagnostics] == [("SB405", Severity.WARNING, said)]
    assert taken(folder / "image.efi", ".linux") == hashlib.sha256(original).hexdigest()
    assert taken(folder / "image.efi", ".initrd") == hashlib.sha256(INITRD).hexdigest()
