"""What is in a file, layer by layer, whatever its name says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from sealboot.model.arch import Arch, Endian
from sealboot.model.archive import ImageArchive, Rootfs
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
    LZ4 = "lz4"
    ZIP = "zip"
    TAR = "tar"
    PE = "pe"
    UKI = "uki"  # a unified kernel image: one EFI program with kernel, initrd and command line inside
    KERNEL = "kernel"  # what a boot loader or kexec starts
    INITRD = "initrd"
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

    `cpu_features` are what a file demands beyond the oldest processor of its architecture, as `Cpu.flags` names them.

    `system` names the operating system whose programs these are, where the file says that it is not Linux.

    `arm_claim` is what the build attributes say where the code does not bear them out: a linker merges those of
    all objects into the highest. `checks_kernel` says that the program itself compares the kernel's version with
    `min_kernel`. `allocator` names one that is built for a fixed page size.

    `code_end` is the address behind the last section with code, read only where segments may share a page.

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
    cpu_features: tuple[str, ...] = ()
    code_end: int | None = None
    system: str = ""
    arm_claim: int | None = None
    checks_kernel: bool = False
    allocator: str = ""

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


@dataclass(frozen=True, slots=True)
class Section:
    """One section of a PE image. `offset` and `raw_size` are places in the file, the others in memory."""

    name: str
    address: int
    virtual_size: int
    offset: int
    raw_size: int
    flags: int

    @property
    def length(self) -> int:
        """How many bytes of the file are content: raw data is padded, and ends at the virtual size."""
        return min(self.raw_size, self.virtual_size) if self.virtual_size else self.raw_size


@dataclass(frozen=True, slots=True)
class Pe:
    """The headers of a PE/COFF image (Microsoft's "PE Format").

    `arch` is `None` for a `machine` that no supported kernel has. `signed`
    says that a certificate table is there. Whether any firmware trusts it is
    nothing that a file can tell.
    """

    machine: int
    arch: Arch | None
    bits: int  # 32 for PE32, 64 for PE32+
    subsystem: int  # 10 is an EFI application
    sections: tuple[Section, ...] = ()
    signed: bool = False


@dataclass(frozen=True, slots=True)
class Profile:
    """One boot menu entry of a UKI: what stands behind its `.profile` section overrides the base."""

    id: str
    title: str
    sections: tuple[str, ...]
    cmdline: str | None = None


@dataclass(frozen=True, slots=True)
class Uki:
    """What a unified kernel image says about itself (UAPI group, "Unified Kernel Image").

    Texts are the base profile's, cut where they are too long; empty when there
    is no such section. `stub` is the boot stub's own name and version.
    `measured` says that signed measurements (`.pcrsig`) are there. An `addon`
    has no kernel: it adds to the command line or device tree of another one.
    """

    stub: str = ""
    os_release: Mapping[str, str] = field(default_factory=dict)
    uname: str = ""
    cmdline: str = ""
    profiles: tuple[Profile, ...] = ()
    measured: bool = False
    addon: bool = False


@dataclass(frozen=True, slots=True)
class Kernel:
    """A Linux kernel as a boot loader sees it.

    `format` is `bzImage`, `Image` (arm64, riscv), `zImage` (arm), `vmlinux`
    (ELF), `S390`, or `zboot` for an EFI program that holds a compressed one,
    which then is the next layer. `compression` is that of the payload.
    `page_size` in bytes, `None` where the header does not say.
    """

    format: str
    arch: Arch | None
    version: str = ""
    endian: Endian = "little"
    page_size: int | None = None
    relocatable: bool | None = None
    compression: str = ""
    protocol: str = ""  # x86 boot protocol
    memory: int | None = None  # bytes that the running image takes, before it allocates any


@dataclass(frozen=True, slots=True)
class Initrd:
    """An initial RAM file system: its parts in order, by compression (`cpio` for none).

    `microcode` says that an early, uncompressed part holds processor microcode.
    """

    parts: tuple[str, ...]
    microcode: bool = False


Layer: TypeAlias = Elf | Pe | Uki | Kernel | Initrd | ImageArchive | Rootfs | Other


@dataclass(frozen=True, slots=True)
class Artifact:
    """One candidate file, read once.

    `path` is as the operator would write it; `platforms` as containers name
    them (`linux/arm64`); `sha256` is empty only where nothing could be read.
    `diagnostics` tell what is wrong with the file itself (truncated, packed,
    a name that lies); whether it suits a host is for `fit` to say. `verified`
    says in words what vouches for these bytes under this name; empty when
    nothing does, or nobody asked.
    """

    path: str
    kind: Kind
    size: int = 0
    sha256: str = ""
    platforms: tuple[str, ...] = ()
    layers: tuple[Layer, ...] = ()
    named_arch: Arch | None = None  # what the file's name claims, if it claims anything
    diagnostics: tuple[Diagnostic, ...] = ()
    verified: str = ""

    @property
    def elf(self) -> Elf | None:
        """The outermost layer, when it is ELF."""
        return self.layers[0] if self.layers and isinstance(self.layers[0], Elf) else None

    @property
    def packed(self) -> bool:
        """Whether a packer such as UPX hides what the program demands: the whole file, or its program."""
        return any(finding.code == "SB402" for finding in self.diagnostics)

    @property
    def kernel(self) -> Kernel | None:
        """The kernel in it: the innermost, which is the one that runs."""
        found = [layer for layer in self.layers if isinstance(layer, Kernel)]
        return found[-1] if found else None
