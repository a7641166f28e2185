"""Just enough of ptrace and seccomp to stand between a process tree and its kernel, without root.

A seccomp filter stops the children only at the system calls of interest, so
that everything else runs at full speed. x86-64 Linux only: `SUPPORTED` says
whether this machine is one.

Sources: ptrace(2), seccomp(2), Linux arch/x86/include/asm/user_64.h and
include/uapi/linux/{ptrace,seccomp,filter}.h.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import struct
from collections.abc import Callable, Iterable

SUPPORTED = platform.system() == "Linux" and platform.machine() == "x86_64"

_TRACEME, _CONT, _GETREGS, _SETREGS, _SETOPTIONS = 0, 7, 12, 13, 0x4200
_O_FORK, _O_VFORK, _O_CLONE, _O_EXEC, _O_SECCOMP, _O_EXITKILL = 2, 4, 8, 16, 128, 1 << 20
_EVENT_SECCOMP = 7
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 38, 22, 2
_RET_ALLOW, _RET_TRACE = 0x7FFF0000, 0x7FF00000
_WALL = 0x40000000
_AUDIT_ARCH_X86_64 = 0xC000003E

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.process_vm_readv.restype = ctypes.c_ssize_t
_libc.process_vm_writev.restype = ctypes.c_ssize_t


class Registers(ctypes.Structure):
    """`struct user_regs_struct` of x86-64."""

    _fields_ = [
        (name, ctypes.c_ulonglong)
        for name in [
            "r15",
            "r14",
            "r13",
            "r12",
            "rbp",
            "rbx",
            "r11",
            "r10",
            "r9",
            "r8",
            "rax",
            "rcx",
            "rdx",
            "rsi",
            "rdi",
            "orig_rax",
            "rip",
            "cs",
            "eflags",
            "rsp",
            "ss",
            "fs_base",
            "gs_base",
            "ds",
            "es",
            "fs",
            "gs",
        ]
    ]

    rsp: int
    rax: int
    orig_rax: int


#: The registers that carry the arguments of a system call, in order.
ARGUMENTS = ("rdi", "rsi", "rdx", "r10", "r8", "r9")


class _Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def _ptrace(request: int, pid: int, address: int = 0, data: int | ctypes.Structure = 0) -> int:
    value = ctypes.addressof(data) if isinstance(data, ctypes.Structure) else data
    result: int = _libc.ptrace(request, pid, address, value)
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, f"ptrace({request}): {os.strerror(code)}")
    return result


class Stop:
    """One system call that a child is about to make, and all that can be done about it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.registers = Registers()
        _ptrace(_GETREGS, pid, 0, self.registers)
        self._scratch = self.registers.rsp - 256  # below the red zone of the System V ABI

    @property
    def number(self) -> int:
        """The number of the system call."""
        return self.registers.orig_rax

    def argument(self, index: int) -> int:
        """One argument, as an unsigned number."""
        value: int = getattr(self.registers, ARGUMENTS[index])
        return value

    def read(self, address: int, size: int) -> bytes:
        """Memory of the child, as much of it as there is."""
        buffer = ctypes.create_string_buffer(size)
        local = _Vector(ctypes.addressof(buffer), size)
        remote = _Vector(address, size)
        got = _libc.process_vm_readv(self.pid, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0)
        return buffer.raw[: max(got, 0)]

    def write(self, address: int, data: bytes) -> None:
        """Write into the child's memory."""
        buffer = ctypes.create_string_buffer(data, len(data))
        local = _Vector(ctypes.addressof(buffer), len(data))
        remote = _Vector(address, len(data))
        if _libc.process_vm_writev(self.pid, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0) != len(data):
            raise OSError(ctypes.get_errno(), "the child's memory cannot be written")

    def text(self, address: int) -> bytes:
        """A zero-terminated string of at most 4 KiB; pages are read one by one so that none is missed."""
        data = b""
        while address and len(data) < 4096:
            part = self.read(address + len(data), 256 - (address + len(data)) % 256)
            data += part
            if not part or b"\0" in part:
                break
        return data.partition(b"\0")[0]

    def place(self, data: bytes) -> int:
        """Put data on the child's stack, where its own frames do not reach; returns the address."""
        self._scratch = (self._scratch - len(data)) & ~0xF
        self.write(self._scratch, data)
        return self._scratch

    def pointers(self, address: int) -> list[int]:
        """A zero-terminated array of pointers (an argv)."""
        found: list[int] = []
        while address and len(found) < 4096:
            (value,) = struct.unpack("<Q", self.read(address + 8 * len(found), 8))
            if not value:
                break
            found.append(value)
        return found

    def change(self, index: int, value: int) -> None:
        """Give the system call another argument."""
        setattr(self.registers, ARGUMENTS[index], value)
        _ptrace(_SETREGS, self.pid, 0, self.registers)

    def answer(self, value: int) -> None:
        """Skip the system call and let it return `value` (a negative errno for an error)."""
        self.registers.orig_rax = 0xFFFFFFFFFFFFFFFF
        self.registers.rax = value & 0xFFFFFFFFFFFFFFFF
        _ptrace(_SETREGS, self.pid, 0, self.registers)


Handler = Callable[[Stop], None]


def _filter(numbers: Iterable[int]) -> bytes:
    """A classic BPF program that stops at these system calls and allows all others."""
    wanted = sorted(numbers)
    code = [struct.pack("<HBBI", 0x20, 0, 0, 4), struct.pack("<HBBI", 0x15, 1, 0, _AUDIT_ARCH_X86_64)]
    code += [struct.pack("<HBBI", 0x06, 0, 0, _RET_ALLOW), struct.pack("<HBBI", 0x20, 0, 0, 0)]
    for position, number in enumerate(wanted):
        to_trace = len(wanted) - position
        code.append(struct.pack("<HBBI", 0x15, to_trace, 0, number))
    code.append(struct.pack("<HBBI", 0x06, 0, 0, _RET_ALLOW))
    code.append(struct.pack("<HBBI", 0x06, 0, 0, _RET_TRACE))
    return b"".join(code)


def _become_traced(argv: list[str], env: dict[str, str], numbers: Iterable[int]) -> None:
    program = _filter(numbers)
    buffer = ctypes.create_string_buffer(program, len(program))
    header = _Program(len(program) // 8, ctypes.addressof(buffer))
    _ptrace(_TRACEME, 0)
    os.kill(os.getpid(), signal.SIGSTOP)
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or _libc.prctl(
        _PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(header), 0, 0
    ):
        raise OSError(ctypes.get_errno(), "seccomp filters are not to be had here")
    os.execve(argv[0], argv, env)  # noqa: S606 (no shell is the point)


def run(
    argv: list[str], env: dict[str, str], handlers: dict[int, Handler], ended: Callable[[int], None]
) -> None:
    """Run a program with `handlers` (by system call number) asked before each such call.

    `ended` gets a shell's exit status (128 + signal number for a killed
    program) as soon as the program itself is gone. Children are followed, and
    those that outlive it are served until the last one ends, as an init
    process would. Raises `OSError` where tracing is not allowed.
    """
    first = os.fork()
    if first == 0:
        try:
            _become_traced(argv, env, handlers)
        except BaseException as error:  # noqa: BLE001 (nothing may run on in the forked child)
            os.write(2, f"lab: {error}\n".encode())
        os._exit(126)
    os.waitpid(first, _WALL)
    options = _O_FORK | _O_VFORK | _O_CLONE | _O_EXEC | _O_SECCOMP | _O_EXITKILL
    _ptrace(_SETOPTIONS, first, 0, options)
    _ptrace(_CONT, first)
    while True:
        try:
            pid, state = os.waitpid(-1, _WALL)
        except ChildProcessError:
            return
        if os.WIFEXITED(state) or os.WIFSIGNALED(state):
            if pid == first:
                status = os.waitstatus_to_exitcode(state)
                ended(128 - status if status < 0 else status)
            continue
        _resume(pid, state, handlers)


def _resume(pid: int, state: int, handlers: dict[int, Handler]) -> None:
    event, received = state >> 16, os.WSTOPSIG(state)
    deliver = 0
    try:
        if event == _EVENT_SECCOMP:
            stop = Stop(pid)
            handler = handlers.get(stop.number)
            if handler is not None:
                handler(stop)
        elif not event and received not in {signal.SIGSTOP, signal.SIGTRAP}:
            deliver = received
        _ptrace(_CONT, pid, 0, deliver)
    except OSError:
        return  # the child was killed in the meantime; waitpid will tell
