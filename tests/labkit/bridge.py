"""The lab's network: a bridge in a network namespace that no name refers to.

The descriptor held here is the only thing that keeps the namespace. When the
process ends, however it ends, the kernel removes bridge, cables and taps.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from labkit import syscalls
from labkit.apt import LabUnavailableError

#: Addresses are private to the namespace, so any number of labs may use the same ones.
PREFIX = "10.77.0"
GATEWAY = f"{PREFIX}.1"


class Bridge:
    """A bridge with the address .1 in a namespace of its own."""

    def __init__(self) -> None:
        self._fd = syscalls.new_network()
        self._next = 11
        self.ip(
            "link set lo up", "link add br0 type bridge", f"addr add {GATEWAY}/24 dev br0", "link set br0 up"
        )

    @property
    def path(self) -> str:
        """What `nsenter --net=PATH` takes, to enter by hand."""
        return f"/proc/{os.getpid()}/fd/{self._fd}"

    def entered(self) -> AbstractContextManager[None]:
        """Move the calling thread into the namespace: its sockets, threads and children live there."""
        return syscalls.inside_network(self._fd)

    def ip(self, *commands: str) -> None:
        """Run lines of `ip -batch` inside."""
        with self.entered():
            self._batch(["ip", "-batch", "-"], commands)

    def tc(self, *commands: str) -> None:
        """Run lines of `tc -batch` inside."""
        with self.entered():
            self._batch(["tc", "-batch", "-"], commands)

    @staticmethod
    def _batch(argv: list[str], commands: tuple[str, ...]) -> None:
        text = "\n".join(commands) + "\n"
        done = subprocess.run(argv, input=text, text=True, capture_output=True, check=False)
        if done.returncode:
            raise OSError(f"{argv[0]}: {done.stderr.strip()}")

    def address(self) -> str:
        """The next free address."""
        self._next += 1
        if self._next > 250:
            raise LabUnavailableError("the lab's network is full")
        return f"{PREFIX}.{self._next - 1}"

    def wait_for_ssh(self, address: str, port: int, limit: float, alive: Callable[[], bool]) -> float:
        """Wait until an SSH banner comes; the seconds it took.

        Raises `TimeoutError` after `limit` seconds, and at once when `alive` says no.
        """
        begun = time.monotonic()
        patience = 0.25
        while (waited := time.monotonic() - begun) < limit and alive():
            with self.entered(), socket.socket() as probe:
                probe.settimeout(1)
                with contextlib.suppress(OSError):
                    probe.connect((address, port))
                    # A server that is still starting may be slow to speak: be ever more patient.
                    patience = min(patience * 1.1, 5)
                    probe.settimeout(patience)
                    if probe.recv(4) == b"SSH-":
                        return time.monotonic() - begun
            select.select([], [], [], 0.02)
        raise TimeoutError(f"no SSH banner from {address}:{port} after {waited:.0f} s")

    def close(self) -> None:
        """Let go of the namespace."""
        os.close(self._fd)
