"""What the benchmarks share: a farm of real sshds on loopback, and CPU time counted by the kernel.

Run as root on Linux. Client CPU is that of the client's whole process tree:
by a cgroup (v1 cpuacct or v2 cpu.stat) where one can be made, so that
daemonised children count too; else what `wait4` tells of waited-for children,
which the output says.
"""

from __future__ import annotations

import contextlib
import os
import platform
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

_V1 = Path("/sys/fs/cgroup/cpuacct")
_V2 = (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup"))
_START = 15.0


@dataclass(frozen=True)
class Cost:
    """Seconds of one run: on the clock, and of the client's processors."""

    wall: float
    cpu: float
    code: int


@dataclass
class Farm:
    """Real sshds; address `n` is `127.0.x.y`, sixteen to a server."""

    folder: Path
    addresses: list[str]
    port: int
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def identity(self) -> Path:
        """The private key that every address lets in."""
        return self.folder / "id"

    @property
    def known_hosts(self) -> Path:
        """The keys of all addresses."""
        return self.folder / "known_hosts"

    def ssh_options(self, *, curve25519: bool) -> list[str]:
        """What every OpenSSH client of the benchmark is told."""
        options = {
            "UserKnownHostsFile": str(self.known_hosts),
            "StrictHostKeyChecking": "yes",
            "IdentityFile": str(self.identity),
            "IdentitiesOnly": "yes",
            "BatchMode": "yes",
            "Port": str(self.port),
        }
        if curve25519:
            options["KexAlgorithms"] = "curve25519-sha256"
        return [word for k, v in options.items() for word in ("-o", f"{k}={v}")]


def _keygen(path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


def _answers(address: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((address, port), 1) as s:
        return s.recv(4) == b"SSH-"
    return False


@contextlib.contextmanager
def farm(folder: Path, hosts: int) -> Iterator[Farm]:
    """Start enough sshds for `hosts` loopback addresses; all answer when this yields."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    made = Farm(folder, [f"127.0.{10 + n // 200}.{1 + n % 200}" for n in range(hosts)], _free_port())
    _keygen(made.identity)
    _keygen(folder / "host")
    (folder / "plain").mkdir()
    shutil.copy(folder / "id.pub", folder / "authorized")
    key = " ".join((folder / "host.pub").read_text().split()[:2])
    lines = "".join(f"[{a}]:{made.port} {key}\n" for a in made.addresses)
    made.known_hosts.write_text(lines)
    Path("/run/sshd").mkdir(exist_ok=True)
    try:
        for first in range(0, hosts, 16):
            config = folder / f"sshd-{first}"
            listen = "".join(f"ListenAddress {a}:{made.port}\n" for a in made.addresses[first : first + 16])
            config.write_text(
                f"{listen}HostKey {folder / 'host'}\nAuthorizedKeysFile {folder / 'authorized'}\n"
                "PermitRootLogin prohibit-password\nUsePAM no\nStrictModes no\nPidFile none\nUseDNS no\n"
                "MaxStartups 1000\nMaxSessions 10\nSubsystem sftp internal-sftp\nLogLevel FATAL\n"
                # Nobody's .bashrc: one that starts a version manager costs more than all that is measured.
                f"SetEnv HOME={folder / 'plain'}\n"
            )
            made.processes.append(subprocess.Popen(["/usr/sbin/sshd", "-D", "-f", str(config)]))
        end = time.monotonic() + _START
        for address in made.addresses:
            while not _answers(address, made.port):
                if time.monotonic() > end:
                    raise SystemExit(f"sshd at {address} did not start")
        yield made
    finally:
        for process in made.processes:
            process.terminate()
        for process in made.processes:
            process.wait()


class Meter:
    """Runs a command and tells what it cost."""

    def __init__(self) -> None:
        self.kind, self._group = self._make()

    @staticmethod
    def _make() -> tuple[str, Path | None]:
        name = f"sealboot-bench-{os.getpid()}"
        for base, kind in ((_V1, "cgroup v1"), *((v2, "cgroup v2") for v2 in _V2)):
            probe = base / name
            if kind == "cgroup v2" and not (base / "cgroup.controllers").exists():
                continue
            with contextlib.suppress(OSError):
                probe.mkdir()
                if (probe / ("cpuacct.usage" if kind == "cgroup v1" else "cpu.stat")).exists():
                    return kind, probe
                probe.rmdir()
        return "wait4 (daemonised children are not counted)", None

    def _used(self) -> float:
        if self._group is None:
            usage = resource.getrusage(resource.RUSAGE_CHILDREN)
            return usage.ru_utime + usage.ru_stime
        if self.kind == "cgroup v1":
            return int((self._group / "cpuacct.usage").read_text()) / 1e9
        words = (self._group / "cpu.stat").read_text().split()
        return int(words[words.index("usage_usec") + 1]) / 1e6

    def run(self, command: Sequence[str], *, cwd: Path, env: dict[str, str] | None = None) -> Cost:
        """One run; its output is shown only when it fails."""
        join = None if self._group is None else self._group / "cgroup.procs"

        def enter() -> None:
            if join is not None:
                join.write_text(str(os.getpid()))

        before, start = self._used(), time.monotonic()
        done = subprocess.run(
            command, cwd=cwd, env=env, preexec_fn=enter, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        wall = time.monotonic() - start
        if join is not None:  # masters that outlive the client still belong to its bill
            deadline = time.monotonic() + 2
            while join.read_text().strip() and time.monotonic() < deadline:
                time.sleep(0.02)
            # Shared connections that a tool keeps open for minutes must not serve its next round.
            while left := join.read_text().split():
                for pid in left:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(pid), signal.SIGTERM)
                time.sleep(0.02)
        if done.returncode:
            print(
                f"! {command[0]} ended with {done.returncode}: {done.stdout.decode(errors='replace')[-400:]}"
            )
        return Cost(wall, self._used() - before, done.returncode)

    def close(self) -> None:
        """Give the group back."""
        if self._group is not None:
            with contextlib.suppress(OSError):
                self._group.rmdir()


def rounds(meter: Meter, runners: dict[str, Callable[[], Cost]], count: int) -> dict[str, list[Cost]]:
    """Interleave the tools, round by round: machines drift within minutes."""
    costs: dict[str, list[Cost]] = {name: [] for name in runners}
    for number in range(count):
        for name, run in runners.items():
            cost = run()
            costs[name].append(cost)
            print(f"  round {number + 1} {name:<28} wall {cost.wall:7.2f} s   client CPU {cost.cpu:7.2f} s")
    del meter
    return costs


def report(title: str, costs: dict[str, list[Cost]], base: str, meter: Meter) -> str:
    """A Markdown table of medians, with the ratio of each tool's CPU to that of `base`."""
    own = statistics.median(c.cpu for c in costs[base])
    lines = [
        f"### {title}",
        "",
        _where(len(costs[base]), meter),
        "",
        "| tool | wall s | client CPU s | CPU against sealboot |",
        "|---|---|---|---|",
    ]
    for name, runs in costs.items():
        wall = statistics.median(c.wall for c in runs)
        cpu = statistics.median(c.cpu for c in runs)
        lines.append(f"| {name} | {wall:.2f} | {cpu:.2f} | {cpu / own:.1f}x |")
    return "\n".join([*lines, ""])


def _where(count: int, meter: Meter) -> str:
    kernel = platform.release().split("-")[0]
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores ({_cpu()}), Linux {kernel}, "
        f"Python {platform.python_version()}; median of {count} interleaved rounds; CPU by {meter.kind}."
    )


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
