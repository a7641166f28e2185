"""The few Linux system calls that Python's standard library does not offer (3.11), each raising `OSError`."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from contextvars import ContextVar

CLONE_NEWNS = 0x0002_0000
CLONE_NEWCGROUP = 0x0200_0000
CLONE_NEWUTS = 0x0400_0000
CLONE_NEWIPC = 0x0800_0000
CLONE_NEWUSER = 0x1000_0000
CLONE_NEWPID = 0x2000_0000
CLONE_NEWNET = 0x4000_0000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x4_0000

MNT_DETACH = 0x2
PER_LINUX32 = 0x0008
PR_SET_PDEATHSIG = 1

#: pivot_root has no wrapper in glibc; the number is that of the machine which runs the lab.
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41}

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def unshare(flags: int) -> None:
    """Leave the namespaces named by `flags` for new ones."""
    _check(_libc.unshare(flags), f"unshare {flags:#x}")


def setns(fd: int, kind: int) -> None:
    """Move the calling thread into the namespace that `fd` refers to."""
    _check(_libc.setns(fd, kind), f"setns {kind:#x}")


def mount(source: str, target: str, fstype: str = "", flags: int = 0, data: str = "") -> None:
    """Mount a file system, mount(2)."""
    result = _libc.mount(
        os.fsencode(source), os.fsencode(target), fstype.encode(), ctypes.c_ulong(flags), data.encode()
    )
    _check(result, f"mount {fstype or source} on {target}")


def umount(target: str) -> None:
    """Detach a mount at once, its busy users keep it until they are done."""
    _check(_libc.umount2(os.fsencode(target), MNT_DETACH), f"umount {target}")


def pivot_root(new: str, old: str) -> None:
    """Make `new` the root of this mount namespace and hang the old root on `old`."""
    number = _PIVOT_ROOT[os.uname().machine]
    _check(_libc.syscall(number, os.fsencode(new), os.fsencode(old)), "pivot_root")


def sethostname(name: str) -> None:
    """Set the host name of this UTS namespace."""
    raw = name.encode()
    _check(_libc.sethostname(raw, len(raw)), "sethostname")


def personality(value: int) -> None:
    """Set the execution domain, personality(2)."""
    _check(_libc.personality(ctypes.c_ulong(value)), "personality")


def die_with_parent(signal_number: int) -> None:
    """Ask for a signal when the parent thread ends, however it ends."""
    _check(_libc.prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0), "prctl")


def new_network() -> int:
    """Make a network namespace and return a descriptor that keeps it; the caller stays where it is."""
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        unshare(CLONE_NEWNET)
        made = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        setns(here, CLONE_NEWNET)
    finally:
        os.close(here)
    return made


#: The network that the calling thread has left for another one.
_LEFT: ContextVar[int | None] = ContextVar("left", default=None)


@contextlib.contextmanager
def inside_network(fd: int) -> Iterator[None]:
    """Move the calling thread, and all it starts meanwhile, into the network namespace `fd`."""
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    left = _LEFT.get()
    token = _LEFT.set(here if left is None else left)
    try:
        setns(fd, CLONE_NEWNET)
        try:
            yield
        finally:
            setns(here, CLONE_NEWNET)
    finally:
        _LEFT.reset(token)
        os.close(here)


@contextlib.contextmanager
def outside() -> Iterator[None]:
    """Back in the network that this thread came from, for what is fetched: a lab's leads nowhere."""
    left = _LEFT.get()
    if left is None:
        yield
        return
    with inside_network(left):
        yield
