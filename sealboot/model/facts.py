"""What one host said about itself, once parsed and checked: never defaulted, `None` where unknown."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from sealboot.model.arch import Arch, Endian

LibcKind: TypeAlias = Literal["glibc", "musl", "none", "unknown"]
#: root: already root. nopasswd/password: may become root. denied: asked, not allowed. missing: no such tool.
Become: TypeAlias = Literal["root", "nopasswd", "password", "denied", "missing", "unknown"]


#: What `Facts.virtualization` says of a machine of its own, if only a virtual one; anything else is a container.
MACHINES = frozenset(
    {"", "virtual", "qemu", "kvm", "vmware", "virtualbox", "xen", "hyper-v", "amazon", "google"}
    | {"parallels", "bhyve", "apple"}
)


#: What the first line of a script usually names; a probe looks for these by path, as a kernel does it.
INTERPRETERS = frozenset(
    f"{folder}/{name}"
    for folder in ("/bin", "/usr/bin")
    for name in ("sh", "bash", "dash", "ash", "busybox", "env", "perl", "python3")
)


@dataclass(frozen=True, slots=True)
class Libc:
    """The C library of the userland and the program interpreters that exist on the host."""

    kind: LibcKind = "unknown"
    version: tuple[int, ...] | None = None
    loaders: frozenset[str] = frozenset()  # absolute paths that exist, e.g. /lib64/ld-linux-x86-64.so.2


@dataclass(frozen=True, slots=True)
class Cpu:
    """What the processor can do, as the kernel reports it.

    `flags` are Linux' own names; for POWER the generations (`power9` has
    `power8` as well), for RISC-V the letters and names of its extensions.
    """

    model: str = ""
    flags: frozenset[str] = frozenset()
    x86_level: int | None = None  # 1 to 4, the x86-64 psABI micro-architecture level
    arm_level: int | None = None  # 5, 6, 7 or 8
    count: int | None = None


@dataclass(frozen=True, slots=True)
class BinfmtHandler:
    """One enabled binfmt_misc rule (Linux Documentation/admin-guide/binfmt-misc.rst)."""

    name: str
    interpreter: str
    flags: str
    arch: Arch | None  # what it emulates, read from its magic; None when it is no ELF rule we know
    refuses: bool = False  # its interpreter is no program here: the kernel answers ENOEXEC to `arch`


@dataclass(frozen=True, slots=True)
class Space:
    """One directory the bootstrap wants to write to: the file system that would hold it.

    `path` is what was asked for, `existing` its nearest existing ancestor;
    sizes in bytes.
    """

    path: str
    existing: str
    exists: bool
    fstype: str
    mount: str
    options: frozenset[str]
    free: int | None
    total: int | None
    writable: bool | None  # by the login user
    immutable: bool = False  # `chattr +i` on `existing`
    directory: bool = True  # False: `existing` is a file, so nothing can be put below it

    @property
    def executable(self) -> bool:
        """Whether programs may run from there."""
        return "noexec" not in self.options


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything one probe round trip learned about a host.

    `kernel_machine` is `uname -m` verbatim; `kernel_arch` is what the kernel
    really is, also under a `linux32` personality; `userland_*` come from the
    ELF header of the shell that ran the probe. `native` are the architectures
    that this kernel executes without help (an amd64 kernel with IA-32 support
    has both amd64 and 386); `emulates` are those with an enabled binfmt
    handler. `clock_offset` is host minus controller, in seconds, taken at the
    middle of the round trip; `clock_error` is half of that round trip.

    `assumed`: the host runs a system without SSH. Its architecture is the
    inventory's word, and `observed` holds what its API port showed: `api`
    (`maintenance` or `configured`), `api.key` (the SHA-256 of the public key, base64), `api.alpn`.
    """

    host: str
    kernel_machine: str
    kernel_arch: Arch | None
    userland_arch: Arch | None
    userland_bits: int | None
    endian: Endian | None
    native: frozenset[Arch] = frozenset()
    binfmt: tuple[BinfmtHandler, ...] = ()
    page_size: int | None = None
    kernel_release: str = ""
    libc: Libc = Libc()
    cpu: Cpu = Cpu()
    hard_float: bool | None = None  # 32-bit ARM userland ABI, by the loader that exists
    os_id: str = ""
    os_version: str = ""
    os_name: str = ""
    init: str = ""  # systemd, openrc, busybox, other
    virtualization: str = ""
    boot_id: str = ""
    machine_id: str = ""
    hostname: str = ""
    uid: int | None = None
    user: str = ""
    home: str = ""
    become: Become = "unknown"
    memory: int | None = None  # bytes
    spaces: tuple[Space, ...] = ()
    tools: frozenset[str] = frozenset()
    clock_offset: float | None = None
    clock_error: float | None = None
    personality_32: bool = False  # a 32-bit personality hides a 64-bit kernel from uname
    observed: Mapping[str, str] = field(default_factory=dict)  # the driver's own questions and their answers
    conflicts: tuple[str, ...] = ()  # sources that contradict each other, in words
    become_detail: str = ""  # what sudo or doas said when it was asked without a password
    interpreters: frozenset[str] = frozenset()  # those of `INTERPRETERS` that exist; empty: unknown
    own_name_unknown: bool = False  # sudo could not resolve the host's own name
    beneath: Arch | None = None  # the real kernel where every program of this host runs through an emulator
    assumed: bool = False  # nobody asked the host: its architecture is what the inventory says

    @property
    def contained(self) -> bool:
        """Whether this is a container: its kernel and its devices are another machine's."""
        return self.virtualization not in MACHINES

    @property
    def emulates(self) -> frozenset[Arch]:
        """The architectures that a binfmt handler runs here and the kernel itself does not."""
        return frozenset(h.arch for h in self.binfmt if h.arch is not None and not h.refuses) - self.native

    def space(self, path: str) -> Space | None:
        """What is known about the file system that would hold `path`."""
        return next((s for s in self.spaces if s.path == path), None)

    @property
    def fingerprint_fields(self) -> tuple[str, ...]:
        """What must not change between a plan and its apply, as text; volatile facts are left out."""
        return (
            self.host,
            self.kernel_machine,
            str(self.kernel_arch),
            str(self.userland_arch),
            str(self.page_size),
            self.machine_id,
            ",".join(sorted(self.native)),
            ",".join(sorted(self.emulates)),
            # The key under which it answers is none of it: an honest machine takes another at each new address.
            *((self.observed.get("api", ""),) if self.assumed else ()),
        )


def fingerprint(facts: Facts) -> str:
    """The SHA-256 (hex) of what a plan depends on: the host changed under a plan when it differs."""
    digest = hashlib.sha256()
    for text in facts.fingerprint_fields:
        raw = text.encode("utf-8", "backslashreplace")
        digest.update(b"%d:" % len(raw) + raw)
    return digest.hexdigest()
