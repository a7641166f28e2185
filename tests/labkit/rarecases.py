"""The rarer reasons as cases: which program on which machine, what is foretold, and what then happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from elftools.elf.constants import P_FLAGS
from elftools.elf.elffile import ELFFile

from labkit import compiled, debs, gobuilds, musl
from labkit.apt import LabUnavailableError

RUNS = "runs"
RAN = "ran"
#: What is foretold, and what happens.
Ends: TypeAlias = tuple[str, str]

_FINE: Ends = (RUNS, RAN)
_ARM64_GCC, _PPC64_GCC = "aarch64-linux-gnu-gcc", "powerpc64le-linux-gnu-gcc"
_PAGES_4K, _PAGES_16K = "-Wl,-z,max-page-size=4096", "-Wl,-z,max-page-size=16384"
_V3 = ("-march=x86-64-v3", "-Wl,-z,x86-64-v3")


@dataclass(frozen=True, slots=True)
class File:
    """A program that a real compiler made: what it is, where it comes from, and all that it writes."""

    label: str
    make: Callable[[], Path]
    says: bytes = b""


@dataclass(frozen=True, slots=True)
class Case:
    """One program on one kind of machine, and what is expected of both sides.

    `foretold` is `runs` or a code; `happened` is what execve, the loader or the
    program say, or a part of it.
    """

    reason: str
    kind: str
    file: File
    foretold: str = RUNS
    happened: str = RAN

    @property
    def name(self) -> str:
        """Unique among all cases."""
        return f"{self.kind}: {self.file.label}"


def _true(arch: str, label: str, suite: str = "") -> File:
    """Debian's `true`, which needs the C library alone."""
    return File(label, lambda: debs.extract("coreutils", arch, suite) / "bin/true")


def _static(arch: str, label: str) -> File:
    """Debian's static bash, which needs nothing but a kernel."""
    return File(label, lambda: debs.extract("bash-static", arch) / "bin/bash-static")


def _c(name: str, label: str, compiler: str, *flags: str) -> File:
    return File(label, lambda: compiled.c_program(name, compiler, *flags), compiled.says(name))


def _go(label: str, arch: str, variable: str = "", level: str = "") -> File:
    target = gobuilds.Target(arch, variable, level)
    return File(label, lambda: gobuilds.build(target), target.says)


_MUSL = File(
    "gcc with musl", lambda: compiled.c_program("for-musl", str(musl.compiler())), compiled.says("for-musl")
)
#: It needs a C library newer than Debian 12's, and no other library.
_NPROC = File("nproc of Debian 13", lambda: debs.extract("coreutils", "amd64", "trixie") / "usr/bin/nproc")
_GLIBC = _true("amd64", "true of Debian 12")
_OLDER = _true("amd64", "true of Debian 11", "bullseye")
_STATIC = _static("amd64", "bash-static of Debian 12")


def _libraries() -> tuple[Case, ...]:
    other, old = "another C library", "an old C library"
    return (
        Case(other, "amd64-musl", _GLIBC, "SB107", "ENOENT"),
        Case(other, "amd64-musl", _MUSL),
        Case(other, "amd64-musl", _STATIC),
        Case(other, "amd64-minimal", _MUSL, "SB107", "ENOENT"),
        Case(old, "amd64-old-glibc", _GLIBC, "SB108", "version `GLIBC_2.34' not found"),
        Case(old, "amd64-old-glibc", _OLDER),
        Case(old, "amd64-old-glibc", _STATIC),
        Case(old, "amd64-minimal", _NPROC, "SB108", "version `GLIBC_2.38' not found"),
        Case(old, "amd64-minimal", _GLIBC),
        Case(old, "amd64-minimal", _OLDER),
    )


def _half(kind: str, own: str, wide: str, no_loader: str = "ENOENT") -> tuple[Case, ...]:
    """A userland of the 32-bit architecture `own` on a kernel of the 64-bit one `wide`."""
    reason = "a 32-bit userland under a 64-bit kernel"
    return (
        Case(reason, kind, _true(own, f"true of {own}")),
        Case(reason, kind, _static(wide, f"bash-static of {wide}")),
        Case(reason, kind, _true(wide, f"true of {wide}"), "SB102", no_loader),
    )


def _soft(kind: str, no_loader: str = "ENOENT") -> Case:
    return Case("the other float ABI", kind, _true("armel", "true of armel"), "SB110", no_loader)


def _levels(kind: str, level: int) -> tuple[Case, ...]:
    """Programs for each level of x86-64, on a processor of `level`."""
    reason = "an old processor"

    def ends(wanted: int, happened: str) -> Ends:
        return _FINE if wanted <= level else ("SB106", happened)

    return (
        *(
            Case(
                reason,
                kind,
                _go(f"Go, GOAMD64=v{n}", "amd64", "GOAMD64", f"v{n}"),
                *ends(n, f"This program can only be run on AMD64 processors with v{n}"),
            )
            for n in (1, 2, 3, 4)
        ),
        Case(
            reason,
            kind,
            _c("v3", "gcc for x86-64-v3, marked as such", "gcc", *_V3),
            *ends(3, "CPU ISA level is lower than required"),
        ),
        Case(
            reason,
            kind,
            _c("v3-static", "gcc for x86-64-v3, marked, static", "gcc", *_V3, "-static"),
            *ends(3, "SIGILL"),
        ),
    )


def _armv6() -> tuple[Case, ...]:
    """Programs for each level of ARM, on an ARMv6 processor with Debian's armel."""
    files: dict[File, Ends] = {
        _go("Go, GOARM=5", "arm", "GOARM", "5"): _FINE,
        _go("Go, GOARM=6", "arm", "GOARM", "6"): _FINE,
        _go("Go, GOARM=7", "arm", "GOARM", "7"): ("SB110", "SIGILL"),
        _true("armel", "true of armel (ARMv5)"): _FINE,
        _static("armel", "bash-static of armel (ARMv5)"): _FINE,
        _static("armhf", "bash-static of armhf (ARMv7)"): ("SB110", "SIGILL"),
        _true("armhf", "true of armhf (ARMv7)"): ("SB110", "ENOENT"),
        _true("arm64", "true of arm64"): ("SB101", "ENOEXEC"),
    }
    return tuple(Case("an old processor", "armv6-vm", file, *ends) for file, ends in files.items())


def _pages(kind: str, refused: Ends) -> tuple[Case, ...]:
    """Programs linked for each page size on an arm64 kernel; `refused` is how those for small pages end."""
    files: dict[File, Ends] = {
        _c("arm64-64k", "gcc, for 64 KiB as by default", _ARM64_GCC): _FINE,
        _c("arm64-16k", "gcc, for 16 KiB, static", _ARM64_GCC, _PAGES_16K, "-static"): _FINE,
        _c("arm64-4k", "gcc, for 4 KiB", _ARM64_GCC, _PAGES_4K): refused,
        _c("arm64-4k-static", "gcc, for 4 KiB, static", _ARM64_GCC, _PAGES_4K, "-static"): refused,
        File(
            "gcc, for 4 KiB, whose code ends in a page of its own", apart, compiled.says("arm64-4k-apart")
        ): _FINE,
        _true("arm64", "true of arm64, for 64 KiB"): _FINE,
        _static("armhf", "bash-static of armhf, for 4 KiB"): refused,
        _go("Go for arm64", "arm64", "GOARM64", "v8.0"): _FINE,
        _go("Go for arm", "arm", "GOARM", "7"): _FINE,
    }
    return tuple(Case("larger pages", kind, file, *ends) for file, ends in files.items())


def _pages_ppc64(kind: str, refused: Ends) -> tuple[Case, ...]:
    files: dict[File, Ends] = {
        _c("ppc64-64k", "gcc, for 64 KiB as by default", _PPC64_GCC): _FINE,
        _c("ppc64-16k", "gcc, for 16 KiB", _PPC64_GCC, _PAGES_16K): refused,
        _c("ppc64-4k", "gcc, for 4 KiB", _PPC64_GCC, _PAGES_4K): refused,
        _c("ppc64-4k-static", "gcc, for 4 KiB, static", _PPC64_GCC, _PAGES_4K, "-static"): refused,
        _go("Go for ppc64le", "ppc64le"): _FINE,
    }
    return tuple(Case("larger pages", kind, file, *ends) for file, ends in files.items())


def apart() -> Path:
    """A program linked for 4 KiB pages whose code ends in another 16 KiB page than its constants begin.

    Headers and code still share a page, as constants and data do: that takes no rights away.
    """
    flags = ("-static", f"{_PAGES_4K},-z,separate-code")
    for padding in range(0, 0x4000, 0x1000):
        path = compiled.c_program("arm64-4k-apart", _ARM64_GCC, *flags, padding=padding)
        with path.open("rb") as handle:
            loads = [s.header for s in ELFFile(handle).iter_segments("PT_LOAD")]
        code = next(n for n, s in enumerate(loads) if s.p_flags & P_FLAGS.PF_X)
        end, following = loads[code].p_vaddr + loads[code].p_memsz - 1, loads[code + 1].p_vaddr
        if end // 0x4000 < following // 0x4000:
            return path
    raise LabUnavailableError(f"{_ARM64_GCC}: no padding separates the segments")


#: What a namespace node decides as truly as any machine.
ON_NODES = (
    *_libraries(),
    *_half("i386-userland", "i386", "amd64"),
    *_half("armhf-userland", "armhf", "arm64", "ld-linux-aarch64.so.1"),
    _soft("armhf-userland", "ld-linux.so.3"),
)
#: What takes a kernel or a processor of its own: a virtual machine each.
ON_MACHINES = (
    *_half("armhf-userland-vm", "armhf", "arm64"),
    _soft("armhf-userland-vm"),
    *_levels("amd64-old-cpu-vm", 1),
    *_levels("amd64-v2-cpu-vm", 2),
    *_levels("amd64-vm", 3),
    *_armv6(),
    *_pages("arm64-16k-vm", ("SB105", "SIGSEGV")),
    *_pages("arm64-vm", _FINE),
    *_pages_ppc64("ppc64el-vm", ("SB105", "SIGSEGV")),
)
#: What no file tells: code for a newer processor, and neither a mark nor a check.
UNTOLD = (
    Case(
        "not in the file",
        "amd64-old-cpu-vm",
        _c("v3-unmarked", "gcc for x86-64-v3, not marked", "gcc", _V3[0]),
        RUNS,
        "SIGILL",
    ),
)


def cases(*, slow: bool) -> tuple[Case, ...]:
    """All cases that can be foretold, or those of the fast tier."""
    return (*ON_NODES, *ON_MACHINES) if slow else ON_NODES
