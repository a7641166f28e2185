"""Runs the lab's own tiny AArch64 programs where no qemu-user is installed.

A stand-alone script (no imports of ours: it is started for each program). It
maps the file's PT_LOAD segments and executes the instructions that such
programs are made of: wide moves, `adr`, and the system calls write and exit.
Anything else ends like an illegal instruction would, and says so.

Encodings: Arm Architecture Reference Manual for A-profile, C4.1.
"""

import os
import struct
import sys

_WRITE, _EXIT, _EXIT_GROUP = 64, 93, 94
_MASK = (1 << 64) - 1
_ILLEGAL = 128 + 4  # as a shell shows SIGILL


def load(data: bytes) -> tuple[int, dict[int, bytes]]:
    """The entry point and the loaded segments, by address."""
    entry, table = struct.unpack_from("<QQ", data, 24)
    size, count = struct.unpack_from("<HH", data, 54)
    segments = {}
    for number in range(count):
        kind, _, offset, address, _, filesz, memsz, _ = struct.unpack_from(
            "<IIQQQQQQ", data, table + number * size
        )
        if kind == 1:
            segments[address] = data[offset : offset + filesz].ljust(memsz, b"\0")
    return entry, segments


def fetch(segments: dict[int, bytes], address: int, size: int) -> bytes:
    """Memory, as far as it is mapped."""
    for start, data in segments.items():
        if start <= address < start + len(data):
            return data[address - start : address - start + size]
    return b""


def _wide_move(registers: list[int], word: int) -> bool:
    """MOVZ and MOVK (64-bit); whether it was one."""
    kind = word & 0xFF800000
    if kind not in {0xD2800000, 0xF2800000}:
        return False
    shift, value, target = (word >> 21 & 3) * 16, word >> 5 & 0xFFFF, word & 31
    kept = 0 if kind == 0xD2800000 else registers[target] & ~(0xFFFF << shift)
    registers[target] = (kept | value << shift) & _MASK
    return True


def run(data: bytes) -> int:
    """Execute until exit; returns the exit status."""
    counter, segments = load(data)
    registers = [0] * 32
    while True:
        raw = fetch(segments, counter, 4)
        word = int.from_bytes(raw, "little")
        if word & 0x9F000000 == 0x10000000:  # ADR
            offset = (word >> 5 & 0x7FFFF) << 2 | word >> 29 & 3
            registers[word & 31] = (counter + offset - (offset >> 20 << 21)) & _MASK
        elif word == 0xD4000001:  # SVC #0
            call = registers[8]
            if call in {_EXIT, _EXIT_GROUP}:
                return registers[0] & 0xFF
            if call != _WRITE:
                sys.stderr.write(
                    f"lab interpreter: system call {call} is not one of its own; install qemu-user\n"
                )
                return _ILLEGAL
            registers[0] = os.write(registers[0], fetch(segments, registers[1], registers[2]))
        elif not _wide_move(registers, word):
            sys.stderr.write(
                f"lab interpreter: instruction {word:#010x} is not one of its own; install qemu-user\n"
            )
            return _ILLEGAL
        counter += 4


if __name__ == "__main__":
    with open(sys.argv[1], "rb") as file:  # noqa: PTH123 (this script starts in milliseconds without pathlib)
        program = file.read()
    sys.exit(run(program))
