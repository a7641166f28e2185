"""Look-alikes of self-extracting programs, and hand-made Go build information.

A look-alike is a real, runnable ELF program of a few hundred bytes in which
the parts that an inspector looks at lie where Go's linker and the projects'
build scripts put them.
"""

from __future__ import annotations

import hashlib
import io
import random
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Mapping, Sequence

from sealboot.artifacts.zstd import zstd
from sealboot.lab import tinyelf
from sealboot.model.arch import Arch

MAGIC = b"\xff Go buildinf:"
FRAME = bytes(range(0x30, 0x40))


def go_info(path: str, settings: Mapping[str, str], module: str = "") -> bytes:
    """Module information as Go writes it, in its frame of two 16-byte marks."""
    lines = [f"path\t{path}"]
    lines += [f"mod\t{module}\t"] if module else []
    lines += [f"build\t{name}={value}" for name, value in settings.items()]
    return FRAME + "".join(f"{line}\n" for line in lines).encode() + FRAME


def varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*out, number))


def go_inline(toolchain: str, info: bytes, arch: Arch) -> bytes:
    """Build information of Go 1.18 and later: two strings behind the 32-byte header."""
    word = arch.info.bits // 8
    header = (MAGIC + bytes((word, 2))).ljust(32, b"\0")
    return header + b"".join(varint(len(part)) + part for part in (toolchain.encode(), info))


def go_pointed(toolchain: str, info: bytes, arch: Arch, address: int) -> bytes:
    """Build information before Go 1.18: addresses of string headers. Lies at `address` in memory."""
    word = arch.info.bits // 8
    order = arch.info.endian

    def number(value: int) -> bytes:
        return value.to_bytes(word, order)

    first, second = address + 32, address + 32 + 2 * word
    text = second + 2 * word
    header = MAGIC + bytes((word, int(order == "big"))) + number(first) + number(second)
    tool = toolchain.encode()
    strings = number(text) + number(len(tool)) + number(text + len(tool)) + number(len(info))
    return header.ljust(32, b"\0") + strings + tool + info


def program(arch: Arch, *parts: bytes, text: str = "x\n", flags: int = 7) -> bytes:
    """A runnable program with `parts` behind its code, each at a multiple of 16, all in one segment."""
    start = tinyelf.headers_size(arch, 1)
    body = bytearray(tinyelf.program(arch, tinyelf.BASE + start, text.encode(), 0))
    for part in parts:
        body += bytes(-(start + len(body)) % 16) + part
    size = start + len(body)
    segment = tinyelf.program_header(
        arch, kind=1, flags=flags, offset=0, address=tinyelf.BASE, size=size, align=tinyelf.ALIGN
    )
    return tinyelf.elf_header(arch, entry=tinyelf.BASE + start, segments=1) + segment + bytes(body)


def address_of_part(arch: Arch, text: str = "x\n") -> int:
    """Where in memory the first part of `program` lies."""
    start = tinyelf.headers_size(arch, 1)
    end = start + len(tinyelf.program(arch, tinyelf.BASE + start, text.encode(), 0))
    return tinyelf.BASE + end + -end % 16


def with_section(data: bytes, arch: Arch, name: str, offset: int, size: int) -> bytes:
    """`data` with a section table at its end that names one section."""
    wide = arch.info.bits == 64
    order = "<" if arch.info.endian == "little" else ">"
    names = b"\0.shstrtab\0" + name.encode() + b"\0"
    names_at = len(data)
    table_at = names_at + len(names)
    layout = order + ("IIQQQQIIQQ" if wide else "IIIIIIIIII")
    entries: Sequence[tuple[int, int, int, int]] = (
        (0, 0, 0, 0),
        (11, 1, offset, size),
        (1, 3, names_at, len(names)),
    )
    loaded, constant = (7, tinyelf.BASE + offset), (0, 0)  # flags write, alloc, exec; address
    table = b"".join(
        struct.pack(layout, n, kind, *(loaded if kind == 1 else constant), at, long, 0, 0, 1, 0)
        for n, kind, at, long in entries
    )
    head = bytearray(data)
    struct.pack_into(order + ("Q" if wide else "I"), head, 40 if wide else 32, table_at)
    struct.pack_into(order + "HHH", head, 58 if wide else 46, 64 if wide else 40, 3, 2)
    return bytes(head) + names + table


#: What a k0s of 1.35 carries, shortened; 1.36 has no suffix and no folder.
NAMES = ("containerd", "kubelet", "runc")
IDENTITY = b"github.com/k0sproject/k0s/cmd/root.go"
_GZIP_HEADER = bytes.fromhex("1f8b08000000000002ff")


def component(arch: Arch, name: str, size: int = 100_000) -> bytes:
    """A real program of some size that hardly compresses: one of the programs inside."""
    noise = random.Random(name).randbytes(size)  # noqa: S311 (the same bytes each time)
    return program(arch, noise, text=f"{name}\n")


def gzip_member(data: bytes, level: int = 9) -> bytes:
    """One member with the header that Go's compress/gzip writes at its best level."""
    engine = zlib.compressobj(level, zlib.DEFLATED, -15)
    body = engine.compress(data) + engine.flush()
    return _GZIP_HEADER + body + struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)


def k0s_program(
    arch: Arch, version: str, names: Sequence[str] = (), length: int = 0, fill: bytes = b""
) -> bytes:
    """The program part: build information without a name, its version, its components, their length."""
    info = go_info("command-line-arguments", {"GOARCH": arch.value, "CGO_ENABLED": "0"})
    texts = IDENTITY + b"v1.30.0+k0s.0 is not mine" + version.encode() + b"\0"
    listed = b"".join(f"bin/{name}.gz".encode() for name in names)
    word = length.to_bytes(8, arch.info.endian)
    return program(arch, go_inline("go1.22.3", info, arch), texts, listed + b"\0", word, fill)


def k0s_chain(
    arch: Arch, inner: Sequence[Arch] | None = None, names: Sequence[str] = NAMES, padding: int = 0
) -> tuple[bytes, bytes]:
    """k0s up to 1.35 as (program, payload); `inner` are the components' architectures."""
    arches = inner or [arch] * len(names)
    chain = b"".join(gzip_member(component(a, n)) for a, n in zip(arches, names, strict=True))
    return k0s_program(arch, "v1.35.1+k0s.0", names, len(chain)) + bytes(padding), chain


def k0s_zip(
    arch: Arch, inner: Sequence[Arch] | None = None, names: Sequence[str] = NAMES
) -> tuple[bytes, bytes]:
    """k0s from 1.36 as (program, payload)."""
    arches = inner or [arch] * len(names)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for one, name in zip(arches, names, strict=True):
            archive.writestr(name, component(one, name))
    return k0s_program(arch, "v1.36.1+k0s.0"), buffer.getvalue()


def upx_like(arch: Arch, behind: bytes = b"", *, trailer: bool = True) -> bytes:
    """A program as UPX leaves it: three headers, its mark behind them, no sections.

    `behind` stands for what followed the program and did not compress; it is
    followed by UPX's end mark, its pack header and an offset: 48 bytes here.
    """
    start = tinyelf.headers_size(arch, 3)
    code = b"\0\0\0\0UPX!" + bytes(24) + tinyelf.program(arch, tinyelf.BASE + start + 32, b"x", 0)
    load = tinyelf.program_header(
        arch, kind=1, flags=5, offset=0, address=tinyelf.BASE, size=start + len(code), align=4096
    )
    null = tinyelf.program_header(arch, kind=0, flags=0, offset=0, address=0, size=0, align=0)
    header = tinyelf.elf_header(arch, entry=tinyelf.BASE + start + 32, segments=3)
    packed = header + load + null + null + code + behind
    ending = bytes(12) + b"UPX!" + bytes(20) + struct.pack("<I", 3 * len(packed)) + bytes(4) + bytes(4)
    return packed + (ending if trailer else b"")


def k3s_archive(inner: Arch, *, long: bool = False) -> bytes:
    """The archive inside k3s: a tar of `./bin` under zstd."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, data in (
            ("./bin/check-config", b"#!/bin/sh\n" * 300),
            ("./bin/cni", component(inner, "cni")),
            ("./bin/k3s", component(inner, "k3s", 300_000)),
            ("./bin/runc", component(inner, "runc")),
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
        link = tarfile.TarInfo("./bin/kubectl")
        link.type, link.linkname = tarfile.SYMTYPE, "k3s"
        archive.addfile(link)
    settings = zstd.CompressionParameter
    options: dict[int, int] = {settings.compression_level: 3, settings.window_log: 25 if long else 20}
    options |= {settings.enable_long_distance_matching: int(long), settings.checksum_flag: 1}
    return zstd.compress(buffer.getvalue(), options=options)


#: Other constants of a program: text, zeros, and bytes that begin a zstd frame and are none.
CONSTANTS = b"k8s.io/apimachinery/pkg/apis" + bytes(64) + b"\x28\xb5\x2f\xfd\xff\xff" + bytes(range(256))


def k3s_program(arch: Arch, archive: bytes, *, name: str | None = None, behind: bytes = CONSTANTS) -> bytes:
    """k3s with `archive` among its constants, under its own SHA-256 unless `name` says otherwise.

    Go's linker puts an embedded file among the constants, so that others follow it in the same
    segment, the next one without a gap; `behind` are those.
    """
    flags = '"-X github.com/k3s-io/k3s/pkg/version.Version=v1.36.3+k3s1 -w -s"'
    info = go_info("command-line-arguments", {"-ldflags": flags, "GOARCH": arch.value, "CGO_ENABLED": "0"})
    digest = hashlib.sha256(archive).hexdigest() if name is None else name
    return program(
        arch, go_inline("go1.24.1", info, arch), f"build/data/{digest}.tar.zst".encode(), archive + behind
    )
