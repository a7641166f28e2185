"""The lab: machines that are started when a test first asks for them and that never outlive the test run."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from labkit import inventories, keys, listings, nodes, vm
from labkit.bridge import Bridge
from labkit.machines import Node, Order

#: Seconds within which a machine must speak SSH: five times what a loaded machine was seen to need.
NODE_LIMIT = 30.0
SYSTEMD_LIMIT = 60.0
VM_LIMIT = 120.0


@dataclass(frozen=True, slots=True)
class Held:
    """An open shell on a machine, through the OpenSSH client."""

    stdin: IO[bytes]
    stdout: IO[bytes]
    wait: Callable[[float], int]


class Lab:
    """Machines of several architectures on one bridge.

    Use from the main thread: a machine dies with the thread that started it.
    """

    def __init__(self, folder: Path) -> None:
        """Lay the bridge."""
        self.folder = folder
        self.bridge = Bridge()
        self._numbers = itertools.count(1)
        self._up: list[Node] = []
        self._running: dict[str, nodes.Running | vm.Running] = {}
        self._user_key = keys.generate()
        self.key_file = folder / "id_ed25519"
        self.key_file.touch(mode=0o600)
        self.key_file.write_bytes(self._user_key.openssh)
        (folder / "id_ed25519.pub").write_text(self._user_key.public + "\n")

    def entered(self) -> AbstractContextManager[None]:
        """Move the calling thread into the lab's network; what it starts meanwhile lives there too."""
        return self.bridge.entered()

    def need(self, *kinds: str) -> tuple[Node, ...]:
        """One machine for each kind named, shared with every test; a kind named twice gives two.

        What is not up yet starts now, all at once. Raises
        `LabUnavailableError` where the machine cannot offer a kind.
        """
        free = list(self._up)
        chosen: list[Node | None] = []
        for kind in kinds:
            found = next((node for node in free if node.kind == kind), None)
            if found:
                free.remove(found)
            chosen.append(found)
        missing = [kind for kind, node in zip(kinds, chosen, strict=True) if node is None]
        started = self._start(missing)
        self._up += started
        return tuple(node or started.pop(0) for node in chosen)

    @contextlib.contextmanager
    def fresh(self, *kinds: str) -> Iterator[tuple[Node, ...]]:
        """Machines for this test alone, gone afterwards."""
        started = self._start(kinds)
        try:
            yield tuple(started)
        finally:
            for node in started:
                self.stop(node)

    def stop(self, node: Node) -> None:
        """End one machine as a power cut would."""
        running = self._running.pop(node.name, None)
        self._up = [other for other in self._up if other.name != node.name]
        if running:
            running.stop()

    def close(self) -> None:
        """End every machine and the network."""
        for running in self._running.values():
            running.stop()
        self._running.clear()
        self._up.clear()
        self.bridge.close()

    def _start(self, kinds: Sequence[str]) -> list[Node]:
        if not kinds:
            return []
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("machines die with the thread that starts them: use the main thread")
        starter = nodes.Starter(self.bridge)
        orders = [self._order(kind) for kind in kinds]
        try:
            # Virtual machines take longest, so they go first.
            for order in sorted(orders, key=lambda order: not order.about.vm):
                begin = self._begin_vm if order.about.vm else starter.begin
                self._running[order.name] = begin(order)
            starter.finish()
            self._wait(orders)
        except BaseException:
            for order in orders:
                if running := self._running.pop(order.name, None):
                    running.stop()
            raise
        return [self._node(order) for order in orders]

    def _begin_vm(self, order: Order) -> vm.Running:
        return vm.start(self.bridge, order)

    def _order(self, kind: str) -> Order:
        name = f"{kind}-{next(self._numbers)}"
        state = self.folder / name
        state.mkdir()
        return Order(name, kind, self.bridge.address(), state, keys.generate(), self._user_key.public)

    def _node(self, order: Order) -> Node:
        running = self._running[order.name]
        return Node(
            name=order.name,
            kind=order.kind,
            address=order.address,
            port=22,
            user="root",
            key_file=self.key_file,
            host_key=order.host_key.public,
            pid=running.pid,
            log=order.state / "log",
            link=running.link,
        )

    def _wait(self, orders: Sequence[Order]) -> None:
        def ready(order: Order) -> None:
            about = order.about
            limit = VM_LIMIT if about.vm else SYSTEMD_LIMIT if about.server == "systemd" else NODE_LIMIT
            try:
                running = self._running[order.name]
                self.bridge.wait_for_ssh(order.address, 22, limit, lambda: running.alive)
            except TimeoutError as error:
                logs = [path.read_text(errors="replace") for path in sorted(order.state.glob("*log"))]
                ends = "\n".join(log[-1500:] for log in logs)
                raise TimeoutError(f"{order.name}: {error}; its logs end:\n{ends}") from None

        with ThreadPoolExecutor(max_workers=len(orders)) as pool:
            list(pool.map(ready, orders))

    def ssh(
        self, node: Node, command: str, stdin: bytes = b"", limit: float = 60
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command on `node` with the OpenSSH client: a second opinion, independent of sealboot."""
        argv = [*self._client(node), command]
        with self.entered():
            return subprocess.run(argv, input=stdin, capture_output=True, timeout=limit, check=False)

    @contextlib.contextmanager
    def held(self, node: Node) -> Iterator[Held]:
        """A shell on `node` that stays open: commands go in, lines come out."""
        with self.entered():
            process = subprocess.Popen(
                [*self._client(node), "exec sh -s"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        assert process.stdin
        assert process.stdout
        held = Held(process.stdin, process.stdout, process.wait)
        try:
            held.stdin.write(b"echo ready\n")
            held.stdin.flush()
            assert held.stdout.readline() == b"ready\n"
            yield held
        finally:
            process.kill()
            process.communicate()

    def _client(self, node: Node) -> list[str]:
        known = self.known_hosts(self.folder / f"{node.name}.known", [node])
        options = ("BatchMode=yes", f"UserKnownHostsFile={known}", "GlobalKnownHostsFile=/dev/null")
        argv = ["ssh", "-F", "none", *(word for option in options for word in ("-o", option))]
        return [*argv, "-i", str(node.key_file), "-p", str(node.port), f"{node.user}@{node.address}"]

    def until_booted_anew(self, node: Node, boot_id: bytes, limit: float = VM_LIMIT) -> None:
        """Wait until `node` runs with another boot id than `boot_id`; raises `TimeoutError`."""
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline:
            self.bridge.wait_for_ssh(node.address, node.port, limit, lambda: True)
            done = self.ssh(node, "cat /proc/sys/kernel/random/boot_id")
            if done.returncode == 0 and done.stdout != boot_id:
                return
        raise TimeoutError(f"{node.name} did not boot again within {limit:.0f} s")

    def known_hosts(self, path: Path, machines: Sequence[Node]) -> Path:
        """Write a known_hosts file that trusts `machines`."""
        path.write_text("".join(f"{node.known_hosts_line}\n" for node in machines))
        return path

    def inventory(self, path: Path, machines: Sequence[Node], **settings: Any) -> Path:
        """Write an inventory of `machines` and a known_hosts beside it; see `inventories.document`."""
        self.known_hosts(path.with_name("known_hosts"), machines)
        return inventories.write(path, machines, **settings)

    def listing(self, node: Node) -> str:
        """Every path of the node's file systems with kind, mode, owner, size and time of last change.

        Kernel file systems and what changes by itself (logs, /run) are left out.
        """
        if node.about.vm:
            done = self.ssh(node, listings.SCRIPT)
            assert done.returncode == 0, done.stderr.decode(errors="replace")
            return listings.normal(done.stdout.decode(errors="backslashreplace"))
        return listings.of_tree(node.filesystem)

    def differences(self, before: Mapping[str, str], after: Mapping[str, str]) -> str:
        """What changed between two rounds of listings, by node name; empty when nothing did."""
        return listings.differences(before, after)
