"""Starts namespace nodes: the lab's side of `nodeinit`."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from labkit import binfmt
from labkit.apt import LabUnavailableError
from labkit.bridge import GATEWAY, Bridge
from labkit.cache import CACHE, key, made
from labkit.disguise import masks
from labkit.machines import KINDS, Kind, Order
from labkit.nodeinit import Spec
from labkit.roots import root

_TESTS = Path(__file__).resolve().parents[1]
#: Raise when emulators are marked in another way.
_MARK = 2
#: The whole range of ids that Debian uses; the map is the identity.
_ID_MAP = "0 0 65536\n"


@dataclass(slots=True)
class Running:
    """A node's monitor and what ends it."""

    monitor: subprocess.Popen[str]
    pid: int
    link: str
    cgroup: str

    @property
    def alive(self) -> bool:
        """Whether its PID 1 still runs."""
        return self.monitor.poll() is None

    def stop(self) -> None:
        """End the node at once: with PID 1 every process in it dies."""
        with contextlib.suppress(ProcessLookupError):
            if self.pid:
                os.kill(self.pid, signal.SIGKILL)
        self.monitor.kill()
        self.monitor.wait()
        for stream in (self.monitor.stdin, self.monitor.stdout):
            if stream:
                stream.close()
        if self.cgroup:
            _remove_cgroup(Path(self.cgroup))


def prepare(kind: Kind) -> tuple[Path, list[str]]:
    """The root and the binfmt_misc rules of `kind`, made if they are not in the cache."""
    tree = root(kind.recipe, kind.debian, kind.suite)
    own = kind.kernel_debian
    if own in binfmt.EMULATED:
        names = (own, *binfmt.COMPATIBLE.get(own, ()))
        return tree, binfmt.foreign(own, {name: _emulator(name) for name in names}, _refuser())
    return tree, binfmt.emulating({name: _installed(name) for name in kind.emulates})


def _installed(debian: str) -> Path:
    source = Path(f"/usr/bin/qemu-{binfmt.EMULATED[debian].qemu}-static")
    if not source.exists():
        raise LabUnavailableError(f"{source} is missing: apt-get install qemu-user-static")
    return source


def _emulator(debian: str) -> Path:
    source = _installed(debian)
    facts = source.stat()
    digest = key(_MARK, facts.st_size, facts.st_mtime_ns)
    return made(
        CACHE / "emulators" / f"{source.name}-{digest}", lambda part: binfmt.marked_emulator(source, part)
    )


def _refuser() -> Path:
    def make(part: Path) -> None:
        part.write_text("not an executable format\n")
        part.chmod(0o755)

    return made(CACHE / "emulators" / "refuser", make)


class Starter:
    """Starts several nodes at once: `begin` each, `connect` all, `finish` each."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._begun: list[tuple[Running, str]] = []

    def begin(self, order: Order) -> Running:
        """Start the monitor; the node waits for its network."""
        kind, state = order.about, order.state
        tree, rules = prepare(kind)
        (state / "node").mkdir()
        dropbear = kind.server == "dropbear"
        _private(state / "hostkey", order.host_key.dropbear if dropbear else order.host_key.openssh)
        _private(state / "authorized_keys", order.authorized.encode())
        spec = Spec(
            name=order.name,
            server=kind.server,
            root=str(tree),
            state=str(state),
            address=order.address,
            gateway=GATEWAY,
            rules=rules,
            masks=masks(own, KINDS[own].uname) if (own := kind.kernel_debian) in binfmt.EMULATED else {},
            personality=kind.personality,
            cgroup=_make_cgroup(order.name) if kind.server == "systemd" else "",
        )
        monitor = subprocess.Popen(
            [sys.executable, "-S", "-m", "labkit.nodeinit", json.dumps(asdict(spec))],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(_TESTS), "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        running = Running(monitor, 0, f"v{order.number}", spec.cgroup)
        self._begun.append((running, str(state / "log")))
        return running

    def finish(self) -> None:
        """Plug the cables in and let every node that was begun go on; raises `LabUnavailableError`."""
        for running, log in self._begun:
            if _line(running) != "unshared":
                raise LabUnavailableError(f"a node could not make its namespaces: {_tail(log)}")
            for name in ("uid_map", "gid_map"):
                Path(f"/proc/{running.monitor.pid}/{name}").write_text(_ID_MAP)
        self._bridge.ip(
            *(
                f"link add {r.link} type veth peer name eth0 netns {r.monitor.pid}\n"
                f"link set {r.link} master br0 up"
                for r, _ in self._begun
            )
        )
        for running, _ in self._begun:
            assert running.monitor.stdin
            running.monitor.stdin.write("go\n")
            running.monitor.stdin.flush()
        for running, log in self._begun:
            answer = _line(running)
            if not answer.isdigit():
                raise LabUnavailableError(f"a node could not start: {_tail(log)}")
            running.pid = int(answer)


def _private(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)


def _line(running: Running) -> str:
    assert running.monitor.stdout
    return running.monitor.stdout.readline().strip()


def _tail(log: str) -> str:
    try:
        return Path(log).read_text(errors="replace")[-800:]
    except OSError:
        return "(it left no log)"


def _make_cgroup(name: str) -> str:
    """A cgroup2 folder for a systemd node."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if found := re.match(r"\S+ \S+ \S+ \S+ (\S+) .* - cgroup2 ", line):
            _sweep(Path(found[1]))
            folder = Path(found[1], f"sealboot-lab-{os.getpid()}-{name}")
            folder.mkdir()
            return str(folder)
    raise LabUnavailableError("no cgroup2 hierarchy is mounted, which systemd as PID 1 needs")


def _sweep(hierarchy: Path) -> None:
    """Remove the empty folders of runs that were killed: the kernel ends processes, not their cgroups."""
    for folder in hierarchy.glob("sealboot-lab-*"):
        owner = folder.name.split("-")[2]
        if not Path("/proc", owner).exists():
            _remove_cgroup(folder)


def _remove_cgroup(folder: Path) -> None:
    """Remove the folders from the inside out; each can go once the kernel has buried its dead."""
    for path, _, _ in os.walk(folder, topdown=False):
        for _ in range(500):
            try:
                Path(path).rmdir()
            except FileNotFoundError:
                break
            except OSError:
                time.sleep(0.01)
            else:
                break
