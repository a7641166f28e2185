"""What a machine boots: kernels, unified kernel images, initial RAM file systems, EFI programs."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sealboot.artifacts.findings import Finding
from sealboot.artifacts.initrd import identify_initrd
from sealboot.artifacts.kernel import identify, vmlinux
from sealboot.artifacts.pe import parse_pe
from sealboot.artifacts.reader import Memory, Source, chunks
from sealboot.artifacts.streams import compression, peek
from sealboot.artifacts.uki import is_uki, read_uki
from sealboot.artifacts.zboot import disagreement, identify_zboot, read_zboot
from sealboot.model.arch import Arch
from sealboot.model.artifact import Elf, Kernel, Kind, Layer, Pe

#: Kinds by first bytes that may turn out to be something to boot.
_CANDIDATES = frozenset({Kind.PE, Kind.UNKNOWN, Kind.GZIP, Kind.ZSTD, Kind.XZ, Kind.BZIP2, Kind.LZ4})
#: A vmlinux is at least some MiB; small programs need no second look.
_SMALLEST_VMLINUX = 1 << 20
_PEEKED = 1024


@dataclass(frozen=True, slots=True)
class Booted:
    """The file's kind, now that more than its first bytes were read; its layers and what is wrong."""

    kind: Kind
    layers: tuple[Layer, ...]
    findings: tuple[Finding, ...] = ()


def read_bootable(source: Source, kind: Kind) -> Booted | None:
    """Look closer at a file whose first bytes say `kind`; `None` when it is nothing to boot.

    Never raises for what is in the file, and reads some MiB at most (the
    search for a kernel's version); `OSError` when the medium fails.
    """
    if kind not in _CANDIDATES:
        return None
    if kind is Kind.PE:
        return _read_pe(source)
    found = identify(source)
    if found is not None:
        return Booted(Kind.KERNEL, (found.kernel,), found.findings)
    initrd = identify_initrd(source)
    if initrd is not None:
        return Booted(Kind.INITRD, (initrd,))
    packed = _packed_kernel(source)
    return Booted(Kind.KERNEL, (packed,)) if packed is not None else None


def elf_kernel(source: Source, elf: Elf) -> Kernel | None:
    """The kernel that an ELF file is, if it is one: powerpc and s390 boot from ELF."""
    if not elf.static or not elf.executable or source.size < _SMALLEST_VMLINUX:
        return None
    return vmlinux(source, elf.arch, elf.endian)


def boot_arch(layers: tuple[Layer, ...]) -> Arch | None:
    """The architecture of what boots: the kernel's, else the EFI program's."""
    arches = [layer.arch for layer in layers if isinstance(layer, Pe | Kernel)]
    return next((arch for arch in reversed(arches) if arch is not None), None)


def _read_pe(source: Source) -> Booted:
    parsed = parse_pe(source)
    pe = parsed.pe
    if pe is None:
        found = identify(source)
        if found is None:
            return Booted(Kind.PE, (), parsed.findings)
        return Booted(Kind.KERNEL, (found.kernel,), found.findings)
    if is_uki(pe):
        made = read_uki(source, pe)
        kind = Kind.PE if made.uki.addon else Kind.UKI
        return Booted(kind, (pe, made.uki, *made.inner), (*parsed.findings, *made.findings))
    zboot = read_zboot(source)
    if zboot is not None:
        kernels, findings = identify_zboot(zboot, pe.arch)
        return Booted(Kind.KERNEL, (pe, *kernels), (*parsed.findings, *findings))
    found = identify(source, pe.arch)
    if found is None:
        return Booted(Kind.PE, (pe,), parsed.findings)
    wrong = (*found.findings, *disagreement(pe.arch, found, 0))
    return Booted(Kind.KERNEL, (pe, found.kernel), (*parsed.findings, *wrong))


def _packed_kernel(source: Source) -> Kernel | None:
    """A kernel that was compressed as a whole (`Image.gz`): its loader inflates it first."""
    method = compression(source.at(0, 16))
    head = peek(method, chunks(source), _PEEKED)
    inner = identify(Memory(head)) if head else None
    return replace(inner.kernel, compression=method) if inner is not None else None
