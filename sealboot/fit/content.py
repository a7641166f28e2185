"""What to do about a file that is no program: one hint for each kind of content."""

from __future__ import annotations

from sealboot.fit.case import WINDOWS, named_format
from sealboot.model.archive import ImageArchive
from sealboot.model.artifact import Artifact, Kind, Pe
from sealboot.model.facts import Facts
from sealboot.model.formats import Format

_KINDS: dict[Kind, str] = {
    Kind.EMPTY: "the file has no bytes: bash would even report success for it; fetch it again",
    Kind.DIRECTORY: "name the file inside it",
    Kind.GZIP: "unpack it first: `gunzip` or `tar -xzf`",
    Kind.ZSTD: "unpack it first: `unzstd` or `tar --zstd -xf`",
    Kind.BZIP2: "unpack it first: `bunzip2` or `tar -xjf`",
    Kind.XZ: "unpack it first: `unxz` or `tar -xJf`",
    Kind.LZ4: "unpack it first: `unlz4` or `lz4 -dc FILE | tar -xf -`",
    Kind.ZIP: "unpack it first: `unzip`",
    Kind.TAR: "unpack it first, or name the program inside it",
    Kind.PE: "this is an EFI image: it boots, it is not started from Linux",
    Kind.UKI: "this is what a machine boots, not what it runs: no place for a program takes it",
    Kind.KERNEL: "this is what a machine boots, not what it runs: no place for a program takes it",
    Kind.INITRD: "this is what a kernel unpacks when it boots: no place for a program takes it",
}
_IMAGES = "container images are imported, not started: no place for a program takes them"
_PAGE = (
    "the download saved what the server answered instead of the file (an error or a login page):"
    " check the address, and fetch it with `curl -fL`"
)

_FORMATS: dict[Format, str] = {
    Format.HTML: _PAGE,
    Format.XML: _PAGE,
    Format.JSON: _PAGE,
    Format.TEXT: "if it came from a download, the server answered with this text: check the address",
    Format.UTF16: "save it as UTF-8 without a byte order mark; a script then begins with `#!`",
    Format.BOM_SCRIPT: "take away its first three bytes: `sed -i '1s/^\\xef\\xbb\\xbf//' FILE`",
    Format.LFS: "the repository holds the file elsewhere: run `git lfs pull` there, and take what comes",
    Format.MACHO: "take the Linux build of it",
    Format.MACHO_UNIVERSAL: "take the Linux build of it",
    Format.JAVA: "it runs in a Java virtual machine alone",
    Format.AR: "it is a library of object files: name the linked program",
    Format.GO_PACKAGE: "`go build -o FILE` was given a package that is no main package: build the one with `func main`",
    Format.DEB: "unpack it: `dpkg-deb -x FILE FOLDER`, and name the program in it",
    Format.RPM: "unpack it: `rpm2cpio FILE | cpio -id`, and name the program in it",
    Format.WASM: "it runs in a WebAssembly runtime alone: take the Linux build",
    Format.SEVEN_ZIP: "unpack it first: `7z x FILE`",
    Format.SQUASHFS: "unpack it first: `unsquashfs FILE`, and name the program in it",
    Format.ISO: "this is a disc to boot or to mount: no place for a program takes it",
    Format.QCOW2: "this is a disk to boot: no place for a program takes it",
    Format.BOOT_SECTOR: "this is a disk to boot: no place for a program takes it",
    Format.XAR: "take the Linux build of it",
    Format.PDF: "the download saved a document: check the address",
}


def advice(artifact: Artifact, facts: Facts) -> tuple[str, ...]:
    """What to do about a file that is no ELF file; empty where its kind leaves nothing to say."""
    if any(isinstance(layer, ImageArchive) for layer in artifact.layers):
        return (_IMAGES,)
    first = artifact.layers[0] if artifact.layers else None
    build = f"the Linux build for {facts.kernel_arch.both_names}" if facts.kernel_arch else "the Linux build"
    if isinstance(first, Pe) and first.subsystem in WINDOWS:
        return (f"take {build}",)
    named = named_format(artifact)
    hint = _FORMATS[named[0]] if named else _KINDS.get(artifact.kind)
    return (hint.replace("the Linux build", build),) if hint else ()
