"""What is in a file, layer by layer, whatever its name says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from sealboot.model.arch import Arch, Endian
from sealboot.model.diagnostic import Diagnostic


class Kind(StrEnum):
    """What the first bytes make of a file."""

    ELF = "elf"
    SCRIPT = "script"
    EMPTY = "empty"
    DIRECTORY = "directory"
    SPECIAL = "special"  # FIFO, device, socket
    MISSING = "missing"
    GZIP = "gzip"
    ZSTD = "zstd"
    BZIP2 = "bzip2"
    XZ = "xz"
    ZIP = "zip"
    TAR = "tar"
    PE = "pe"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Segment:
    """One ELF program header, as far as a kernel cares (gABI chapter 5)."""

    type: int
    flags: int
    offset: int
    vaddr: int
    filesz: int
    memsz: int
    align: int


@dataclass(frozen=True, slots=True)
class Elf:
    """The ELF header and program headers of one file.

    `machine` is the raw `e_machine`; `arch` is `None` when the triple (class,
    data, machine) is not one that a supported kernel runs. `interpreter` is
    PT_INTERP; `static` means that there is none. `needed` and
    `symbol_versions` (`GLIBC_2.34`) come from PT_DYNAMIC, never from sections.
    `min_kernel` is the NT_GNU_ABI_TAG note. `arm_level` is what the file's
    own attributes or Go build information demand (5, 6, 7); `x86_level` is
    what its GNU property note demands (1 to 4, x86-64 psABI).

    `defect` says why every kernel refuses the file or the program dies at
    once, whatever the machine; empty when the parts a kernel reads are sound.
    `laid_out_as` is set when the identification bytes (class, data) contradict
    the rest of the header: some kernels look at them, some do not.
    """

    bits: int
    endian: Endian
    machine: int
    type: int  # 2 ET_EXEC, 3 ET_DYN
    osabi: int
    flags: int
    arch: Arch | None
    entry: int = 0
    interpreter: str | None = None
    segments: tuple[Segment, ...] = ()
    needed: tuple[str, ...] = ()
    symbol_versions: tuple[str, ...] = ()
    min_kernel: tuple[int, ...] | None = None
    hard_float: bool | None = None
    arm_level: int | None = None
    end: int = 0  # the first byte after everything the headers describe
    x86_level: int | None = None
    defect: str = ""
    laid_out_as: Arch | None = None

    @property
    def static(self) -> bool:
        """Whether the kernel alone starts it."""
        return self.interpreter is None

    @property
    def executable(self) -> bool:
        """Whether a kernel would try: ET_EXEC or ET_DYN."""
        return self.type in {2, 3}


@dataclass(frozen=True, slots=True)
class Other:
    """A layer that is not ELF: a name for it and facts as text (a script's interpreter, say)."""

    name: str
    facts: Mapping[str, str] = field(default_factory=dict)


Layer: TypeAlias = Elf | Other


@dataclass(frozen=True, slots=True)
class Artifact:
    """One candidate file, read once.

    `path` is as the operator would write it; `platforms` as containers name
    them (`linux/arm64`); `sha256` is empty only where nothing could be read.
    `diagnostics` tell what is wrong with the file itself (truncated, packed,
    a name that lies); whether it suits a host is for `fit` to say.
    """

    path: str
    kind: Kind
    size: int = 0
    sha256: str = ""
    platforms: tuple[str, ...] = ()
    layers: tuple[Layer, ...] = ()
    named_arch: Arch | None = None  # what the file's name claims, if it claims anything
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def elf(self) -> Elf | None:
        """The outermost layer, when it is ELF."""
        return self.layers[0] if self.layers and isinstance(self.layers[0], Elf) else None
