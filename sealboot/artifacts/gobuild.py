"""What the Go linker wrote about a program: toolchain, module, target. Read from the bytes, nothing runs.

Source of the format: Go's `debug/buildinfo` and `runtime/debug` packages. A
32-byte header (magic, pointer size, flags) is followed by two strings with
their lengths (Go 1.18 and later) or holds the addresses of two string headers
(before). The header lies in the section `.go.buildinfo`, at a multiple of 16;
without sections it is looked for in the data segments.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from sealboot.artifacts.elf_segments import PF_W, PF_X, PT_LOAD, file_offset
from sealboot.artifacts.reader import Source
from sealboot.artifacts.scan import find_all, read
from sealboot.artifacts.sections import find_section
from sealboot.model.arch import Arch, Endian
from sealboot.model.artifact import Elf

#: Bytes of data segments that are searched where no section says where to look.
MAX_SEARCH = 64 << 20
#: The longest of the two strings that is read: kubelet's list of modules takes 40 KB.
MAX_STRING = 1 << 20

_MAGIC = b"\xff Go buildinf:"
_SECTION = ".go.buildinfo"
_HEADER = 32
_ALIGN = 16
#: A 64-bit number in groups of seven bits.
_VARINT = 10
_FLAG_BIG_ENDIAN, _FLAG_INLINE = 1, 2
#: Two marks of 16 bytes enclose the module information (`cmd/go/internal/modload`).
_FRAME = 16
_MAX_HITS = 64
_MAX_LINES = 4096

#: `-X path/to/pkg.Version=v1.2.3` in `-ldflags`: how Go programs are told their version.
_LINKED = re.compile(r"-X[ =]['\"]?")
_LINKED_END = re.compile(r"[\s'\"]")
_VERSION_SHAPE = re.compile(r"v?\d++\.\d++[0-9A-Za-z.+_-]*+")
_GOARM = re.compile(r"([5-8])(?:,(?:hard|soft)float)?")
_GOARM64 = re.compile(r"v([89])\.(\d)((?:,(?:lse|crypto))*)")
_FEATURES = {
    "power9": ("power9",),
    "power10": ("power10",),
    "rva22u64": ("zba", "zbb", "zbs"),
    "rva23u64": ("zba", "zbb", "zbs", "zicond", "v"),
}
_GOAMD64 = re.compile(r"v([1-4])")


def _linked(flags: str) -> Iterator[tuple[str, str, str]]:
    """Package, variable and value of each `-X`; in one pass, because a file may hold a megabyte of them."""
    for assignment in _LINKED.split(flags)[1:]:
        word = _LINKED_END.split(assignment, maxsplit=1)[0]
        name, _, value = word.partition("=")
        package, _, variable = name.rpartition(".")
        yield package, variable, value


@dataclass(frozen=True, slots=True)
class GoBuild:
    """One program's build information; empty texts and no settings where it holds none.

    `toolchain` is `go1.22.3`; `path` the main package; `module` and
    `module_version` the main module; `settings` the `build` lines (GOARCH,
    GOARM, GOAMD64, CGO_ENABLED, vcs.revision, -ldflags) as written.
    """

    toolchain: str
    path: str = ""
    module: str = ""
    module_version: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """The program's own version: set by the linker (k3s, sealctl), else the main module's."""
        for package, variable, value in _linked(self.settings.get("-ldflags", "")):
            if package and variable.lower().endswith("version") and _VERSION_SHAPE.fullmatch(value):
                return value
        return self.module_version if self.module_version != "(devel)" else ""

    @property
    def arm_level(self) -> int | None:
        """GOARM as a number (5, 6, 7); `None` for other targets and where it is not told."""
        match = _GOARM.fullmatch(self.settings.get("GOARM", ""))
        return int(match[1]) if match and self.settings.get("GOARCH") == Arch.ARM else None

    @property
    def cpu_features(self) -> tuple[str, ...]:
        """What GOARM64, GOPPC64 or GORISCV64 demand beyond the oldest processor that Go knows, as facts name it.

        Compiled code uses these untried: from v8.1 on arm64's atomic
        instructions (LSE), POWER's generation, RISC-V's extensions.
        """
        arch = self.settings.get("GOARCH", "")
        level = self.settings.get(
            {"ppc64le": "GOPPC64", "ppc64": "GOPPC64"}.get(arch, f"GO{arch.upper()}"), ""
        )
        match = _GOARM64.fullmatch(level) if arch == Arch.ARM64 else None
        if match is not None:
            return ("atomics",) if (match[1], match[2]) != ("8", "0") or "lse" in match[3] else ()
        return _FEATURES.get(level, ()) if arch in {Arch.PPC64LE, Arch.PPC64, Arch.RISCV64} else ()

    @property
    def x86_level(self) -> int | None:
        """GOAMD64 as a number (1 to 4); `None` for other targets and where it is not told."""
        match = _GOAMD64.fullmatch(self.settings.get("GOAMD64", ""))
        return int(match[1]) if match and self.settings.get("GOARCH") == Arch.AMD64 else None

    def facts(self) -> dict[str, str]:
        """What is worth showing, as text; only what is known."""
        told = {
            "toolchain": self.toolchain,
            "path": self.path,
            "module": f"{self.module} {self.module_version}".strip(),
            "version": self.version,
            **{name: self.settings.get(name, "") for name in _SHOWN},
        }
        return {name: value for name, value in told.items() if value}


_SHOWN = (
    "GOOS",
    "GOARCH",
    "GOARM",
    "GOARM64",
    "GOAMD64",
    "GO386",
    "GOMIPS",
    "GOMIPS64",
    "GOPPC64",
    "GORISCV64",
    "CGO_ENABLED",
    "vcs.revision",
    "vcs.modified",
)


def read_gobuild(source: Source, elf: Elf) -> GoBuild | None:
    """The build information of a Go program; `None` for everything else. May raise `OSError` only."""
    for at in _places(source, elf):
        header = source.at(at, _HEADER)
        if len(header) < _HEADER:
            continue
        toolchain, module = (
            _inline(source, at + _HEADER) if header[15] & _FLAG_INLINE else _pointed(source, elf, header)
        )
        if toolchain:
            return _parse(_text(toolchain), _unframed(module))
    return None


def _places(source: Source, elf: Elf) -> Iterator[int]:
    """Where a header may lie: where the section says, or else wherever data segments have the magic."""
    section = find_section(source, elf, _SECTION)
    if section.offset is not None and source.at(section.offset, len(_MAGIC)) == _MAGIC:
        yield section.offset
        return
    left, hits = MAX_SEARCH, 0
    for start, end in _data_segments(elf, constants=section.offset is not None or not section.named):
        stop = min(end, start + left, source.size)
        for at in find_all(source, _MAGIC, start, stop):
            if (at - start) % _ALIGN == 0:
                yield at
            hits += 1
            if hits >= _MAX_HITS:
                return
        left -= max(0, stop - start)


def _data_segments(elf: Elf, *, constants: bool) -> list[tuple[int, int]]:
    """Writable data first (Go to 1.22), then data that is only read; code is never searched.

    Constants are searched only where sections do not tell that this is no Go program.
    """
    loads = [s for s in elf.segments if s.type == PT_LOAD and s.filesz]
    writable = [s for s in loads if s.flags & PF_W]
    constant = [s for s in loads if not s.flags & (PF_W | PF_X)]
    return [(s.offset, s.offset + s.filesz) for s in (*writable, *(constant if constants else ()))]


def _inline(source: Source, at: int) -> tuple[bytes, bytes]:
    toolchain, behind = _counted(source, at)
    module, _ = _counted(source, behind) if toolchain else (b"", 0)
    return toolchain, module


def _counted(source: Source, at: int) -> tuple[bytes, int]:
    """A string behind its length (a varint), and the offset behind it; empty when it cannot be one."""
    head = source.at(at, _VARINT)
    count = next((n for n, byte in enumerate(head, 1) if byte < 0x80), 0)
    length = sum((byte & 0x7F) << 7 * n for n, byte in enumerate(head[:count]))
    if not 0 < length <= MAX_STRING:
        return b"", at
    data = read(source, at + count, length)
    return (data, at + count + length) if len(data) == length else (b"", at)


def _pointed(source: Source, elf: Elf, header: bytes) -> tuple[bytes, bytes]:
    size = header[14]
    if size not in {4, 8}:
        return b"", b""
    order: Endian = "big" if header[15] & _FLAG_BIG_ENDIAN else "little"

    def string(at: int) -> bytes:
        entry = file_offset(elf.segments, int.from_bytes(header[at : at + size], order))
        raw = source.at(entry, 2 * size) if entry is not None else b""
        length = int.from_bytes(raw[size:], order)
        start = file_offset(elf.segments, int.from_bytes(raw[:size], order))
        if start is None or len(raw) < 2 * size or not 0 < length <= MAX_STRING:
            return b""
        data = read(source, start, length)
        return data if len(data) == length else b""

    return string(16), string(16 + size)


def _unframed(module: bytes) -> str:
    framed = len(module) > 2 * _FRAME and module[-_FRAME - 1 : -_FRAME] == b"\n"
    return _text(module[_FRAME:-_FRAME]) if framed else ""


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


def _parse(toolchain: str, text: str) -> GoBuild:
    """The lines `path`, `mod` and `build`, tab-separated; dependencies are passed over."""
    path = module = version = ""
    settings: dict[str, str] = {}
    for line in text.split("\n", _MAX_LINES)[:_MAX_LINES]:
        kind, _, rest = line.partition("\t")
        if kind == "path" and not path:
            path = rest
        elif kind == "mod" and not module:
            module, version = (*rest.split("\t"), "")[:2]
        elif kind == "build":
            name, equals, value = rest.partition("=")
            if equals:
                settings.setdefault(_unquoted(name), _unquoted(value))
    return GoBuild(toolchain, path, module, version, settings)


def _unquoted(text: str) -> str:
    """Go quotes a name or value with blanks, quotes or line ends; only the quotes matter here."""
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return text[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    return text[1:-1] if len(text) >= 2 and text[0] == text[-1] == "`" else text
