"""A machine of the embedded lab, as its processes see it: `python -m sealboot.lab.tracer`.

Stands between a shell and this computer's kernel and gives the shell another
machine: its own processor architecture (`uname`, the header of the running
shell), its own writable folders, and its own kernel's judgement of each
program that was put on it: a file for another architecture gets ENOEXEC, a
file for this one runs. Programs of this computer's own `/bin` are lent to the
machine as they are. Everything else of the file system can be read, and
nothing of it written.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from sealboot.lab import ptrace
from sealboot.model.arch import Arch, arch_from_elf, arch_from_uname

#: Folders that each machine has of its own; all else is this computer's, to be read only.
OWN = ("/usr/local", "/opt", "/var", "/root", "/home", "/srv", "/tmp", "/etc/lab", "/run")  # noqa: S108

#: Files that tell who a machine is, and the names of each machine's own versions in its `.lab` folder.
FAKES = {
    "/proc/sys/kernel/arch": "arch",
    "/proc/sys/kernel/hostname": "hostname",
    "/proc/sys/kernel/random/boot_id": "boot_id",
    "/proc/cpuinfo": "cpuinfo",
    "/etc/hostname": "hostname",
    "/etc/machine-id": "machine-id",
}

# System call numbers of x86-64 (arch/x86/entry/syscalls/syscall_64.tbl) and which arguments are paths.
_PATHS: dict[int, tuple[int, ...]] = {
    2: (0,), 4: (0,), 6: (0,), 21: (0,), 76: (0,), 80: (0,), 82: (0, 1), 83: (0,), 84: (0,), 85: (0,),
    86: (0, 1), 87: (0,), 88: (1,), 89: (0,), 90: (0,), 92: (0,), 94: (0,), 132: (0,), 133: (0,), 137: (0,),
    188: (0,), 189: (0,), 191: (0,), 192: (0,), 235: (0,), 257: (1,), 258: (1,), 259: (1,), 260: (1,), 261: (1,), 262: (1,),
    263: (1,), 264: (1, 3), 265: (1, 3), 266: (2,), 267: (1,), 268: (1,), 269: (1,), 280: (1,), 316: (1, 3),
    332: (1,), 437: (1,), 439: (1,), 452: (1,),
}  # fmt: skip
_OPENS = {2: 1, 257: 2}  # where the flags are
_CHANGES = {
    76,
    82,
    83,
    84,
    85,
    86,
    87,
    88,
    90,
    92,
    94,
    132,
    133,
    188,
    189,
    235,
    258,
    259,
    260,
    261,
    263,
    264,
    265,
    266,
    268,
    280,
    316,
    452,
}
_EXECVE, _UNAME = 59, 63
_OPENAT = 257  # from here on, each path follows the descriptor of the folder that it counts from
_AT_FDCWD = -100 & 0xFFFFFFFF  # include/uapi/linux/fcntl.h
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_EXE = re.compile(rb"/proc/(self|thread-self|[0-9]+)/exe")
_DEVICES = (b"/dev/", b"/proc/")


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine: where its own folders lie, what it is, and how it runs its programs."""

    root: Path
    arch: Arch
    emulator: tuple[str, ...]  # what runs a program of this architecture here; empty where this kernel does
    lent: tuple[str, ...]  # files and folders of this computer that stay where they are, wherever that is

    def own(self, path: bytes) -> bytes | None:
        """Where a path lies on this computer when it is in one of the machine's own folders."""
        clean = os.path.normpath(path)
        for kept in (*self.lent, str(self.root)):
            if clean == os.fsencode(kept) or clean.startswith(os.fsencode(kept) + b"/"):
                return None
        for folder in OWN:
            prefix = folder.encode()
            if clean == prefix or clean.startswith(prefix + b"/"):
                return os.fsencode(self.root) + clean
        return None


class Kernel:
    """The handlers: what this machine's kernel answers."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._root = os.fsencode(machine.root)
        self._fakes = {path.encode(): self._root + b"/.lab/" + name.encode() for path, name in FAKES.items()}

    def handlers(self) -> dict[int, ptrace.Handler]:
        """By system call number."""
        return {**dict.fromkeys(_PATHS, self.path), _EXECVE: self.execute, _UNAME: self.uname}

    def _elsewhere(self, path: bytes) -> bytes | None:
        if path in self._fakes:
            return self._fakes[path]
        if _EXE.fullmatch(path):
            return self._root + b"/.lab/shell"
        return self.machine.own(path)

    def path(self, stop: ptrace.Stop) -> None:
        """Turn paths to the machine's own folders; refuse to change anything outside of them.

        A relative path counts from where the process stands: `mkdir -p /etc/lab` enters `/etc` and makes `lab`.
        """
        for index in _PATHS[stop.number]:
            given = stop.text(stop.argument(index))
            if not given:
                continue
            whole = os.path.join(self._base(stop, index), given)  # noqa: PTH118 (bytes)
            target = self._elsewhere(whole)
            if target is not None:
                stop.change(index, stop.place(target + b"\0"))
            elif self._changes(stop) and not self._writable(whole):
                stop.answer(-errno.EROFS)
                return

    @staticmethod
    def _base(stop: ptrace.Stop, index: int) -> bytes:
        """The folder that a relative path counts from: the call's descriptor, or the working directory."""
        number = stop.argument(index - 1) & 0xFFFFFFFF if stop.number >= _OPENAT else _AT_FDCWD
        place = "cwd" if number == _AT_FDCWD else f"fd/{number}"
        try:
            return os.fsencode(Path(f"/proc/{stop.pid}/{place}").readlink())
        except OSError:
            return b"/"  # a descriptor that is none: the kernel will say so

    def _writable(self, path: bytes) -> bool:
        clean = os.path.normpath(path)
        return path.startswith(_DEVICES) or clean == self._root or clean.startswith(self._root + b"/")

    @staticmethod
    def _changes(stop: ptrace.Stop) -> bool:
        if stop.number in _OPENS:
            return bool(stop.argument(_OPENS[stop.number]) & _WRITING)
        return stop.number in _CHANGES

    def uname(self, stop: ptrace.Stop) -> None:
        """Name this machine: six fields of 65 bytes, `struct new_utsname`."""
        real = os.uname()
        fields = (
            real.sysname,
            self.machine.root.name,
            real.release,
            real.version,
            self.machine.arch.info.uname[0],
            "",
        )
        stop.write(stop.argument(0), b"".join(f.encode()[:64].ljust(65, b"\0") for f in fields))
        stop.answer(0)

    def execute(self, stop: ptrace.Stop) -> None:
        """Load a program as this machine's kernel would: by its header alone."""
        given = stop.text(stop.argument(0))
        path = os.path.join(os.readlink(f"/proc/{stop.pid}/cwd").encode(), given)  # noqa: PTH115, PTH118
        target = self.machine.own(path) or path
        if not target.startswith(self._root + b"/"):
            return
        stop.change(0, stop.place(target + b"\0"))
        try:
            with open(target, "rb") as file:  # noqa: PTH123 (the path is bytes)
                head = file.read(64)
        except OSError:
            return
        if not head.startswith(b"\x7fELF") or not os.access(target, os.X_OK):
            return
        if elf_arch(head) != self.machine.arch:
            stop.answer(-errno.ENOEXEC)
        elif self.machine.emulator:
            self._emulate(stop, target)

    def _emulate(self, stop: ptrace.Stop, target: bytes) -> None:
        words = [w.encode() for w in self.machine.emulator] + [target]
        argv = [stop.place(word + b"\0") for word in words] + stop.pointers(stop.argument(1))[1:]
        stop.change(0, argv[0])
        stop.change(1, stop.place(b"".join(p.to_bytes(8, "little") for p in (*argv, 0))))


def elf_arch(head: bytes) -> Arch | None:
    """The architecture in the first 20 bytes of an ELF file."""
    endian = {1: "little", 2: "big"}.get(head[5])
    if endian is None or len(head) < 20:
        return None
    machine = int.from_bytes(head[18:20], "little" if endian == "little" else "big")
    return arch_from_elf(machine, {1: 32, 2: 64}.get(head[4], 0), endian)


def emulator_for(arch: Arch) -> tuple[str, ...]:
    """How this computer runs programs of `arch`: itself, by qemu-user, or by the lab's own interpreter."""
    if arch == arch_from_uname(os.uname().machine):
        return ()
    for name in (f"qemu-{arch.field_name}-static", f"qemu-{arch.field_name}"):
        found = shutil.which(name)
        if found:
            return (found,)
    return (sys.executable, "-I", str(Path(__file__).with_name("interpreter.py")))


def python_files() -> tuple[str, ...]:
    """What this Python needs to start inside a machine: its files, and no more than its own folders.

    Never a whole prefix: that is /usr or /usr/local for most, and a machine has its own /usr/local.
    """
    library = sysconfig.get_config_vars("LIBDIR", "INSTSONAME")
    found = {os.path.dirname(os.__file__), str(Path(__file__).parent)}  # noqa: PTH120 (text, as Python has it)
    if sys.prefix != sys.base_prefix:
        found.add(sys.prefix)  # a virtual environment
    if all(isinstance(part, str) for part in library):
        found.add("/".join(library))
    link = sys.executable
    while link not in found:
        found.add(link)
        if os.path.islink(link):  # noqa: PTH114 (text, as Python has it)
            link = os.path.join(os.path.dirname(link), os.readlink(link))  # noqa: PTH115, PTH118, PTH120
    return tuple(sorted(found))


def main(arguments: list[str]) -> None:
    """`ROOT ARCH STATUS-FD COMMAND`: run the command in a login user's shell of that machine.

    The exit status is written to the file descriptor as text when the shell
    ends; then the standard streams are closed, and only background jobs that
    the command left behind are still served.
    """
    root, arch, report, command = Path(arguments[0]), Arch(arguments[1]), int(arguments[2]), arguments[3]
    machine = Machine(root, arch, emulator_for(arch), python_files())
    user = "root" if os.getuid() == 0 else "ops"
    env = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "SHELL": "/bin/sh",
        "USER": user,
        "LOGNAME": user,
    }

    def ended(status: int) -> None:
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nothing, stream)
        os.write(report, str(status).encode())
        os.close(report)

    os.set_inheritable(report, False)
    ptrace.run(["/bin/sh", "-c", command], env, Kernel(machine).handlers(), ended)


if __name__ == "__main__":
    main(sys.argv[1:])
