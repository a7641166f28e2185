"""What the lab offers: the kinds of machine, and the value that stands for one that is up."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from labkit import syscalls
from labkit.keys import KeyPair
from sealboot.model.arch import Arch

Server = Literal["openssh", "dropbear", "systemd", "openrc"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of machine.

    `debian` is Debian's name of the architecture whose packages make the root;
    `uname` is what `uname -m` says there. `vm` kinds boot a kernel of their own.
    A node of another architecture than the lab's machine is emulated, and shows
    nothing of that: see `binfmt` and `disguise`. `arch` is the kernel's;
    `kernel` is Debian's name of it, where the userland is of another.
    """

    arch: Arch
    debian: str
    uname: str
    recipe: Literal["minimal", "debian", "openrc", "musl"]
    server: Server
    personality: int = 0
    emulates: tuple[str, ...] = ()  # through binfmt_misc rules that the node shows
    vm: bool = False
    slow: bool = False
    kernel: str = ""
    suite: str = ""  # the Debian release of the root, where it is not the usual one
    board: str = ""  # the virtual machine's row of `vm.BOARDS`, where it is not the architecture's usual one

    @property
    def kernel_debian(self) -> str:
        """Debian's name of the kernel's architecture."""
        return self.kernel or self.debian


KINDS: dict[str, Kind] = {
    "amd64": Kind(Arch.AMD64, "amd64", "x86_64", "debian", "openssh"),
    "amd64-minimal": Kind(Arch.AMD64, "amd64", "x86_64", "minimal", "dropbear"),
    "amd64-systemd": Kind(Arch.AMD64, "amd64", "x86_64", "debian", "systemd"),
    # A 64-bit kernel that calls itself i686: what `setarch i386` and some containers show.
    "i686": Kind(Arch.AMD64, "amd64", "i686", "debian", "openssh", personality=syscalls.PER_LINUX32),
    # What installing qemu-user-static makes of a machine.
    "amd64-emulating": Kind(Arch.AMD64, "amd64", "x86_64", "minimal", "dropbear", emulates=("arm64",)),
    "arm64": Kind(Arch.ARM64, "arm64", "aarch64", "minimal", "dropbear"),
    "arm64-openssh": Kind(Arch.ARM64, "arm64", "aarch64", "debian", "openssh"),
    "arm64-systemd": Kind(Arch.ARM64, "arm64", "aarch64", "debian", "systemd"),
    "riscv64": Kind(Arch.RISCV64, "riscv64", "riscv64", "minimal", "dropbear"),
    "s390x": Kind(Arch.S390X, "s390x", "s390x", "minimal", "dropbear"),
    "armhf": Kind(Arch.ARM, "armhf", "armv7l", "minimal", "dropbear", slow=True),
    "ppc64el": Kind(Arch.PPC64LE, "ppc64el", "ppc64le", "minimal", "dropbear", slow=True),
    "arm64-vm": Kind(Arch.ARM64, "arm64", "aarch64", "minimal", "dropbear", vm=True),
    "amd64-vm": Kind(Arch.AMD64, "amd64", "x86_64", "minimal", "dropbear", vm=True, slow=True),
    "armhf-vm": Kind(Arch.ARM, "armhf", "armv7l", "minimal", "dropbear", vm=True, slow=True),
    "riscv64-vm": Kind(Arch.RISCV64, "riscv64", "riscv64", "minimal", "dropbear", vm=True, slow=True),
    "ppc64el-vm": Kind(Arch.PPC64LE, "ppc64el", "ppc64le", "minimal", "dropbear", vm=True, slow=True),
    "s390x-vm": Kind(Arch.S390X, "s390x", "s390x", "minimal", "dropbear", vm=True, slow=True),
    # The rarer reasons. What a C library or a 32-bit userland decides, a node shows as truly as a machine.
    "amd64-musl": Kind(Arch.AMD64, "amd64", "x86_64", "musl", "dropbear", slow=True),
    "amd64-old-glibc": Kind(
        Arch.AMD64, "amd64", "x86_64", "minimal", "dropbear", suite="bullseye", slow=True
    ),
    "i386-userland": Kind(Arch.AMD64, "i386", "x86_64", "minimal", "dropbear", kernel="amd64", slow=True),
    # qemu-arm answers uname as under `setarch linux32`; the virtual machine shows what it is without.
    "armhf-userland": Kind(Arch.ARM64, "armhf", "armv7l", "minimal", "dropbear", kernel="arm64", slow=True),
    # What only a kernel or a processor decides, virtual machines show.
    "armhf-userland-vm": Kind(
        Arch.ARM64, "armhf", "aarch64", "minimal", "dropbear", kernel="arm64", vm=True, slow=True
    ),
    "armv6-vm": Kind(
        *(Arch.ARM, "armel", "armv6l", "minimal", "dropbear"),
        kernel="armhf",  # the name that programs of the lab have: nothing in them is newer
        board="armel-v6",
        vm=True,
        slow=True,
    ),
    "amd64-old-cpu-vm": Kind(
        Arch.AMD64, "amd64", "x86_64", "minimal", "dropbear", board="amd64-old-cpu", vm=True, slow=True
    ),
    "amd64-v2-cpu-vm": Kind(
        Arch.AMD64, "amd64", "x86_64", "minimal", "dropbear", board="amd64-v2-cpu", vm=True, slow=True
    ),
    "arm64-16k-vm": Kind(
        Arch.ARM64, "arm64", "aarch64", "minimal", "dropbear", board="arm64-16k", vm=True, slow=True
    ),
}
#: Nodes for the rarer reasons that start as fast as any, but are no part of the big tables of the fast tier.
RARE_NODES = ("amd64-musl", "amd64-old-glibc", "i386-userland", "armhf-userland")

#: Machines that are built in another way than the kind they resemble, and execute the same: no part of any table.
TWINS: dict[str, Kind] = {
    "amd64-openrc": Kind(Arch.AMD64, "amd64", "x86_64", "openrc", "openrc", slow=True),
    "arm64-openrc": Kind(Arch.ARM64, "arm64", "aarch64", "openrc", "openrc", slow=True),
    # Room for a second kernel, and a processor that a kernel without five-level page tables starts on.
    "amd64-kexec-vm": Kind(
        Arch.AMD64, "amd64", "x86_64", "minimal", "dropbear", board="amd64-kexec", vm=True, slow=True
    ),
    "arm64-kexec-vm": Kind(
        Arch.ARM64, "arm64", "aarch64", "minimal", "dropbear", board="arm64-kexec", vm=True, slow=True
    ),
    # Booted by UEFI from its second disk; the first one is empty.
    "amd64-uefi-vm": Kind(
        Arch.AMD64, "amd64", "x86_64", "minimal", "dropbear", board="amd64-uefi", vm=True, slow=True
    ),
}


def kind(name: str) -> Kind:
    """The row of a table above; raises `KeyError`."""
    return KINDS[name] if name in KINDS else TWINS[name]


@dataclass(frozen=True, slots=True)
class Order:
    """What it takes to start one machine. `state` is its own folder: keys, log."""

    name: str
    kind: str
    address: str
    state: Path
    host_key: KeyPair
    authorized: str  # the public key that may log in

    @property
    def about(self) -> Kind:
        """The kind's row of the table."""
        return kind(self.kind)

    @property
    def number(self) -> int:
        """The last byte of the address: unique in the lab."""
        return int(self.address.rpartition(".")[2])


#: Every kind of the fast tier, in the order in which tables list them.
FAST = tuple(name for name, kind in KINDS.items() if not kind.slow)


@dataclass(frozen=True, slots=True)
class Node:
    """One machine that is up and answers SSH.

    `pid` is its PID 1 (for a virtual machine: the emulator) as the lab's
    machine counts; `log` is what its init and server printed, or its console.
    """

    name: str
    kind: str
    address: str
    port: int
    user: str
    key_file: Path
    host_key: str  # `ssh-ed25519 AAAA…`
    pid: int
    log: Path
    link: str  # its port on the bridge

    @property
    def about(self) -> Kind:
        """The kind's row of the table above."""
        return kind(self.kind)

    @property
    def arch(self) -> Arch:
        """The architecture of its kernel and userland."""
        return kind(self.kind).arch

    @property
    def known_hosts_line(self) -> str:
        """The line for a known_hosts file, without the line end."""
        where = self.address if self.port == 22 else f"[{self.address}]:{self.port}"
        return f"{where} {self.host_key}"

    @property
    def filesystem(self) -> Path:
        """The node's root as this machine sees it; a virtual machine has none."""
        return Path(f"/proc/{self.pid}/root")
