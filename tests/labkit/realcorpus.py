"""The corpus of real files: programs that Debian, Alpine's tools, Go and UPX made, whole and cut, and what is no program.

    python -m labkit.realcorpus [--fast] > docs/oracle-real.md

Every program is called so that it prints one line and exits with 0. The `fast`
part is made from the roots that the lab's nodes have anyway; the rest is
downloaded or built when first asked for, and kept in the lab's cache.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import elf_corpus

from labkit import compiled, gobuilds, musl, oracle
from labkit.cuts import cuts
from labkit.debs import extract
from labkit.nonprograms import others, scripts
from labkit.packed import PACKABLE, pack
from labkit.roots import root
from labkit.trials import Trial
from labkit.wheels import wheel
from sealboot.model.arch import Arch

#: Debian's names of the architectures whose packages the whole corpus has.
DEBIAN = ("amd64", "i386", "arm64", "armhf", "armel", "riscv64", "ppc64el", "s390x", "mips64el")
#: Those whose static and dynamic programs are also cut.
CUT = ("amd64", "i386", "arm64", "s390x")
NINJA = "ninja==1.13.2"
_NINJA_SAYS = b"1.13.2.git.kitware.jobserver-pipe-1\n"
#: Machines as PEP 656 names them, for which ninja is built on Alpine.
MUSL = ("x86_64", "i686", "aarch64", "armv7l", "ppc64le", "riscv64", "s390x")


def fast() -> list[Trial]:
    """Debian's static and dynamic programs out of the nodes' own roots, cuts of one, and no programs."""
    statics = {arch: root("minimal", arch) / "bin/busybox" for arch in ("amd64", "arm64", "riscv64", "s390x")}
    dynamics = {arch: root("debian", arch) / "bin/dash" for arch in ("amd64", "arm64")}
    programs = [busybox(arch, path.read_bytes()) for arch, path in statics.items()]
    programs += [dash(arch, path.read_bytes()) for arch, path in dynamics.items()]
    nobody = elf_corpus.put(elf_corpus.static(Arch.AMD64, "x"), 18, b"zz")
    return [*programs, *cut(programs[-2]), *scripts(nobody), *others(programs[-2])]


def whole() -> list[Trial]:
    """Everything."""
    programs = debian()
    by_name = {trial.name: trial for trial in programs}
    found = [*programs, *musl_programs(), *go_programs(), *packed(by_name)]
    found += [one for arch in CUT for tool in ("busybox", "hello") for one in cut(by_name[f"{tool}-{arch}"])]
    hello = by_name["hello-amd64"]
    return [*found, *scripts(by_name["hello-mips64el"].data or b""), *others(hello)]


def debian() -> list[Trial]:
    """A static program and two that need the C library alone, of every architecture, and a library."""
    found = []
    for arch in DEBIAN:
        hello = extract("hello", arch) / "usr/bin/hello"
        library = next(extract("zlib1g", arch).rglob("libz.so.1.*"))
        found += [
            busybox(arch, _program("busybox-static", arch, "busybox").read_bytes()),
            dash(arch, _program("dash", arch, "dash").read_bytes()),
            Trial(f"hello-{arch}", f"Debian's hello, {arch}", hello.read_bytes(), b"Hello, world!\n"),
            Trial(f"libz-{arch}", f"Debian's zlib, a library, {arch}", library.read_bytes(), b""),
        ]
    return found


def busybox(arch: str, data: bytes) -> Trial:
    """Debian's static program."""
    name = f"busybox-{arch}"
    return Trial(name, f"Debian's busybox-static, {arch}", data, name.encode() + b"\n", ("echo", name))


def dash(arch: str, data: bytes) -> Trial:
    """Debian's shell, which needs the C library alone."""
    name = f"dash-{arch}"
    return Trial(name, f"Debian's dash, {arch}", data, name.encode() + b"\n", ("-c", f"echo {name}"))


def musl_programs() -> list[Trial]:
    """Dynamic programs that were built on Alpine, and what musl-gcc makes here, static and dynamic."""
    found = []
    for machine in MUSL:
        path = next(wheel(NINJA, f"musllinux_1_2_{machine}").rglob("scripts/ninja"))
        note = f"ninja, built on Alpine, {machine}"
        found.append(Trial(f"ninja-{machine}", note, path.read_bytes(), _NINJA_SAYS, ("--version",)))
    for name, flags in (("musl-static", ("-static",)), ("musl-dynamic", ())):
        path = compiled.c_program(name, str(musl.compiler()), *flags)
        found.append(
            Trial(f"{name}-amd64", f"by musl-gcc, {name[5:]}, amd64", path.read_bytes(), compiled.says(name))
        )
    return found


def go_programs() -> list[Trial]:
    """One small program for every architecture and level of the Go toolchain."""
    return [
        Trial(f"go-{t.name}", f"Go, {t.name}", gobuilds.build(t).read_bytes(), t.says)
        for t in gobuilds.TARGETS
    ]


def packed(programs: dict[str, Trial]) -> list[Trial]:
    """Programs as UPX leaves them: alone, around a payload that was behind them, and before one."""
    payload = random.Random(3).randbytes(20_000)  # noqa: S311 (nothing is secret here)
    found = []
    for arch in PACKABLE:
        trial = programs[f"busybox-{arch}"]
        data = trial.data or b""
        found.append(_packed(trial, "upx", "packed by UPX", pack(data)))
        if arch in CUT:
            found += [
                _packed(trial, "payload", "a payload behind it", data + payload),
                _packed(trial, "upx-around", "a payload behind it, then packed by UPX", pack(data + payload)),
                _packed(trial, "upx-before", "packed by UPX, a payload behind it", pack(data) + payload),
            ]
    for target in gobuilds.TARGETS:
        if target.name in {"amd64-v1", "arm-7", "arm64-v8.0"}:
            data = pack(gobuilds.build(target).read_bytes())
            found.append(
                Trial(f"go-{target.name}-upx", f"Go, {target.name}, packed by UPX", data, target.says)
            )
    return found


def cut(trial: Trial) -> list[Trial]:
    """The same file, ending too early: once for every place in `cuts`."""
    assert trial.data is not None
    return [
        replace(trial, name=f"{trial.name}-cut-{at}", note=f"{trial.note}, cut {what}", keep=at)
        for at, what in cuts(trial.data)
    ]


def _packed(trial: Trial, suffix: str, what: str, data: bytes) -> Trial:
    return replace(trial, name=f"{trial.name}-{suffix}", note=f"{trial.note}, {what}", data=data)


def _program(package: str, arch: str, name: str) -> Path:
    """A program of /bin: Debian 13 ships it in /usr/bin alone."""
    folder = extract(package, arch)
    found = folder / "bin" / name
    return found if found.exists() else folder / "usr/bin" / name


def title() -> Iterable[str]:
    """How the page begins."""
    return (
        "# Predicted and done: what real tools made, against the lab",
        "",
        "Made by `make table-real`. Programs of Debian for nine architectures, of Alpine's tools, of the Go toolchain at",
        "every level and of UPX, whole and cut at every boundary of their structure, beside scripts, archives and",
        "what is no program. Each was judged from its bytes and the probed facts, then executed by a direct `execve`",
        "on each machine of the lab. *ran* means that the program wrote all it has to say and exited with 0.",
    )


def main() -> int:
    """Print the table; see `oracle.show` for the exit code."""
    fast_only = "--fast" in sys.argv
    return oracle.show(fast if fast_only else whole, title(), slow=not fast_only)


if __name__ == "__main__":
    sys.exit(main())
