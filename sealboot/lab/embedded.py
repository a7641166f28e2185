"""SSH machines inside this process, for whoever has none at hand: no root, one folder, four commands away.

Each machine is an SSH server of its own on a loopback port with its own host
key; what it runs is run by `tracer`, which makes this computer look like the
machine. It is a model, and says so: the processes are this computer's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from sealboot.lab import ptrace
from sealboot.lab.link import Link
from sealboot.lab.tinyelf import make
from sealboot.lab.tracer import OWN, emulator_for
from sealboot.model.arch import Arch

_CPUINFO = {
    Arch.AMD64: "processor\t: 0\nvendor_id\t: SealbootLab\nmodel name\t: lab processor\nflags\t\t: fpu cx8 cmov mmx fxsr sse sse2 lm\n",
    Arch.ARM64: "processor\t: 0\nFeatures\t: fp asimd evtstrm aes pmull sha1 sha2 crc32\nCPU architecture: 8\n",
}


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine of the lab, ready to be logged in to."""

    name: str
    arch: Arch
    port: int
    host_key: str  # the public key as known_hosts writes it


class EmbeddedLab:
    """The machines, from `start` to `stop`; everything lies in `folder`."""

    def __init__(self, folder: Path, *, speed: float = 0.0) -> None:
        """`speed` is what the link to each machine carries, in bytes per second; 0 is as much as goes."""
        self._speed = speed
        self._links: list[Link] = []
        self.folder = folder.absolute()
        self.machines: tuple[Machine, ...] = ()
        self._servers: list[asyncssh.SSHAcceptor] = []
        self._running: dict[int, asyncio.Task[int]] = {}

    @property
    def identity(self) -> Path:
        """The private key that every machine lets in."""
        return self.folder / "id_ed25519"

    @staticmethod
    def trouble() -> str:
        """Why this computer cannot host the lab; empty when it can."""
        if not ptrace.SUPPORTED:
            return "the embedded lab needs Linux on an x86-64 processor"
        return ""

    @staticmethod
    def how_it_runs(arch: Arch) -> str:
        """What executes a program of this architecture here, in words."""
        emulator = emulator_for(arch)
        if not emulator:
            return "by this computer's own kernel"
        if "qemu" in emulator[0]:
            return f"by {Path(emulator[0]).name}"
        return "by the lab's own interpreter (install qemu-user for the real thing)"

    async def start(self, machines: Sequence[tuple[str, Arch]]) -> None:
        """Make the folders and keys, and listen; the machines answer when this returns."""
        self.folder.mkdir(parents=True, exist_ok=True)
        client = asyncssh.generate_private_key("ssh-ed25519", comment="sealboot demo")
        self._write(self.identity, client.export_private_key(), 0o600)
        authorized = asyncssh.import_authorized_keys(client.export_public_key().decode())
        started = []
        for name, arch in machines:
            root = self._furnish(name, arch)
            key = asyncssh.generate_private_key("ssh-ed25519", comment=name)
            server = await asyncssh.listen(
                "127.0.0.1",
                0,
                server_host_keys=[key],
                authorized_client_keys=authorized,
                process_factory=self._processes(root, arch),
                encoding=None,
                allow_scp=False,
                server_version="SealbootLab",
            )
            self._servers.append(server)
            public = " ".join(key.export_public_key().decode().split()[:2])
            started.append(Machine(name, arch, await self._reached(server.get_port()), public))
        self.machines = tuple(started)

    async def stop(self) -> None:
        """Stop listening and end every process that machines still run."""
        for link in self._links:
            await link.close()
        for server in self._servers:
            server.close()
        ending = dict(self._running)
        for pid in ending:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)  # its children are traced: they end with it
        await asyncio.gather(*ending.values())
        for server in self._servers:
            await server.wait_closed()

    async def _reached(self, port: int) -> int:
        """The port through which a machine is reached."""
        if not self._speed:
            return port
        link = Link(port, self._speed)
        self._links.append(link)
        return await link.open()

    @staticmethod
    def _write(path: Path, data: bytes, mode: int = 0o644) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)

    def _furnish(self, name: str, arch: Arch) -> Path:
        root = self.folder / "machines" / name
        shutil.rmtree(root, ignore_errors=True)
        for folder in (*OWN, "/usr/local/bin", "/var/lib", "/var/tmp"):  # noqa: S108 (the machine's own)
            (root / folder.lstrip("/")).mkdir(parents=True, exist_ok=True)
        self._write(root / ".lab" / "arch", arch.info.uname[0].encode() + b"\n")
        self._write(root / ".lab" / "cpuinfo", _CPUINFO[arch].encode())
        self._write(root / ".lab" / "hostname", name.encode() + b"\n")
        self._write(root / ".lab" / "machine-id", uuid.uuid4().hex.encode() + b"\n")
        self._write(root / ".lab" / "boot_id", str(uuid.uuid4()).encode() + b"\n")
        self._write(root / ".lab" / "shell", make(arch, ""))
        return root

    def _processes(self, root: Path, arch: Arch) -> asyncssh.process.SSHServerProcessFactory[bytes]:
        async def serve(process: asyncssh.SSHServerProcess[bytes]) -> None:
            if process.command is None:
                process.stderr.write(b"This machine runs commands only.\n")
                process.exit(1)
                return
            process.exit(await self._run(process, root, arch, process.command))

        return serve

    async def _run(
        self, process: asyncssh.SSHServerProcess[bytes], root: Path, arch: Arch, command: str
    ) -> int:
        reading, writing = os.pipe()
        try:
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "sealboot.lab.tracer",
                str(root),
                arch.value,
                str(writing),
                command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                pass_fds=(writing,),
                cwd=root / "root",
                start_new_session=True,
            )
        finally:
            os.close(writing)
        self._running[child.pid] = asyncio.create_task(child.wait())
        self._running[child.pid].add_done_callback(lambda _: self._running.pop(child.pid))
        if child.stdin is None or child.stdout is None or child.stderr is None:
            raise RuntimeError("asyncio gave no pipes")  # it was asked for all three
        feeding = asyncio.ensure_future(_feed(process, child.stdin))
        try:
            status, _, _ = await asyncio.gather(
                _status(reading),
                _drain(child.stdout, process.stdout),
                _drain(child.stderr, process.stderr),
            )
        finally:
            feeding.cancel()
            os.close(reading)
        return status


async def _feed(process: asyncssh.SSHServerProcess[bytes], target: asyncio.StreamWriter) -> None:
    """Client to program, until the client ends it or the program no longer reads."""
    with contextlib.suppress(asyncssh.Error, OSError):
        while data := await process.stdin.read(1 << 16):
            target.write(data)
            await target.drain()
    target.close()


async def _drain(source: asyncio.StreamReader, target: asyncssh.SSHWriter[bytes]) -> None:
    """Program to client, until the program ends it; a client that is gone is a closed pipe."""
    with contextlib.suppress(asyncssh.Error, OSError):
        while data := await source.read(1 << 16):
            target.write(data)
            await target.drain()


async def _status(reading: int) -> int:
    """The exit status that the tracer reports, without a thread that waits for it."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(reading, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(reading)
    text = os.read(reading, 16)
    return int(text) if text.isdigit() else 255
