"""What a test needs of this machine: the one place that decides between running, skipping and failing.

`requires("busybox", "root")` in a test or a fixture, or `@pytest.mark.requires("busybox")` on a test, a
module or a parameter. What is missing skips the test with the reason and the Debian package to install. With
`CI=true` everything must be there that `scripts/lab-prepare` installs or a root user has, and its lack is a
failure; only what no package mends (the wrong processor, an init system that is there) still skips.

`requires_guard` fails every test that starts a program which neither `BASE` has nor the test asked for.
"""

from __future__ import annotations

import functools
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

#: Programs of Debian's essential packages (and of `mount` and `login`, which debootstrap's smallest variant has).
BASE = frozenset(
    """
    awk basename bash blkid blockdev cat chgrp chmod chown chroot cmp comm cp cut dash date dd df diff dirname dpkg-deb dpkg-query
    du echo env false find findmnt flock getent grep gzip head hostname id install kill ldconfig ldd linux32 ln
    losetup ls mkdir mkfifo mknod mktemp mount mountpoint mv nice nohup nproc nsenter od passwd perl pivot_root
    printf pwd readlink realpath rm rmdir sed seq setarch setpriv setsid sh sha256sum sleep sort stat su sync tail
    tar tee test timeout touch tr true truncate umount uname unshare useradd wc xargs yes
    """.split()  # noqa: SIM905 (a list would be a hundred lines)
)

#: Program -> the Debian package to install; `scripts/lab-prepare packages` (or `slow`) installs every one.
PACKAGES = {
    "apt-config": "apt",
    "apt-get": "apt",
    "busybox": "busybox-static",
    "chattr": "e2fsprogs",
    "apt-cache": "apt",
    "bzip2": "bzip2",
    "containerd": "containerd",
    "ctr": "containerd",
    "curl": "curl",
    "debootstrap": "debootstrap",
    "doas": "opendoas",
    "dropbear": "dropbear-bin",
    "dropbearkey": "dropbear-bin",
    "faketime": "faketime",
    "file": "file",
    "fish": "fish",
    "gcc": "gcc",
    "git": "git",
    "ip": "iproute2",
    "lsattr": "e2fsprogs",
    "lz4": "lz4",
    "make": "make",
    "mcopy": "mtools",
    "minisign": "minisign",
    "mke2fs": "e2fsprogs",
    "mkfs.vfat": "dosfstools",
    "mmd": "mtools",
    "nc": "netcat-openbsd",
    "nft": "nftables",
    "objcopy": "binutils",
    "objdump": "binutils",
    "openssl": "openssl",
    "python3": "python3",
    "qemu-aarch64-static": "qemu-user-static",
    "qemu-arm-static": "qemu-user-static",
    "qemu-ppc64le-static": "qemu-user-static",
    "qemu-riscv64-static": "qemu-user-static",
    "qemu-s390x-static": "qemu-user-static",
    "readelf": "binutils",
    "shasum": "perl",
    "skopeo": "skopeo",
    "ssh": "openssh-client",
    "ssh-add": "openssh-client",
    "ssh-agent": "openssh-client",
    "ssh-keygen": "openssh-client",
    "sshd": "openssh-server",
    "strace": "strace",
    "strip": "binutils",
    "sudo": "sudo",
    "tc": "iproute2",
    "tcsh": "tcsh",
    "umoci": "umoci",
    "wget": "wget",
    "zstd": "zstd",
}

#: Files that packages bring without a program of their own -> the package.
FILES = {
    "/usr/include/zlib.h": "zlib1g-dev",
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
}


@dataclass(frozen=True, slots=True)
class Property:
    """What a machine is, apart from its programs: `lacks` says in words what is wrong, or nothing.

    `promised` ones are there wherever CI runs.
    """

    lacks: Callable[[], str]
    promised: bool = True


def _root() -> str:
    return "" if os.geteuid() == 0 else "needs root"


@functools.cache
def _namespaces() -> str:
    if reason := _root():
        return reason
    done = subprocess.run(
        ["unshare", "-m", "-p", "--fork", "--mount-proc", "true"], check=False, capture_output=True, text=True
    )
    return f"needs permission to make namespaces: {done.stderr.strip()}" if done.returncode else ""


@functools.cache
def _loop_devices() -> str:
    if reason := _root():
        return reason
    done = subprocess.run(["losetup", "--find"], capture_output=True, text=True, check=False)
    return f"needs loop devices: {done.stderr.strip()}" if done.returncode else ""


@functools.cache
def _tracing() -> str:
    done = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, text=True, check=False)
    return f"needs permission to trace processes: {done.stderr.strip()}" if done.returncode else ""


#: Since this release every user namespace may have a binfmt_misc table of its own.
_KERNEL = (6, 7)


def _binfmt() -> str:
    found = re.match(r"(\d+)\.(\d+)", os.uname().release)
    if not found or (int(found[1]), int(found[2])) < _KERNEL:
        return f"Linux {os.uname().release} shares one binfmt_misc table; needs 6.7 or newer"
    if not Path("/proc/sys/fs/binfmt_misc").is_dir():
        return "this kernel has no binfmt_misc"
    return ""


def _x86_64() -> str:
    return (
        "" if platform.machine() == "x86_64" else f"needs an x86-64 processor; this is {platform.machine()}"
    )


def _no_systemd() -> str:
    return "needs a machine without systemd" if Path("/run/systemd/system").is_dir() else ""


def _no_init() -> str:
    other = "needs a machine without an init system; rc-service is here" if shutil.which("rc-service") else ""
    return _no_systemd() or other


def _default_route() -> str:
    rows = [row.split() for row in Path("/proc/net/route").read_text().splitlines()[1:]]
    return "" if any(row[1] == "00000000" for row in rows) else "needs a default route"


PROPERTIES = {
    "root": Property(_root),
    "namespaces": Property(_namespaces),
    "loop devices": Property(_loop_devices),
    "tracing": Property(_tracing),
    "binfmt_misc of one's own": Property(_binfmt),
    "x86-64": Property(_x86_64, promised=False),
    "no systemd": Property(_no_systemd, promised=False),
    "no init system": Property(_no_init, promised=False),
    "default route": Property(_default_route, promised=False),
}

#: What the lab of namespaces and virtual machines cannot do without.
LAB = (
    *("root", "namespaces", "x86-64", "binfmt_misc of one's own"),
    *("ip", "tc", "ssh", "dpkg-deb", "apt-get", "/usr/share/keyrings/debian-archive-keyring.gpg"),
)

#: Called with every name that is asked for; `requires_guard` listens here.
LISTENERS: list[Callable[[str], None]] = []


def requires(*names: str) -> None:
    """Skip the test unless this machine has all of these: programs, files of packages, or properties.

    Raises `KeyError` for a name that no table here has.
    """
    for name in names:
        for listener in LISTENERS:
            listener(name)
        reason, promised = _judged(name)
        if reason:
            unavailable(reason) if promised else inapplicable(reason)


def lacking(*names: str) -> str:
    """Why this machine has not all of these, in words; empty when it has. The test has asked for them so, too."""
    for name in names:
        for listener in LISTENERS:
            listener(name)
    return next(filter(None, (_judged(name)[0] for name in names)), "")


def program_path(name: str) -> str:
    """The path of a program that this test cannot do without."""
    requires(name)
    return str(shutil.which(name))


def unavailable(reason: object) -> NoReturn:
    """Skip for want of something that can be installed or fetched; fail for it under CI."""
    if os.environ.get("CI"):
        pytest.fail(f"under CI this must be there: {reason}", pytrace=False)
    pytest.skip(str(reason))


def inapplicable(reason: str) -> NoReturn:
    """Skip what means nothing on this machine, whatever one installs: under CI as well."""
    pytest.skip(reason)


#: Shells by the name that tests know them by.
SHELLS = {
    "sh": ("/bin/sh",),
    "dash": ("dash",),
    "bash": ("bash", "--posix"),
    "busybox": ("busybox", "sh"),
}


def shells(*names: str, **of: str) -> list[object]:
    """Parameters: the shells of these names (all of them, when none is named), each run where it is installed."""
    chosen = names or tuple(SHELLS)
    return [
        pytest.param(SHELLS[name], id=name, marks=pytest.mark.requires(SHELLS[name][0].rpartition("/")[2]))
        for name in chosen
    ]


def _judged(name: str) -> tuple[str, bool]:
    """What is lacking, in words, and whether CI must have it."""
    if name in PROPERTIES:
        return PROPERTIES[name].lacks(), PROPERTIES[name].promised
    if name in FILES:
        there = Path(name).exists()
        return ("" if there else f"{name} is missing: apt-get install {FILES[name]}"), True
    package = "its package" if name in BASE else PACKAGES[name]
    return ("" if shutil.which(name) else f"{name} is missing: apt-get install {package}"), True
