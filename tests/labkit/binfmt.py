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
    on the real machine. The emulator itself is an x86 ELF: it is a copy with a
    mark in the padding of its header, which the rule does not match.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sealboot.model.arch import Endian

#: e_ident[EI_NIDENT - 1], the last padding byte of the ELF identification, and the bit that marks
#: the lab's emulators there. No linker writes it, and no sample of the tests has it.
_MARK, _MARKED = 15, 0x80


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


def _escaped(raw: bytearray) -> str:
    return "".join(f"\\x{byte:02x}" for byte in raw)


@dataclass(slots=True)
class _Pattern:
    """Bytes of an ELF header and which of their bits count."""

    magic: bytearray
    mask: bytearray

    @classmethod
    def of(cls, elf: Emulated, *, lenient: bool = False) -> _Pattern:
        """Executables and shared objects for one machine.

        `lenient` looks as most kernels do, at e_machine alone: the class and
        the byte order that the identification names are ignored.
        """
        order: Endian = "little" if elf.little else "big"
        ident = b"\x7fELF" + bytes([elf.bits // 32, 1 if elf.little else 2, 1]) + bytes(9)
        # e_ident[7] (OS ABI) is free; 0xfffe in e_type admits ET_EXEC and ET_DYN.
        strict = b"\xff" * 7 + b"\x00" + b"\xff" * 8
        mask = strict if not lenient else b"\xff" * 4 + bytes(12)
        return cls(
            bytearray(ident + (2).to_bytes(2, order) + elf.machine.to_bytes(2, order)),
            bytearray(mask + (0xFFFE).to_bytes(2, order) + b"\xff\xff"),
        )

    def but_not_marked(self) -> _Pattern:
        """The same, except files that carry the mark."""
        self.mask[_MARK] |= _MARKED
        return self

    def with_flags(self, offset: int, value: int) -> _Pattern:
        """The same, with one more byte of the header given."""
        padding = bytes(offset - len(self.magic))
        self.magic += padding + bytes([value])
        self.mask += padding + b"\xff"
        return self

    def rule(self, name: str, interpreter: Path, flags: str) -> str:
        """What to write to `register`."""
        return f":{name}:M::{_escaped(self.magic)}:{_escaped(self.mask)}:{interpreter}:{flags}"


def foreign(debian: str, emulators: Mapping[str, Path], refuser: Path) -> list[str]:
    """What to write to `register`, line by line, for a node that is to be a machine of another architecture.

    All are lenient: a kernel looks at e_machine, and so does the x86 kernel
    below, which would run an x86 file whatever class its header names.
    """
    refuse = [
        _Pattern.of(elf, lenient=True).but_not_marked().rule(f"no-{elf.qemu}", refuser, "F")
        for elf in (_X86_64, _I386)
    ]
    run = {name: _Pattern.of(EMULATED[name], lenient=True) for name in emulators}
    if debian == "arm64" and "armhf" in run:
        # An arm64 kernel takes arm files of the new ABI (EABI 5) alone; an arm kernel takes old ones too.
        run["armhf"] = _Pattern.of(EMULATED["armhf"]).with_flags(39, 5)
    return [*refuse, *(p.rule(f"lab-{name}", emulators[name], "POCF") for name, p in run.items())]


def emulating(emulators: Mapping[str, Path]) -> list[str]:
    """The same for a node that stays x86 and emulates others, as `qemu-user-static` sets a machine up."""
    return [
        _Pattern.of(EMULATED[name]).rule(f"qemu-{EMULATED[name].qemu}", path, "POCF")
        for name, path in emulators.items()
    ]


def marked_emulator(source: Path, target: Path) -> None:
    """Copy the emulator `source`, marked so that the refusing rule lets it run."""
    shutil.copyfile(source, target)
    with target.open("r+b") as handle:
        handle.seek(_MARK)
        handle.write(bytes([_MARKED]))
    target.chmod(0o755)
