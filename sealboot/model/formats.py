"""Formats that are told by name, because operators save them in the place of a program.

Each is the `Other` layer of a file; its fact `arch` has the architectures it
is for, where the format says so, and `text` the first line of a text.
"""

from __future__ import annotations

from enum import StrEnum


class Format(StrEnum):
    """What a file is that is neither program nor archive nor something to boot."""

    HTML = "an HTML page"
    XML = "an XML document"
    JSON = "a JSON document"
    LFS = "a Git LFS pointer"
    TEXT = "a text file"
    UTF16 = "a text file in UTF-16"
    BOM_SCRIPT = "a script behind a byte order mark"
    MACHO = "a macOS program"
    MACHO_UNIVERSAL = "a universal macOS program"
    JAVA = "a Java class"
    AR = "an ar archive"
    GO_PACKAGE = "a compiled Go package"
    DEB = "a Debian package"
    RPM = "an RPM package"
    WASM = "a WebAssembly module"
    SEVEN_ZIP = "a 7z archive"
    SQUASHFS = "a squashfs image"
    ISO = "an ISO 9660 image"
    QCOW2 = "a qcow2 disk image"
    XAR = "a macOS installer package"
    PDF = "a PDF document"
    BOOT_SECTOR = "a disk image or boot sector"
