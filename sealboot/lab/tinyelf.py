"""Real, runnable, static ELF programs of under 300 bytes (or as large as wished), written without a compiler.

Each writes one text to standard output and exits. They stand in for release
binaries in the embedded lab and in the tests: real bytes for a real kernel.

Machine code by the architecture manuals; system call numbers by Linux
(`arch/*/include/uapi/asm/unistd*.h`): write is 1 on x86-64, 4 on i386, arm,
ppc64 and s390x, and 64 on the architectures with the generic table.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from sealboot.model.arch import Arch

#: Where programs are loaded: a multiple of 64 KiB, above every distribution's mmap_min_addr.
BASE = 0x400000
#: Segment alignment: fits kernels with 4, 16 and 64 KiB pages.
ALIGN = 0x10000
#: The longest text: what every architecture can load into a register in one instruction.
MAX_TEXT = 2047
MAX_CODE = 255

#: Takes the text's address and length and the exit code, gives machine code of a constant size.
_Encoder: TypeAlias = Callable[[int, int, int], bytes]


@dataclass(frozen=True, slots=True)
class Target:
    """How to write a program for one architecture: its code, and `e_flags`."""

    encode: _Encoder
    flags: int = 0


def make(arch: Arch, text: str, code: int = 0, ballast: bytes = b"") -> bytes:
    """A static executable for `arch` that writes `text` and exits with `code`.

    `ballast` is loaded behind the program and read by nobody: real programs are large.
    Raises `ValueError` for an architecture that `supported` lacks, a text
    above `MAX_TEXT` bytes and an exit code outside 0 to 255.
    """
    if arch not in TARGETS:
        raise ValueError(f"no tiny program for {arch}")
    message = text.encode()
    if len(message) > MAX_TEXT or not 0 <= code <= MAX_CODE:
        raise ValueError(f"a text of at most {MAX_TEXT} bytes and a code up to {MAX_CODE}, please")
    start = headers_size(arch, 1)
    body = program(arch, BASE + start, message, code) + ballast
    size = start + len(body)
    segment = program_header(arch, kind=1, flags=5, offset=0, address=BASE, size=size, align=ALIGN)
    return elf_header(arch, entry=BASE + start, segments=1) + segment + body


def supported() -> tuple[Arch, ...]:
    """The architectures that `make` can write for."""
    return tuple(TARGETS)


def program(arch: Arch, address: int, message: bytes, code: int) -> bytes:
    """Machine code to be placed at `address`, with the message behind it."""
    encode = TARGETS[arch].encode
    size = len(encode(address, len(message), code))
    return encode(address + size, len(message), code) + message


def headers_size(arch: Arch, segments: int) -> int:
    """Bytes that the ELF header and `segments` program headers take."""
    return 64 + 56 * segments if arch.info.bits == 64 else 52 + 32 * segments


def elf_header(arch: Arch, *, entry: int, segments: int, kind: int = 2) -> bytes:
    """An ELF header; `kind` is `e_type`. The program headers follow it, sections there are none."""
    info = arch.info
    wide = info.bits == 64
    order = "<" if info.endian == "little" else ">"
    ident = b"\x7fELF" + bytes((2 if wide else 1, 1 if order == "<" else 2, 1)) + bytes(9)
    size, entry_size = (64, 56) if wide else (52, 32)
    layout = order + ("HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH")
    flags = TARGETS[arch].flags
    fields = (kind, info.machine, 1, entry, size, 0, flags, size, entry_size, segments, 0, 0, 0)
    return ident + struct.pack(layout, *fields)


def program_header(
    arch: Arch, *, kind: int, flags: int, offset: int, address: int, size: int, align: int
) -> bytes:
    """One program header whose size in memory is its size in the file."""
    order = "<" if arch.info.endian == "little" else ">"
    if arch.info.bits == 64:
        return struct.pack(order + "IIQQQQQQ", kind, flags, offset, address, address, size, size, align)
    return struct.pack(order + "IIIIIIII", kind, offset, address, address, size, size, flags, align)


def _x86_64(address: int, length: int, code: int) -> bytes:
    return b"".join(
        (
            b"\xb8" + struct.pack("<I", 1),  # mov eax, write
            b"\xbf" + struct.pack("<I", 1),  # mov edi, stdout
            b"\x48\xbe" + struct.pack("<Q", address),  # mov rsi, address
            b"\xba" + struct.pack("<I", length),  # mov edx, length
            b"\x0f\x05",  # syscall
            b"\xb8" + struct.pack("<I", 60),  # mov eax, exit
            b"\xbf" + struct.pack("<I", code),  # mov edi, code
            b"\x0f\x05",
        )
    )


def _i386(address: int, length: int, code: int) -> bytes:
    return b"".join(
        (
            b"\xb8" + struct.pack("<I", 4),  # mov eax, write
            b"\xbb" + struct.pack("<I", 1),  # mov ebx, stdout
            b"\xb9" + struct.pack("<I", address),  # mov ecx, address
            b"\xba" + struct.pack("<I", length),  # mov edx, length
            b"\xcd\x80",  # int 0x80
            b"\xb8" + struct.pack("<I", 1),  # mov eax, exit
            b"\xbb" + struct.pack("<I", code),  # mov ebx, code
            b"\xcd\x80",
        )
    )


def _words(*words: int) -> bytes:
    return struct.pack(f"<{len(words)}I", *words)


def _arm64(address: int, length: int, code: int) -> bytes:
    def movz(register: int, value: int) -> int:
        return 0xD2800000 | (value & 0xFFFF) << 5 | register

    def movk_high(register: int, value: int) -> int:
        return 0xF2A00000 | (value & 0xFFFF) << 5 | register

    svc = 0xD4000001
    return _words(
        movz(0, 1),
        movz(1, address),
        movk_high(1, address >> 16),
        movz(2, length),
        movz(8, 64),  # write
        svc,
        movz(0, code),
        movz(8, 93),  # exit
        svc,
    )


def _arm(address: int, length: int, code: int) -> bytes:
    """ARMv4 code for EABI 5: every ARM processor that Linux runs on takes it."""

    def mov(register: int, value: int) -> int:
        return 0xE3A00000 | register << 12 | value

    def literal(register: int, distance: int) -> int:
        """Load the word at `distance` bytes from the program counter, which is two instructions ahead."""
        return 0xE59F0000 | register << 12 | distance

    svc = 0xEF000000
    return _words(
        mov(0, 1),
        literal(1, 20),  # address
        literal(2, 20),  # length
        mov(7, 4),  # write
        svc,
        mov(0, code),
        mov(7, 1),  # exit
        svc,
        address,
        length,
    )


def _riscv64(address: int, length: int, code: int) -> bytes:
    def li(register: int, value: int) -> int:  # addi register, zero, value
        return value << 20 | register << 7 | 0x13

    high = (address + 0x800) >> 12  # rounded, because addi sign-extends its 12 bits
    low = address - (high << 12) & 0xFFF
    ecall = 0x73
    return _words(
        li(10, 1),
        high << 12 | 11 << 7 | 0x37,  # lui a1
        low << 20 | 11 << 15 | 11 << 7 | 0x13,  # addi a1, a1
        li(12, length),
        li(17, 64),  # write
        ecall,
        li(10, code),
        li(17, 93),  # exit
        ecall,
    )


def _ppc64le(address: int, length: int, code: int) -> bytes:
    def li(register: int, value: int) -> int:
        return 0x38000000 | register << 21 | value

    sc = 0x44000002
    return _words(
        li(0, 4),  # write
        li(3, 1),
        0x3C800000 | address >> 16,  # lis r4
        0x60840000 | address & 0xFFFF,  # ori r4, r4
        li(5, length),
        sc,
        li(0, 1),  # exit
        li(3, code),
        sc,
    )


def _s390x(address: int, length: int, code: int) -> bytes:
    def lghi(register: int, value: int) -> bytes:
        return struct.pack(">I", 0xA7090000 | register << 20 | value)

    return b"".join(
        (
            lghi(2, 1),
            struct.pack(">HI", 0xC031, address),  # lgfi r3
            lghi(4, length),
            b"\x0a\x04",  # svc write
            lghi(2, code),
            b"\x0a\x01",  # svc exit
        )
    )


#: EABI version 5 and hard float; RVC and double float; ELFv2: what each toolchain sets.
TARGETS: dict[Arch, Target] = {
    Arch.AMD64: Target(_x86_64),
    Arch.I386: Target(_i386),
    Arch.ARM64: Target(_arm64),
    Arch.ARM: Target(_arm, 0x05000400),
    Arch.RISCV64: Target(_riscv64, 0x5),
    Arch.PPC64LE: Target(_ppc64le, 0x2),
    Arch.S390X: Target(_s390x),
}
