"""A corpus of ELF files made from bytes: sound ones for seven architectures, and every way of being wrong.

Deterministic: the same samples with the same bytes on every machine. A sound
program writes its own name and a newline and exits with 0, so that "it ran"
can be told from "something ran".
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from sealboot.lab import tinyelf
from sealboot.model.arch import Arch

#: The loaders of the GNU C library by its ABI list (glibc wiki, "ABIList").
GLIBC_LOADERS = {
    Arch.AMD64: "/lib64/ld-linux-x86-64.so.2",
    Arch.I386: "/lib/ld-linux.so.2",
    Arch.ARM64: "/lib/ld-linux-aarch64.so.1",
    Arch.ARM: "/lib/ld-linux-armhf.so.3",
    Arch.RISCV64: "/lib/ld-linux-riscv64-lp64d.so.1",
    Arch.PPC64LE: "/lib64/ld64.so.2",
    Arch.S390X: "/lib/ld64.so.1",
}

PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_NOTE = 1, 2, 3, 4
_RWX = 7
_DT = {"NEEDED": 1, "HASH": 4, "STRTAB": 5, "SYMTAB": 6, "STRSZ": 10, "SYMENT": 11}
_DT_VERSYM, _DT_VERNEED, _DT_VERNEEDNUM = 0x6FFFFFF0, 0x6FFFFFFE, 0x6FFFFFFF


#: `bytes`, under a name that the field of that name does not hide.
Data: TypeAlias = bytes


@dataclass(frozen=True, slots=True)
class Sample:
    """One file: `name` is unique and a valid file name, `note` says what is special about it."""

    name: str
    bytes: Data
    note: str

    @property
    def says(self) -> Data:
        """What the program writes if all of it runs."""
        return self.name.encode() + b"\n"


def samples() -> list[Sample]:
    """Every sample, in a fixed order."""
    found = [
        Sample(f"static-{_key(arch)}", static(arch, f"static-{_key(arch)}"), f"static {arch.field_name}")
        for arch in tinyelf.supported()
    ]
    found += [_dynamic_sample(arch) for arch in tinyelf.supported()]
    for arch in (Arch.AMD64, Arch.ARM64, Arch.I386, Arch.S390X):
        found += [_mutant(arch, name, note, change) for name, note, change in _MUTANTS]
    found += [_special(name, note, make) for name, note, make in _SPECIALS]
    return found


def kernel_samples() -> list[Sample]:
    """Further samples for a real kernel of x86-64 alone: user-mode emulators are laxer, or stricter."""
    changes: tuple[tuple[str, str, Change], ...] = (
        ("filesz-above-memsz", "more bytes in the file than in memory", _first_segment(32, 16, 0x5000)),
        ("memory-beyond", "a segment beyond the address space", _first_segment(40, 20, (1 << 32) - 1)),
        ("version-zero", "EI_VERSION 0; no kernel looks", lambda _a, d: put(d, 6, b"\0")),
        ("padding", "EI_PAD not zero; no kernel looks", lambda _a, d: put(d, 9, b"padding")),
        ("sections-lie", "a section table beyond the end", _set_half(60, 48, 0xFFFF)),
    )
    return [_mutant(arch, *change) for arch in (Arch.AMD64, Arch.I386) for change in changes]


def static(arch: Arch, name: str) -> bytes:
    """A sound static program that writes `name` and a newline."""
    return tinyelf.make(arch, name + "\n")


def dynamic(
    arch: Arch,
    name: str,
    *,
    interpreter: str,
    needed: Sequence[str] = (),
    versions: Sequence[str] = (),
    note: bytes = b"",
) -> bytes:
    """A dynamic program: the kernel maps it and its loader, the loader jumps to its code.

    `versions` are bound to the first of `needed`; `note` is the body of a PT_NOTE segment.
    """
    return _Dynamic(arch, name, interpreter, tuple(needed), tuple(versions), note).build()


def abi_note(arch: Arch, *version: int) -> bytes:
    """An NT_GNU_ABI_TAG note: Linux, at least `version`."""
    order = _order(arch)
    return struct.pack(order + "III", 4, 16, 1) + b"GNU\0" + struct.pack(order + "IIII", 0, *version)


def x86_isa_note(bits: int) -> bytes:
    """An NT_GNU_PROPERTY_TYPE_0 note: the x86 ISA levels of `bits` are needed."""
    body = struct.pack("<III", 0xC0008002, 4, bits) + bytes(4)
    return struct.pack("<III", 4, len(body), 5) + b"GNU\0" + body


@dataclass(frozen=True, slots=True)
class _Dynamic:
    """Writes one segment: headers, interpreter, dynamic section, symbol tables, note, strings, code."""

    arch: Arch
    name: str
    interpreter: str
    needed: tuple[str, ...]
    versions: tuple[str, ...]
    note: bytes

    def build(self) -> bytes:
        count = 4 if self.note else 3
        strings, index = _string_table((*self.needed, *self.versions))
        at = tinyelf.headers_size(self.arch, count)
        blocks: dict[str, tuple[int, bytes]] = {}
        entries = len(self.needed) + 6 + (3 if self.versions else 0)
        word = self.arch.info.bits // 8
        for label, data in (
            ("interp", self.interpreter.encode() + b"\0"),
            ("dynamic", bytes(entries * 2 * word)),
            ("symbols", bytes(24 if word == 8 else 16)),
            ("hash", self._hash()),
            ("versym", bytes(2)),
            ("verneed", self._verneed(index)),
            ("note", self.note),
            ("strings", strings),
        ):
            at = (at + 7) // 8 * 8
            blocks[label] = (at, data)
            at += len(data)
        at = (at + 7) // 8 * 8
        code = tinyelf.program(self.arch, tinyelf.BASE + at, self.name.encode() + b"\n", 0)
        blocks["code"] = (at, code)
        blocks["dynamic"] = (blocks["dynamic"][0], self._dynamic(blocks, index))
        total = at + len(code)
        image = bytearray(total)
        header = tinyelf.elf_header(self.arch, entry=tinyelf.BASE + at, segments=count)
        table = self._segments(blocks, total)
        image[: len(header) + len(table)] = header + table
        for place, data in blocks.values():
            image[place : place + len(data)] = data
        return bytes(image)

    def _segments(self, blocks: dict[str, tuple[int, bytes]], total: int) -> bytes:
        def one(kind: int, place: int, size: int, align: int) -> bytes:
            address = tinyelf.BASE + place
            return tinyelf.program_header(
                self.arch, kind=kind, flags=_RWX, offset=place, address=address, size=size, align=align
            )

        table = one(PT_INTERP, blocks["interp"][0], len(blocks["interp"][1]), 1)
        table += one(PT_LOAD, 0, total, tinyelf.ALIGN)
        table += one(PT_DYNAMIC, blocks["dynamic"][0], len(blocks["dynamic"][1]), 8)
        return table + (one(PT_NOTE, blocks["note"][0], len(self.note), 4) if self.note else b"")

    def _dynamic(self, blocks: dict[str, tuple[int, bytes]], index: dict[str, int]) -> bytes:
        def address(label: str) -> int:
            return tinyelf.BASE + blocks[label][0]

        entries = [(_DT["NEEDED"], index[library]) for library in self.needed]
        entries += [
            (_DT["HASH"], address("hash")),
            (_DT["STRTAB"], address("strings")),
            (_DT["SYMTAB"], address("symbols")),
            (_DT["STRSZ"], len(blocks["strings"][1])),
            (_DT["SYMENT"], len(blocks["symbols"][1])),
        ]
        if self.versions:
            entries += [
                (_DT_VERSYM, address("versym")),
                (_DT_VERNEED, address("verneed")),
                (_DT_VERNEEDNUM, 1),
            ]
        layout = _order(self.arch) + ("QQ" if self.arch.info.bits == 64 else "II")
        return b"".join(struct.pack(layout, *entry) for entry in [*entries, (0, 0)])

    def _hash(self) -> bytes:
        """A System V hash table of one bucket and one (undefined) symbol; s390x has 64-bit entries."""
        letter = "Q" if self.arch is Arch.S390X else "I"
        return struct.pack(_order(self.arch) + 4 * letter, 1, 1, 0, 0)

    def _verneed(self, index: dict[str, int]) -> bytes:
        if not self.versions:
            return b""
        order, last = _order(self.arch), len(self.versions) - 1
        record = struct.pack(order + "HHIII", 1, len(self.versions), index[self.needed[0]], 16, 0)
        for i, version in enumerate(self.versions):
            following = 0 if i == last else 16
            record += struct.pack(
                order + "IHHII", _sysv_hash(version.encode()), 0, i + 2, index[version], following
            )
        return record


def _string_table(words: Sequence[str]) -> tuple[bytes, dict[str, int]]:
    table, index = b"\0", dict[str, int]()
    for text in words:
        index[text] = len(table)
        table += text.encode() + b"\0"
    return table, index


def _sysv_hash(name: bytes) -> int:
    """The hash function of the gABI, chapter 5."""
    value = 0
    for byte in name:
        value = (value << 4) + byte
        high = value & 0xF0000000
        value = (value ^ high >> 24) & ~high
    return value


def _order(arch: Arch) -> str:
    return "<" if arch.info.endian == "little" else ">"


def _key(arch: Arch) -> str:
    return arch.value


def _dynamic_sample(arch: Arch) -> Sample:
    name = f"dynamic-{_key(arch)}"
    data = dynamic(arch, name, interpreter=GLIBC_LOADERS[arch], needed=("libc.so.6",))
    return Sample(name, data, f"dynamic {arch.field_name}, glibc's loader")


# -- mutants: a sound static program with one thing changed ---------------------------------------------

Change = Callable[[Arch, bytes], bytes]


def put(data: bytes, offset: int, value: bytes) -> bytes:
    """`data` with `value` written over it at `offset`."""
    return data[:offset] + value + data[offset + len(value) :]


def _wide(arch: Arch) -> bool:
    return arch.info.bits == 64


def _half(arch: Arch, value: int) -> bytes:
    return struct.pack(_order(arch) + "H", value)


def _address(arch: Arch, value: int) -> bytes:
    return struct.pack(_order(arch) + ("Q" if _wide(arch) else "I"), value)


def _ehdr(arch: Arch, offset64: int, offset32: int) -> int:
    return offset64 if _wide(arch) else offset32


def _set_half(offset64: int, offset32: int, value: int) -> Change:
    return lambda arch, data: put(data, _ehdr(arch, offset64, offset32), _half(arch, value))


def _set_type(value: int) -> Change:
    return lambda arch, data: put(data, 16, _half(arch, value))


def _set_address(offset64: int, offset32: int, value: int) -> Change:
    return lambda arch, data: put(data, _ehdr(arch, offset64, offset32), _address(arch, value))


def _cut(keep: Callable[[Arch, int], int]) -> Change:
    return lambda arch, data: data[: keep(arch, len(data))]


def _flip(offset: int) -> Change:
    return lambda _arch, data: put(data, offset, bytes((3 - data[offset],)))


def _first_segment(offset64: int, offset32: int, value: int) -> Change:
    return _set_address(64 + offset64, 52 + offset32, value)


#: (name, what it is, how it is made). Offsets: gABI chapter 4 and 5, 64-bit and 32-bit.
_MUTANTS: tuple[tuple[str, str, Change], ...] = (
    ("osabi-freebsd", "EI_OSABI is FreeBSD's; no kernel looks", lambda _a, d: put(d, 7, b"\x09")),
    ("class-flipped", "EI_CLASS names the other class", _flip(4)),
    ("data-flipped", "EI_DATA names the other byte order", _flip(5)),
    ("type-none", "ET_NONE", _set_type(0)),
    ("type-rel", "ET_REL, an object file", _set_type(1)),
    ("type-core", "ET_CORE, a core dump", _set_type(4)),
    ("type-unknown", "e_type 0xfe00", _set_type(0xFE00)),
    ("machine-zero", "e_machine EM_NONE", lambda a, d: put(d, 18, _half(a, 0))),
    ("machine-unknown", "e_machine 0x7a7a", lambda a, d: put(d, 18, _half(a, 0x7A7A))),
    ("phnum-zero", "no program headers", _set_half(56, 44, 0)),
    ("phnum-huge", "65535 program headers", _set_half(56, 44, 0xFFFF)),
    ("phentsize-odd", "program headers of a wrong size", _set_half(54, 42, 24)),
    ("phoff-beyond", "program headers beyond the end", _set_address(32, 28, 0x100000)),
    ("entry-zero", "no entry point", _set_address(24, 24, 0)),
    ("entry-outside", "entry point in no segment", _set_address(24, 24, 0x10000000)),
    ("empty-header", "only the first 16 bytes", _cut(lambda _a, _n: 16)),
    ("cut-header", "cut inside the ELF header", _cut(lambda a, _n: 60 if _wide(a) else 40)),
    ("cut-table", "cut inside the program headers", _cut(lambda a, _n: 90 if _wide(a) else 70)),
    ("cut-code", "cut in the middle of its code", _cut(lambda a, _n: tinyelf.headers_size(a, 1) + 12)),
    ("skewed-offset", "offset and address differ modulo every page size", _first_segment(16, 8, 0x400010)),
    ("appended", "a payload behind the program", lambda _a, d: d + b"payload" * 1000),
)


def _mutant(arch: Arch, name: str, note: str, change: Change) -> Sample:
    full = f"{name}-{_key(arch)}"
    data = change(arch, static(arch, full))
    return Sample(full, data, f"{arch.field_name}: {note}")


def _x32(name: str) -> bytes:
    """An i386-layout file for machine x86-64: the x32 ABI."""
    return put(static(Arch.I386, name), 18, _half(Arch.AMD64, Arch.AMD64.info.machine))


def _old_eabi(name: str) -> bytes:
    return put(static(Arch.ARM, name), 36, struct.pack("<I", 0))


def _soft_float(name: str) -> bytes:
    return put(static(Arch.ARM, name), 36, struct.pack("<I", 0x05000200))


def _no_loader(arch: Arch) -> Callable[[str], bytes]:
    return lambda name: dynamic(arch, name, interpreter="/lib/ld-nonexistent.so.9")


def _musl(arch: Arch, loader: str) -> Callable[[str], bytes]:
    return lambda name: dynamic(arch, name, interpreter=loader)


def _interp(arch: Arch, change: Callable[[bytes], bytes]) -> Callable[[str], bytes]:
    """A dynamic program whose interpreter path (in place, of the same length) is changed."""

    def make(name: str) -> bytes:
        loader = GLIBC_LOADERS[arch].encode() + b"\0"
        data = dynamic(arch, name, interpreter=GLIBC_LOADERS[arch])
        return data.replace(loader, change(loader), 1)

    return make


def _interp_size(arch: Arch, size: int) -> Callable[[str], bytes]:
    def make(name: str) -> bytes:
        data = dynamic(arch, name, interpreter=GLIBC_LOADERS[arch])
        at = 64 + 32 if _wide(arch) else 52 + 16
        return put(data, at, _address(arch, size))

    return make


def _new_libc(arch: Arch, version: str) -> Callable[[str], bytes]:
    return lambda name: dynamic(
        arch, name, interpreter=GLIBC_LOADERS[arch], needed=("libc.so.6",), versions=(version,)
    )


def _small_pages(name: str) -> bytes:
    """Loaded one 4 KiB page above `BASE` from offset 0: agrees modulo 4 KiB, not modulo 16 or 64 KiB."""
    arch, address = Arch.ARM64, tinyelf.BASE + 0x1000
    start = tinyelf.headers_size(arch, 1)
    body = tinyelf.program(arch, address + start, name.encode() + b"\n", 0)
    segment = tinyelf.program_header(
        arch, kind=PT_LOAD, flags=5, offset=0, address=address, size=start + len(body), align=0x1000
    )
    return tinyelf.elf_header(arch, entry=address + start, segments=1) + segment + body


_SPECIALS: tuple[tuple[str, str, Callable[[str], bytes]], ...] = (
    ("x32", "x86-64 in the x32 ABI", _x32),
    ("arm-old-abi", "arm without an EABI version", _old_eabi),
    ("arm-soft-float", "arm, EABI 5, soft float, static", _soft_float),
    ("no-loader-amd64", "its loader exists nowhere", _no_loader(Arch.AMD64)),
    ("no-loader-arm64", "its loader exists nowhere", _no_loader(Arch.ARM64)),
    ("musl-amd64", "musl's loader", _musl(Arch.AMD64, "/lib/ld-musl-x86_64.so.1")),
    ("musl-arm64", "musl's loader", _musl(Arch.ARM64, "/lib/ld-musl-aarch64.so.1")),
    ("new-libc-amd64", "needs GLIBC_9.99", _new_libc(Arch.AMD64, "GLIBC_9.99")),
    ("new-libc-arm64", "needs GLIBC_9.99", _new_libc(Arch.ARM64, "GLIBC_9.99")),
    ("old-libc-amd64", "needs GLIBC_2.2.5", _new_libc(Arch.AMD64, "GLIBC_2.2.5")),
    ("old-libc-arm64", "needs GLIBC_2.17", _new_libc(Arch.ARM64, "GLIBC_2.17")),
    ("interp-no-nul-amd64", "interpreter without NUL", _interp(Arch.AMD64, lambda p: p[:-1] + b"x")),
    ("interp-no-nul-arm64", "interpreter without NUL", _interp(Arch.ARM64, lambda p: p[:-1] + b"x")),
    ("interp-empty-amd64", "an empty interpreter", _interp(Arch.AMD64, lambda p: bytes(len(p)))),
    ("interp-one-amd64", "an interpreter of one byte", _interp_size(Arch.AMD64, 1)),
    ("interp-huge-amd64", "an interpreter of 32 MiB", _interp_size(Arch.AMD64, 32 << 20)),
    ("interp-huge-arm64", "an interpreter of 32 MiB", _interp_size(Arch.ARM64, 32 << 20)),
    ("small-pages-arm64", "linked for 4 KiB pages", _small_pages),
)


def _special(name: str, note: str, make: Callable[[str], bytes]) -> Sample:
    return Sample(name, make(name), note)
