"""binfmt_misc rules that make a namespace behave as a machine of another architecture.

Since Linux 6.7 every user namespace may have a binfmt_misc table of its own
(Documentation/admin-guide/binfmt-misc.rst), so a node emulates its processor
without the machine's table being touched. Two kinds of rule:

run
    ELF files of the node's architecture go to qemu-user. Flags: `P` keeps
    argv[0], without which busybox applets all run as `sh`; `O` hands over the
    open file, without which execveat of a close-on-exec descriptor fails, as
    dropbear does it; `C` takes credentials from the file, so that set-uid
    programs work; `F` opens the interpreter at registration, so that it need
    not exist in the node's root.
deny
    x86 ELF files go to a text file. The kernel's own ELF loader would run
    them on the lab's real processor; with the rule execve answers ENOEXEC, as
    on the real machine. The emulator itself is an x86 ELF: it is a copy whose
    byte `e_ident[15]` (padding) is 1, which the rule does not match.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sealboot.model.arch import Endian

#: e_ident[EI_NIDENT - 1]: the last padding byte of the ELF identification.
_MARK = 15


@dataclass(frozen=True, slots=True)
class Emulated:
    """One architecture that qemu-user can give a node: its emulator's name and ELF identity."""

    qemu: str
    bits: int
    little: bool
    machine: int


EMULATED = {
    "arm64": Emulated("aarch64", 64, little=True, machine=183),
    "armhf": Emulated("arm", 32, little=True, machine=40),
    "riscv64": Emulated("riscv64", 64, little=True, machine=243),
    "ppc64el": Emulated("ppc64le", 64, little=True, machine=21),
    "s390x": Emulated("s390x", 64, little=False, machine=22),
}
#: A processor that also runs another architecture's programs by itself: AArch32 on most arm64 boards.
COMPATIBLE = {"arm64": ("armhf",)}
_X86_64 = Emulated("x86_64", 64, little=True, machine=62)
_I386 = Emulated("i386", 32, little=True, machine=3)


def _escaped(raw: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in raw)


def _rule(name: str, elf: Emulated, interpreter: Path, flags: str) -> str:
    order: Endian = "little" if elf.little else "big"
    ident = b"\x7fELF" + bytes([elf.bits // 32, 1 if elf.little else 2, 1]) + bytes(9)
    magic = ident + (2).to_bytes(2, order) + elf.machine.to_bytes(2, order)
    # e_ident[7] (OS ABI) is free; 0xfffe in e_type admits ET_EXEC and ET_DYN.
    mask = b"\xff" * 7 + b"\x00" + b"\xff" * 8 + (0xFFFE).to_bytes(2, order) + b"\xff\xff"
    return f":{name}:M::{_escaped(magic)}:{_escaped(mask)}:{interpreter}:{flags}"


def foreign(emulators: Mapping[str, Path], refuser: Path) -> list[str]:
    """What to write to `register` for a node that is to be a machine of another architecture."""
    run = [_rule(f"lab-{name}", EMULATED[name], path, "POCF") for name, path in emulators.items()]
    # The refusals match only files that no `run` rule matches, so the order does not matter.
    return [*run, _rule("no-x86-64", _X86_64, refuser, "F"), _rule("no-i386", _I386, refuser, "F")]


def emulating(emulators: Mapping[str, Path]) -> list[str]:
    """The same for a node that stays x86 and emulates others, as `qemu-user-static` sets a machine up."""
    return [
        _rule(f"qemu-{EMULATED[name].qemu}", EMULATED[name], path, "POCF") for name, path in emulators.items()
    ]


def marked_emulator(source: Path, target: Path) -> None:
    """Copy the emulator `source`, marked so that the refusing rule lets it run."""
    shutil.copyfile(source, target)
    with target.open("r+b") as handle:
        handle.seek(_MARK)
        handle.write(b"\x01")
    target.chmod(0o755)
