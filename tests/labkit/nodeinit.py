"""The program that becomes a node: it makes the namespaces and the root, then executes PID 1.

    python -S -m labkit.nodeinit SPEC      SPEC: one JSON object, `Spec` below

It talks to the lab over stdin and stdout, one line a message: it prints
`unshared`, waits for `go` (the lab meanwhile writes the id maps and plugs the
network cable in), prints the process id of PID 1 and stays as its monitor. When
the lab's process ends, however it ends, so does the monitor, and with PID 1 the
kernel ends the whole node: nothing is left on disk or in any table.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from labkit import syscalls as sc

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_BINFMT = "sys/fs/binfmt_misc"


@dataclass(frozen=True, slots=True)
class Spec:
    """What a node is to be. Paths are the lab machine's."""

    name: str
    server: str  # openssh, dropbear, systemd or openrc
    root: str
    state: str  # a folder with `hostkey` and `authorized_keys`; the node's log goes there
    address: str
    gateway: str
    rules: list[str]  # binfmt_misc registrations
    masks: dict[str, str]  # files to show instead of the real ones; a path that ends in / is an empty folder
    personality: int
    cgroup: str  # the cgroup2 folder of a systemd node, or nothing


def main() -> None:
    """Become the monitor of a new node."""
    spec = Spec(**json.loads(sys.argv[1]))
    os.setsid()
    log = os.open(f"{spec.state}/log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 2)
    sc.unshare(sc.CLONE_NEWUSER)
    sc.unshare(sc.CLONE_NEWNS | sc.CLONE_NEWUTS | sc.CLONE_NEWIPC | sc.CLONE_NEWPID | sc.CLONE_NEWNET)
    _say("unshared")
    if sys.stdin.readline() != "go\n":
        sys.exit("the lab went away")
    os.setgid(0)
    os.setuid(0)
    os.setgroups([])
    if spec.cgroup:
        Path(spec.cgroup, "cgroup.procs").write_text("0")
        sc.unshare(sc.CLONE_NEWCGROUP)
    pid = os.fork()
    if pid == 0:
        _init(spec, log)
    sc.die_with_parent(signal.SIGKILL)
    _say(str(pid))
    _monitor(pid)


def _say(message: str) -> None:
    sys.stdout.write(message + "\n")
    sys.stdout.flush()


def _monitor(pid: int) -> None:
    """Hold on until the node ends; the lab closes stdin to end it."""
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 1)
    os.waitpid(pid, 0)


def _init(spec: Spec, log: int) -> None:
    """PID 1 of the node: the network, the root, and at last the real init."""
    sc.die_with_parent(signal.SIGKILL)
    _network(spec)
    sc.mount("", "/", flags=sc.MS_REC | sc.MS_PRIVATE)
    sc.mount("binfmt_misc", f"/proc/{_BINFMT}", "binfmt_misc")
    for rule in spec.rules:
        Path(f"/proc/{_BINFMT}/register").write_text(rule)
    _root(spec)
    _identity(spec)
    _enter(spec)
    null = os.open("/dev/null", os.O_RDONLY)
    for source, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.closerange(3, 256)
    _execute(spec)


def _network(spec: Spec) -> None:
    commands = (
        f"link set lo up\naddr add {spec.address}/24 dev eth0\n"
        f"link set eth0 up\nroute add default via {spec.gateway}\n"
    )
    subprocess.run(["ip", "-batch", "-"], input=commands, text=True, check=True, stdout=subprocess.DEVNULL)


def _root(spec: Spec) -> None:
    """Lay a writable overlay over the root, on memory that only this node sees, and furnish it."""
    # The recipe's root lies on disk and stays as it is; what the node writes goes to this tmpfs.
    work = f"{spec.state}/node"
    sc.mount("tmpfs", work, "tmpfs", data="mode=755,size=1g")
    for name in ("upper", "work", "merged"):
        Path(work, name).mkdir()
    layers = f"lowerdir={spec.root},upperdir={work}/upper,workdir={work}/work,userxattr"
    sc.mount("overlay", f"{work}/merged", "overlay", data=layers)
    hostkey, authorized = (Path(spec.state, n).read_bytes() for n in ("hostkey", "authorized_keys"))
    os.chdir(f"{work}/merged")
    sc.mount("proc", "proc", "proc")
    # The handlers live as long as a mount of this table does, and the one in the old /proc goes away.
    sc.mount("binfmt_misc", f"proc/{_BINFMT}", "binfmt_misc")
    sc.mount("sysfs", "sys", "sysfs", flags=sc.MS_RDONLY)
    if spec.cgroup:
        sc.mount("cgroup2", "sys/fs/cgroup", "cgroup2", flags=sc.MS_NOSUID)
    _devices()
    for target, data in (("tmp", "mode=1777,size=512m"), ("run", "mode=755,size=128m")):
        sc.mount("tmpfs", target, "tmpfs", flags=sc.MS_NOSUID | sc.MS_NODEV, data=data)
    for home, owner in (("root", 0), ("home/ops", 1000)):
        _place(f"{home}/.ssh/authorized_keys", authorized, owner)
    _place("run/node/hostkey", hostkey, 0)
    _mask(spec.masks, Path(work, "masks"))
    if spec.server == "systemd":
        _place("etc/ssh/ssh_host_ed25519_key", hostkey, 0)


def _mask(masks: dict[str, str], folder: Path) -> None:
    """Lay files over the kernel's own where those would betray the real processor."""
    folder.mkdir()
    for number, (path, content) in enumerate(masks.items()):
        if path.endswith("/"):
            sc.mount("none", path, "tmpfs", data="mode=555,size=64k")
            continue
        if not Path(path).exists():  # in a folder that was masked before
            Path(path).write_text(content)
            continue
        stand_in = folder / str(number)
        stand_in.write_text(content)
        stand_in.chmod(0o444)
        sc.mount(str(stand_in), path, flags=sc.MS_BIND)


def _devices() -> None:
    sc.mount("tmpfs", "dev", "tmpfs", flags=sc.MS_NOSUID, data="mode=755,size=1m")
    for name in _DEVICES:
        Path("dev", name).touch()
        sc.mount(f"/dev/{name}", f"dev/{name}", flags=sc.MS_BIND)
    for folder in ("pts", "shm"):
        Path("dev", folder).mkdir()
    sc.mount("devpts", "dev/pts", "devpts", data="newinstance,ptmxmode=666,mode=620")
    sc.mount("tmpfs", "dev/shm", "tmpfs", flags=sc.MS_NOSUID | sc.MS_NODEV, data="mode=1777,size=64m")
    for link, target in (("ptmx", "pts/ptmx"), ("fd", "/proc/self/fd")):
        Path("dev", link).symlink_to(target)


def _place(name: str, content: bytes, owner: int) -> None:
    path = Path(name)
    if not path.parent.exists():
        path.parent.mkdir(mode=0o700)
        os.chown(path.parent, owner, owner)
    path.write_bytes(content)
    path.chmod(0o600)
    os.chown(path, owner, owner)


def _identity(spec: Spec) -> None:
    Path("etc/hostname").write_text(spec.name + "\n")
    Path("etc/hosts").write_text(f"127.0.0.1 localhost\n{spec.address} {spec.name}\n")
    Path("etc/machine-id").write_text(os.urandom(16).hex() + "\n")
    sc.sethostname(spec.name)
    Path("run/sshd").mkdir(mode=0o755)


def _enter(spec: Spec) -> None:
    Path(".old").mkdir()
    sc.pivot_root(".", ".old")
    os.chdir("/")
    sc.umount("/.old")
    Path("/.old").rmdir()
    if spec.personality:
        sc.personality(spec.personality)


#: When busybox' init runs a line of its inittab, and the runlevel that OpenRC then enters.
_RUNLEVELS = (("sysinit", "sysinit"), ("sysinit", "boot"), ("wait", "default"))


def _sshd(spec: Spec) -> list[str]:
    options = (
        *(f"ListenAddress={spec.address}:22", "PidFile=none", "PermitRootLogin=prohibit-password"),
        *("PasswordAuthentication=no", "UsePAM=no", "Subsystem=sftp internal-sftp", "UseDNS=no"),
        *("PrintMotd=no", "PrintLastLog=no"),
    )
    argv = ["/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", "-h", "/run/node/hostkey"]
    return argv + [word for option in options for word in ("-o", option)]


def _execute(spec: Spec) -> None:
    environment = {"PATH": _PATH, "HOME": "/root", "TERM": "dumb"}
    argv: list[str]
    if spec.server == "systemd":
        environment["container"] = "sealboot-lab"
        argv = ["/lib/systemd/systemd", "--log-target=journal", "--log-level=notice"]
    elif spec.server == "openssh":
        argv = _sshd(spec)
    elif spec.server == "openrc":
        # As Alpine boots: busybox as PID 1, which starts the runlevels and keeps the server up.
        levels = "".join(f"::{when}:/sbin/openrc {level}\n" for when, level in _RUNLEVELS)
        Path("/etc/inittab").write_text(f"{levels}::respawn:/run/node/sshd\n")
        server = Path("/run/node/sshd")
        server.write_text(f"#!/bin/sh\nexec {shlex.join(_sshd(spec))}\n")
        server.chmod(0o755)
        argv = ["/bin/busybox", "init"]
    else:
        # busybox init reaps orphans and starts the server again when it dies, as on an appliance.
        dropbear = f"/usr/sbin/dropbear -F -E -s -r /run/node/hostkey -p {spec.address}:22"
        Path("/etc/inittab").write_text(f"::respawn:{dropbear}\n")
        argv = ["/sbin/init"]
    os.execve(argv[0], argv, environment)  # noqa: S606 (this is how a program becomes PID 1)


if __name__ == "__main__":
    main()
