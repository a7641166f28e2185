"""A userland whose C library is musl, as on Alpine: a compiler for it, and a busybox made with it.

Debian has musl itself, but no program that is linked against it. So busybox is
compiled from Debian's source with the machine's own gcc, in ten seconds, and the
probe meets what it meets on Alpine: a shell and tools that musl's loader runs.
The server stays Debian's dropbear, with its glibc in a folder that no other
program looks in.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from labkit.apt import LabUnavailableError, repository
from labkit.cache import CACHE, key, made
from labkit.debs import unpack

#: What the root consists of, before `settle` moves it about.
PACKAGES = ("musl", "dropbear-bin")
LOADER = "/lib/ld-musl-x86_64.so.1"

_TRIPLET = "x86_64-linux-musl"
#: Kernel headers: musl has none of its own.
_HEADERS = {"linux": "linux", "asm-generic": "asm-generic", "asm": "x86_64-linux-gnu/asm"}
_PRIVATE = "opt/dropbear"
_SERVER = f"""#!/bin/sh
exec /{_PRIVATE}/ld.so --library-path /{_PRIVATE} /{_PRIVATE}/dropbear "$@"
"""
#: Options of busybox beyond `allnoconfig`: a shell, an init, and what the probe and the lab call.
_OPTIONS = (
    *("LFS", "BUSYBOX", "FEATURE_INSTALLER", "ASH", "SH_IS_ASH", "ASH_ECHO", "ASH_PRINTF", "ASH_TEST"),
    *(
        "ASH_GETOPTS",
        "ASH_JOB_CONTROL",
        "SETSID",
        "TEST1",
        "DESKTOP",
        "ASH_CMDCMD",
        "ASH_INTERNAL_GLOB",
        "FEATURE_SH_MATH",
        "FEATURE_SH_MATH_64",
    ),
    *(
        "INIT",
        "FEATURE_USE_INITTAB",
        "UNAME",
        "DATE",
        "FEATURE_DATE_NANO",
        "GREP",
        "HEAD",
        "FEATURE_FANCY_HEAD",
    ),
    *(
        "OD",
        "CAT",
        "DF",
        "ID",
        "HEXDUMP",
        "PRINTF",
        "MKTEMP",
        "TAR",
        "FEATURE_TAR_CREATE",
        "GUNZIP",
        "FEATURE_SEAMLESS_GZ",
        "TIMEOUT",
        "RM",
    ),
    *(
        "FEATURE_TAR_GNU_EXTENSIONS",
        "FEATURE_TAR_LONG_OPTIONS",
        "LS",
        "SED",
        "SLEEP",
        "TEST",
        "TRUE",
        "FALSE",
    ),
    *("CHMOD", "CHOWN", "MKDIR", "MV", "CP", "LN", "SHA256SUM", "STAT", "TOUCH", "FIND", "WC", "TR", "CUT"),
    *(
        "SORT",
        "ENV",
        "PS",
        "KILL",
        "HOSTNAME",
        "ECHO",
        "BASENAME",
        "DIRNAME",
        "READLINK",
        "PWD",
        "SYNC",
        "DD",
    ),
)
_RECIPE = 1


def compiler() -> Path:
    """A program that takes gcc's arguments and makes programs for musl."""

    def make(part: Path) -> None:
        # Renamed when whole, so what it contains must name its final place.
        for deb in repository(CACHE, "amd64").closure(("musl", "musl-dev")):
            unpack(deb, part)
        here = CACHE / "musl" / "toolchain"
        library, headers = here / "usr/lib" / _TRIPLET, here / "usr/include" / _TRIPLET
        specs = (part / "usr/lib" / _TRIPLET / "musl-gcc.specs").read_text()
        specs = specs.replace(f"/usr/lib/{_TRIPLET}", str(library))
        specs = specs.replace(f"/usr/include/{_TRIPLET}", f"{headers} -isystem {here}/kernel")
        (part / "specs").write_text(specs)
        (part / "kernel").mkdir()
        for name, source in _HEADERS.items():
            (part / "kernel" / name).symlink_to(Path("/usr/include") / source)
        (part / "usr/lib" / _TRIPLET / "libc.so").symlink_to(here / "lib" / _TRIPLET / "libc.so")
        wrapper = part / "musl-gcc"
        wrapper.write_text(f'#!/bin/sh\nexec gcc -specs={here}/specs -no-pie "$@"\n')
        wrapper.chmod(0o755)

    return made(CACHE / "musl" / "toolchain", make) / "musl-gcc"


def busybox() -> Path:
    """A busybox that musl's loader runs."""

    def make(part: Path) -> None:
        work = part.with_name("busybox.work")
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        source = repository(CACHE, "amd64").source("busybox", work)
        _build(source)
        shutil.copy2(source / "busybox", part)
        shutil.rmtree(work)

    return made(CACHE / "musl" / f"busybox-{key(_RECIPE, _OPTIONS)}", make)


def _build(source: Path) -> None:
    _run(source, "make", "allnoconfig")
    config = source / ".config"
    text = config.read_text()
    for option in _OPTIONS:
        text = text.replace(f"# CONFIG_{option} is not set\n", f"CONFIG_{option}=y\n")
    config.write_text(text)
    _run(source, "make", "oldconfig", answers="\n" * 400)
    _run(source, "make", f"-j{os.cpu_count()}", f"CC={compiler()}", "HOSTCC=gcc")


def _run(folder: Path, *argv: str, answers: str = "") -> None:
    done = subprocess.run(argv, cwd=folder, input=answers, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabUnavailableError(f"{' '.join(argv)}: {(done.stdout + done.stderr)[-800:]}")


@functools.cache
def applets() -> Sequence[str]:
    """The paths of its applets, relative to the root: it runs here too, through the loader of the compiler's own musl."""
    loader = compiler().with_name("lib") / _TRIPLET / "libc.so"
    done = subprocess.run(
        [str(loader), str(busybox()), "--list-full"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise LabUnavailableError(f"busybox --list-full: {done.stderr.strip()}")
    return tuple(done.stdout.split())


def settle(tree: Path) -> None:
    """Turn the unpacked packages into Alpine's layout; glibc remains for the server alone, out of sight."""
    private = tree / _PRIVATE
    private.mkdir(parents=True)
    for pattern in ("lib/x86_64-linux-gnu/*.so.*", "usr/lib/x86_64-linux-gnu/*.so.*"):
        for library in tree.glob(pattern):
            shutil.copy2(library, private / library.name)
    (private / "ld.so").symlink_to("ld-linux-x86-64.so.2")
    (tree / "usr/sbin/dropbear").rename(private / "dropbear")
    content = (tree / "lib" / _TRIPLET / "libc.so").read_bytes()
    for folder in ("lib", "lib64", "usr/lib", "usr/bin", "usr/share"):
        shutil.rmtree(tree / folder, ignore_errors=True)
    (tree / "lib").mkdir()
    loader = tree / LOADER.lstrip("/")
    loader.write_bytes(content)
    loader.chmod(0o755)
    (tree / "lib/libc.musl-x86_64.so.1").symlink_to(loader.name)
    (tree / "usr/sbin/dropbear").write_text(_SERVER)
    (tree / "usr/sbin/dropbear").chmod(0o755)
    (tree / "bin").mkdir(exist_ok=True)
    shutil.copy2(busybox(), tree / "bin/busybox")
