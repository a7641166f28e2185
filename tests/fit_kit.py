"""Facts and artifacts for tests of fit and selection, with sane values for what a test does not name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from elf_corpus import GLIBC_LOADERS

from sealboot.artifacts import inspect
from sealboot.model.arch import Arch
from sealboot.model.artifact import Artifact, Elf
from sealboot.model.facts import BinfmtHandler, Facts, Libc


def facts_of(arch: Arch, host: str = "node", userland: Arch | None = None) -> Facts:
    """A Debian 12 host of `arch` with 4 KiB pages."""
    user = userland or arch
    compat = {Arch.AMD64: {Arch.I386}, Arch.ARM64: {Arch.ARM}}.get(arch, set())
    return Facts(
        host=host,
        kernel_machine=next(iter(arch.info.uname), arch.field_name),
        kernel_arch=arch,
        userland_arch=user,
        userland_bits=user.info.bits,
        endian=arch.info.endian,
        native=frozenset({arch} | compat),
        page_size=4096,
        kernel_release="6.1.0-18-generic",
        libc=Libc("glibc", (2, 36), frozenset({GLIBC_LOADERS[user]} if user in GLIBC_LOADERS else ())),
        hard_float=True if user is Arch.ARM else None,
    )


def handler_for(arch: Arch) -> BinfmtHandler:
    """An enabled binfmt rule that sends `arch` to an emulator."""
    return BinfmtHandler(f"qemu-{arch}", f"/usr/bin/qemu-{arch}-static", "OCF", arch)


def artifact_of(folder: Path, name: str, data: bytes) -> Artifact:
    """`data` written to a file called `name` and read back."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(0o755)
    return inspect(path, name)


def elf_of(artifact: Artifact) -> Elf:
    """The ELF layer, which must be there."""
    assert artifact.elf is not None
    return artifact.elf


def with_elf(artifact: Artifact, **changes: object) -> Artifact:
    """The artifact with fields of its ELF layer replaced."""
    return replace(artifact, layers=(replace(elf_of(artifact), **changes),))  # type: ignore[arg-type]
