"""EFI zboot: a small EFI program with a compressed kernel in it. What arm64, riscv and loongarch ship.

Header: Linux drivers/firmware/efi/libstub/zboot-header.S. The payload size
leaves out the 4 bytes behind the payload that hold its inflated size.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from sealboot.artifacts.compress import StreamError
from sealboot.artifacts.findings import Finding
from sealboot.artifacts.kernel import Found, identify
from sealboot.artifacts.reader import MAX_READ, Memory, Source, Window, chunks
from sealboot.artifacts.streams import can_inflate, compression, inflate, peek
from sealboot.model.arch import Arch
from sealboot.model.artifact import Kernel

#: No kernel inflates to more; the largest of a distribution is near 100 MiB.
MAX_KERNEL = 512 << 20

_MARK_AT, _MARK = 4, b"zimg"
_METHOD_AT, _METHOD_END = 24, 56
#: Names in the header that are not those of the format: the kernel's own build steps.
_METHODS = {"xzkern": "xz", "zstd22": "zstd"}
_PEEKED = 1024


@dataclass(frozen=True, slots=True)
class Zboot:
    """The header of a zboot image: where its payload is, how it is compressed, what it claims."""

    payload: Window
    method: str
    claimed: str


def read_zboot(source: Source) -> Zboot | None:
    """The zboot header at the start of `source`; `None` when there is none."""
    head = source.at(0, 64)
    if head[:2] != b"MZ" or head[_MARK_AT : _MARK_AT + 4] != _MARK or len(head) < 64:
        return None
    offset, size = struct.unpack_from("<II", head, 8)
    claimed = head[_METHOD_AT:_METHOD_END].split(b"\0", 1)[0].decode("ascii", "backslashreplace")
    payload = Window(source, offset, size)
    return Zboot(payload, compression(payload.at(0, 16)), _METHODS.get(claimed, claimed))


def identify_zboot(zboot: Zboot, pe_arch: Arch | None) -> tuple[tuple[Kernel, ...], tuple[Finding, ...]]:
    """The outer and, where its compression is known, the inner kernel; and what does not agree."""
    outer = Kernel("zboot", pe_arch, compression=zboot.method or zboot.claimed)
    at = zboot.payload.start
    end = at + zboot.payload.length
    if zboot.payload.size < zboot.payload.length:
        size = max(0, at + zboot.payload.size)
        return (outer,), (Finding(f"truncated: the compressed kernel ends at {end}, the file before", size),)
    if zboot.method != zboot.claimed:
        what = f"the kernel in it is not {zboot.claimed} data, as its header says"
        return (outer,), (Finding(what, at),)
    head = peek(zboot.method, chunks(zboot.payload), _PEEKED)
    if not head and not can_inflate(zboot.method):
        return (outer,), ()
    inner = identify(Memory(head)) if head else None
    if inner is None:
        return (outer,), (Finding(f"the {zboot.method} data in it holds no kernel", at, code="SB405"),)
    kernels = (outer, inner.kernel)
    return kernels, disagreement(pe_arch, inner, at)


def disagreement(outer: Arch | None, inner: Found, at: int) -> tuple[Finding, ...]:
    """SB405 where an EFI program's machine is not the one of the kernel in it."""
    arch = inner.kernel.arch
    if arch is None or arch is outer:
        return ()
    shell = outer.field_name if outer else "of an unknown machine"
    what = f"the image is {shell}, but the kernel in it is {arch.field_name}"
    return (Finding(what, at, code="SB405"),)


def unwrap(zboot: Zboot) -> Iterator[bytes] | Finding:
    """The kernel inside, in chunks; or why it cannot be had.

    The payload is inflated once before the first byte is handed out, so that
    nobody ever gets half a kernel.
    """
    at = zboot.payload.start
    if zboot.payload.size < zboot.payload.length:
        return Finding("the compressed kernel is cut off", at)
    if not can_inflate(zboot.method):
        name = zboot.method or zboot.claimed or "unknown"
        return Finding(f"a kernel compressed with {name} cannot be unwrapped here", at, code="SB405")
    try:
        for _ in _inflated(zboot):
            pass
    except StreamError as error:
        return Finding(str(error), at)
    return _inflated(zboot)


def _inflated(zboot: Zboot) -> Iterator[bytes]:
    """Whole chunks rather than what a decompressor happens to yield."""
    held = bytearray()
    for part in inflate(zboot.method, chunks(zboot.payload), MAX_KERNEL):
        held += part
        while len(held) >= MAX_READ:
            yield bytes(held[:MAX_READ])
            del held[:MAX_READ]
    if held:
        yield bytes(held)
