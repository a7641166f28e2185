"""Programs that check their own payload when they run, in the two ways in which k0s finds its own; and UPX."""

from __future__ import annotations

import io
import struct
import subprocess
import zipfile
import zlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from labkit.apt import Repository
from labkit.cache import CACHE, made
from labkit.debs import unpack
from payload_kit import IDENTITY, component, go_info, go_inline, gzip_member
from requires import requires

from sealboot.lab import tinyelf
from sealboot.model.arch import Arch

NAMES = ("containerd", "kubelet", "runc")

#: Counts from the end of the file, with numbers that are part of its code, as k0s up to 1.35 does.
_CHAIN = r"""
#include <stdio.h>
#include <stdint.h>
volatile const long long total = TOTAL;
static const struct { const char *name; long offset, length; uint32_t sum; } members[] = { MEMBERS };
int main(void) {
  FILE *self = fopen("/proc/self/exe", "rb");
  for (unsigned i = 0; i < sizeof members / sizeof *members; i++) {
    uint32_t sum = 2166136261u;
    if (!self || fseek(self, -total + members[i].offset, SEEK_END)) return puts("seek: invalid argument"), 1;
    for (long n = 0; n < members[i].length; n++) {
      int byte = getc(self);
      if ((n == 0 && byte != 0x1f) || (n == 1 && byte != 0x8b)) return puts("gzip: invalid header"), 1;
      sum = (sum ^ (uint32_t)byte) * 16777619u;
    }
    if (sum != members[i].sum) return puts("gzip: invalid checksum"), 1;
    printf("%s ok\n", members[i].name);
  }
  return 0;
}
"""

#: Looks for the end record of a ZIP archive from the end, as Go's archive/zip does, and checks every CRC-32.
_ZIP = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
__attribute__((section(".go.buildinfo"), aligned(16), used)) static const unsigned char info[] = { INFO };
__attribute__((used)) static const char identity[] = IDENTITY "\0v1.36.1+k0s.0";
static unsigned char *file;
static unsigned number(const unsigned char *at, int bytes) {
  unsigned made = 0;
  while (bytes--) made = made << 8 | at[bytes];
  return made;
}
int main(void) {
  FILE *self = fopen("/proc/self/exe", "rb");
  fseek(self, 0, SEEK_END);
  long size = ftell(self), end = size - 22;
  file = malloc(size);
  rewind(self);
  if (fread(file, 1, size, self) != (size_t)size) return 1;
  while (end >= 0 && memcmp(file + end, "PK\5\6", 4)) end--;
  if (end < 0) return puts("no payload attached"), 1;
  unsigned char *entry = file + end - number(file + end + 12, 4);
  unsigned char *base = entry - number(file + end + 16, 4);
  for (unsigned i = 0; i < number(file + end + 10, 2); i++) {
    unsigned char *local = base + number(entry + 42, 4);
    if (memcmp(entry, "PK\1\2", 4) || memcmp(local, "PK\3\4", 4)) return puts("zip: not a valid zip file"), 1;
    unsigned char *data = local + 30 + number(local + 26, 2) + number(local + 28, 2);
    unsigned packed = number(entry + 20, 4), full = number(entry + 24, 4);
    unsigned char *made = malloc(full + 1);
    z_stream flow = {0};
    flow.next_in = data, flow.avail_in = packed, flow.next_out = made, flow.avail_out = full + 1;
    if (inflateInit2(&flow, -15) != Z_OK || inflate(&flow, Z_FINISH) != Z_STREAM_END) return puts("flate"), 1;
    if (flow.total_out != full || crc32(0, made, full) != number(entry + 16, 4)) return puts("checksum"), 1;
    printf("%.*s ok\n", (int)number(entry + 28, 2), entry + 46);
    entry += 46 + number(entry + 28, 2) + number(entry + 30, 2) + number(entry + 32, 2);
  }
  return 0;
}
"""


def compiled(folder: Path, source: str, *flags: str, **texts: str) -> bytes:
    """A program with debug information; skips the test where it cannot be compiled or would not run."""
    requires("gcc", "x86-64", *(["/usr/include/zlib.h"] if "zlib.h" in source else []))
    code, program = folder / "source.c", folder / "compiled"
    defined = [f"-D{name}={text}" for name, text in texts.items()]
    code.write_text(source)
    done = subprocess.run(
        ["gcc", "-g", "-O1", *defined, "-o", program, code, *flags],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return program.read_bytes()


def _sum(data: bytes) -> int:
    made = 2166136261
    for byte in data:
        made = (made ^ byte) * 16777619 & 0xFFFFFFFF
    return made


@cache
def _members() -> Mapping[str, bytes]:
    return {name: gzip_member(component(Arch.AMD64, name, 60_000), 6) for name in NAMES}


def counting(folder: Path) -> tuple[bytes, bytes]:
    """A program that finds gzip members by counting from the end, and these: (program, payload)."""
    at, rows = 0, []
    for name, data in _members().items():
        rows.append(f'{{"{name}",{at},{len(data)},{_sum(data)}u}}')
        at += len(data)
    program = compiled(folder, _CHAIN, "-static", TOTAL=str(at), MEMBERS=",".join(rows))
    return program, b"".join(_members().values())


def searching(folder: Path) -> tuple[bytes, bytes]:
    """A k0s by its marks that finds a ZIP archive by its end record: (program, payload)."""
    info = go_inline("go1.24.1", go_info("command-line-arguments", {"GOARCH": "amd64"}), Arch.AMD64)
    program = compiled(folder, _ZIP, "-lz", INFO=",".join(map(str, info)), IDENTITY=f'"{IDENTITY.decode()}"')
    return program, archive(1)


def archive(level: int, lines: int = 12_000) -> bytes:
    """A ZIP archive as Go's writer makes it: sizes behind the data (bit 3), and a time."""
    buffer = _Forward()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        for name in NAMES:
            entry = zipfile.ZipInfo(name, (2026, 3, 14, 15, 9, 26))
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o755 << 16
            text = b"".join(b"%d %s\n" % (n * n % 9973, name.encode()) for n in range(lines))
            made.writestr(entry, component(Arch.AMD64, name, 20_000) + text, compresslevel=level)
    return buffer.getvalue()


class _Forward(io.BytesIO):
    """Cannot seek, as a stream: then the writer puts sizes behind the data."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: object) -> int:
        raise io.UnsupportedOperation


def ran(path: Path) -> tuple[int, str]:
    """Run it: its exit code and what it said."""
    path.chmod(path.stat().st_mode | 0o700)
    done = subprocess.run([path.absolute()], capture_output=True, text=True, timeout=30, check=False)
    return done.returncode, done.stdout


ALL_WELL = (0, "".join(f"{name} ok\n" for name in NAMES))

#: A section: name, type, alignment, content.
SectionRow = tuple[str, int, int, bytes]


def with_sections(data: bytes, arch: Arch, rows: list[SectionRow]) -> bytes:
    """`data`, all of it one loaded section `.text`, followed by others that are not loaded, and their table."""
    wide = arch.info.bits == 64
    order = "<" if arch.info.endian == "little" else ">"
    body, places = bytearray(data), []
    for _, _, align, content in rows:
        body += bytes(-len(body) % align)
        places.append(len(body))
        body += content
    names = b"\0"
    table: list[tuple[int, ...]] = [(0,) * 10]
    start = tinyelf.headers_size(arch, 1)

    def entry(name: str, *rest: int) -> None:
        nonlocal names
        table.append((len(names), *rest))
        names += name.encode() + b"\0"

    entry(".text", 1, 6, tinyelf.BASE + start, start, len(data) - start, 0, 0, 4, 0)
    for (name, kind, align, content), place in zip(rows, places, strict=True):
        strings = next((i + 2 for i, row in enumerate(rows) if row[0] == ".strtab"), 0)
        entry(name, kind, 0, 0, place, len(content), strings if kind == 2 else 0, 0, align, 0)
    names_at = len(body)
    table.append((len(names), 3, 0, 0, names_at, len(names) + len(b".shstrtab\0"), 0, 0, 1, 0))
    body += names + b".shstrtab\0"
    body += bytes(-len(body) % 8)
    struct.pack_into(order + ("Q" if wide else "I"), body, 40 if wide else 32, len(body))
    struct.pack_into(order + "HHH", body, 58 if wide else 46, 64 if wide else 40, len(table), len(table) - 1)
    layout = order + ("IIQQQQIIQQ" if wide else "IIIIIIIIII")
    return bytes(body) + b"".join(struct.pack(layout, *row) for row in table)


def noise(size: int) -> bytes:
    """Bytes that are no zeros."""
    return zlib.compress(bytes(range(256)) * 64)[:64] * (size // 64)


def upx() -> Path:
    """Debian's backport of UPX, unpacked; skips where there is none."""
    requires("x86-64")
    suite = "bookworm-backports"

    def make(part: Path) -> None:
        repository = Repository(CACHE / "apt" / f"{suite}-amd64", suite, "amd64")
        unpack(repository.download("upx-ucl"), part)

    return made(CACHE / "debs" / "upx-ucl-amd64", make) / "usr/bin/upx-ucl"
