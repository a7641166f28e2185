"""Bounds for code that reads hostile bytes: memory, processor time, and nothing but reading.

Whoever imports this in a child process calls `confine` once; what the code then
does against the rules is in `Watch.broken` and raised as `BrokenRuleError`,
which no `except Exception` of the code under test can swallow.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
#: Audit events (Python's "Audit events table") of what changes a file, starts a process or uses a network.
_FORBIDDEN = frozenset(
    {
        "os.chflags",
        "os.chmod",
        "os.chown",
        "os.exec",
        "os.fork",
        "os.forkpty",
        "os.kill",
        "os.link",
        "os.lockf",
        "os.mkdir",
        "os.posix_spawn",
        "os.remove",
        "os.removexattr",
        "os.rename",
        "os.rmdir",
        "os.setxattr",
        "os.spawn",
        "os.symlink",
        "os.system",
        "os.truncate",
        "os.utime",
        "pty.spawn",
        "shutil.copyfile",
        "shutil.move",
        "shutil.rmtree",
        "shutil.unpack_archive",
        "socket.bind",
        "socket.connect",
        "socket.getaddrinfo",
        "socket.sendto",
        "subprocess.Popen",
        "tempfile.mkdtemp",
        "tempfile.mkstemp",
    }
)


def peak() -> int:
    """The most memory that this process had in RAM, in bytes.

    `VmHWM` of /proc (proc(5)) and not `ru_maxrss`: that one a child inherits from
    the process that started it (getrusage(2), through `execve`).
    """
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


class BrokenRuleError(BaseException):
    """The code under test did more than read."""


@dataclass
class Watch:
    """What was done against the rules, in the order it happened."""

    broken: list[str] = field(default_factory=list)
    on: bool = True


def watch_writes() -> Watch:
    """From now on this process can only read; cannot be undone, only paused by `on`."""
    watch = Watch()

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if not watch.on or not _breaks(event, arguments):
            return
        watch.broken.append(f"{event} {arguments!r:.200}")
        raise BrokenRuleError(watch.broken[-1])

    sys.addaudithook(hook)
    return watch


def _breaks(event: str, arguments: tuple[object, ...]) -> bool:
    if event != "open":
        return event in _FORBIDDEN
    flags = arguments[2]
    return isinstance(flags, int) and bool(flags & _WRITES)


def limit_memory(size: int) -> None:
    """At most `size` bytes of address space: more is a `MemoryError`."""
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


def confine(memory: int) -> Callable[[], list[str]]:
    """Both of the above; the result tells what was done against the rules until now."""
    limit_memory(memory)
    watch = watch_writes()
    return lambda: list(watch.broken)
