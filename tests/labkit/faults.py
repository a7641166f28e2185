"""Things that go wrong with a machine, each as a context manager that mends it afterwards."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from labkit.lab import Lab
from labkit.machines import Node


@contextlib.contextmanager
def unplugged(lab: Lab, node: Node) -> Iterator[None]:
    """Packets to and from the machine vanish without an answer."""
    lab.bridge.ip(f"link set {node.link} down")
    try:
        yield
    finally:
        lab.bridge.ip(f"link set {node.link} up")


@contextlib.contextmanager
def slow(lab: Lab, node: Node, rate: str = "1mbit") -> Iterator[None]:
    """What is sent to the machine passes at `rate` (tc's notation, bits per second)."""
    lab.bridge.tc(f"qdisc add dev {node.link} root tbf rate {rate} burst 32kbit latency 400ms")
    try:
        yield
    finally:
        lab.bridge.tc(f"qdisc del dev {node.link} root")


def sessions(node: Node) -> list[int]:
    """The server's processes that each serve one connection; not the listening one."""
    space = _pid_space(node.pid)
    servers = {
        pid: parent
        for pid, parent, name in _processes()
        if name in {"sshd", "dropbear"} and _pid_space(pid) == space
    }
    return sorted(pid for pid, parent in servers.items() if parent in servers)


def _processes() -> Iterator[tuple[int, int, str]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                # pid (name) state parent …; a name may hold spaces and brackets
                head, _, rest = (entry / "stat").read_text().rpartition(")")
                yield int(entry.name), int(rest.split()[1]), head.partition("(")[2]


def state(pid: int) -> str:
    """The process's state letter as ps shows it; `Z` also for one that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def _pid_space(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/ns/pid").readlink())
    except OSError:
        return ""


@contextlib.contextmanager
def frozen(node: Node) -> Iterator[None]:
    """Every open connection hangs: the server's session processes stop, the network stays up."""
    stopped = sessions(node)
    for pid in stopped:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    # A process stops when it is next scheduled, not when it is told.
    deadline = time.monotonic() + 5
    while any(state(pid) not in "TZ" for pid in stopped) and time.monotonic() < deadline:
        time.sleep(0.005)
    try:
        yield
    finally:
        for pid in stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def cut_sessions(node: Node) -> int:
    """Every open connection breaks at once; how many there were."""
    cut = sessions(node)
    for pid in cut:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return len(cut)


@contextlib.contextmanager
def mounted_over(lab: Lab, node: Node, path: str, options: str) -> Iterator[None]:
    """An empty tmpfs lies over `path`: `size=4m` for a full disk, `noexec`, `ro`."""
    where = shlex.quote(path)
    _do(lab, node, f"mkdir -p {where} && mount -t tmpfs -o {shlex.quote(options)} lab {where}")
    try:
        yield
    finally:
        _do(lab, node, f"umount -l {where}")


@contextlib.contextmanager
def noexec(lab: Lab, node: Node, path: str) -> Iterator[None]:
    """The file system mounted at `path` refuses to execute what lies on it."""
    _do(lab, node, f"mount -o remount,noexec {shlex.quote(path)}")
    try:
        yield
    finally:
        _do(lab, node, f"mount -o remount,exec {shlex.quote(path)}")


@contextlib.contextmanager
def clock_ahead(lab: Lab, node: Node, seconds: int) -> Iterator[None]:
    """The machine's clock is ahead by `seconds` (behind, where negative).

    A virtual machine has a clock of its own. A node shares its kernel's, so
    its `date` program is replaced by one that adds the difference; a `minimal`
    node cannot be had so, because busybox's shell has `date` built in.
    """
    if node.about.vm:
        shift = 'date -s "@$(( $(date +%s) + {} ))" >/dev/null'
        _do(lab, node, shift.format(seconds))
        try:
            yield
        finally:
            _do(lab, node, shift.format(-seconds))
        return
    if node.about.recipe == "minimal":
        raise ValueError(f"{node.name}: only a debian node or a virtual machine can have another time")
    real = "/bin/date.real"
    script = f'#!/bin/sh\nexec {real} -d "@$(( $({real} +%s) + {seconds} ))" "$@"\n'
    _do(lab, node, "mv /bin/date /bin/date.real && cat > /bin/date && chmod 755 /bin/date", script.encode())
    try:
        yield
    finally:
        _do(lab, node, "mv -f /bin/date.real /bin/date")


def _do(lab: Lab, node: Node, command: str, stdin: bytes = b"") -> None:
    done = lab.ssh(node, command, stdin)
    if done.returncode:
        raise RuntimeError(f"{node.name}: {command}: {done.stderr.decode(errors='replace')[-300:]}")
