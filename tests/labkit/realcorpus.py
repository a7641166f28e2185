"""The corpus of real files: programs that Debian, Alpine's tools, Go and UPX made, whole and cut, and what is no program.

Every program is called so that it prints one line and exits with 0. The `fast`
part is made from the roots that the lab's nodes have anyway; the rest is
downloaded or built when first asked for, and kept in the lab's cache.
"""

from __future__ import annotations

from pathlib import Path

from labkit.cuts import cuts
from labkit.debs import extract
from labkit.roots import root
from labkit.trials import Trial

#: Debian's names of the architectures whose packages the whole corpus has.
DEBIAN = ("amd64", "i386", "arm64", "armhf", "armel", "riscv64", "ppc64el", "s390x", "mips64el")
#: Those whose static and dynamic programs are also cut.
CUT = ("amd64", "i386", "arm64", "s390x")


def fast() -> list[Trial]:
    """Debian's static and dynamic programs out of the nodes' own roots, cuts of them, and no programs."""
    statics = {arch: root("minimal", arch) / "bin/busybox" for arch in ("amd64", "arm64", "riscv64", "s390x")}
    dynamics = {arch: root("debian", arch) / "bin/dash" for arch in ("amd64", "arm64")}
    found = [busybox(arch, path.read_bytes()) for arch, path in statics.items()]
    found += [dash(arch, path.read_bytes()) for arch, path in dynamics.items()]
    for trial in list(found):
        if trial.name.endswith(("-amd64", "-arm64")):
            found += cut(trial)
    return found


def debian() -> list[Trial]:
    """A static program and two that need the C library alone, of every architecture that Debian has."""
    found = []
    for arch in DEBIAN:
        hello = extract("hello", arch) / "usr/bin/hello"
        found += [
            busybox(arch, _program("busybox-static", arch, "busybox").read_bytes()),
            dash(arch, _program("dash", arch, "dash").read_bytes()),
            Trial(f"hello-{arch}", f"Debian's hello, {arch}", hello.read_bytes(), b"Hello, world!\n"),
        ]
    return found


def cut_debian() -> list[Trial]:
    """Cuts of a static program and of the smallest dynamic one."""
    whole = [t for t in debian() if t.name.split("-")[0] in {"busybox", "hello"}]
    return [one for t in whole if t.name.split("-")[1] in CUT for one in cut(t)]


def busybox(arch: str, data: bytes) -> Trial:
    """Debian's static program."""
    name = f"busybox-{arch}"
    return Trial(name, f"Debian's busybox-static, {arch}", data, name.encode() + b"\n", ("echo", name))


def dash(arch: str, data: bytes) -> Trial:
    """Debian's shell, which needs the C library alone."""
    name = f"dash-{arch}"
    return Trial(name, f"Debian's dash, {arch}", data, name.encode() + b"\n", ("-c", f"echo {name}"))


def cut(trial: Trial) -> list[Trial]:
    """The same file, ending too early: once for every place in `cuts`."""
    assert trial.data is not None
    return [
        Trial(
            f"{trial.name}-cut-{at}",
            f"{trial.note}, cut {what}",
            trial.data,
            trial.says,
            trial.arguments,
            keep=at,
        )
        for at, what in cuts(trial.data)
    ]


def _program(package: str, arch: str, name: str) -> Path:
    """A program of /bin: Debian 13 ships it in /usr/bin alone."""
    folder = extract(package, arch)
    found = folder / "bin" / name
    return found if found.exists() else folder / "usr/bin" / name
