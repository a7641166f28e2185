"""What the first bytes make of a file. Its name is never asked."""

from __future__ import annotations

import re

from sealboot.model.artifact import Kind

#: How many bytes `sniff` wants to see: the `ustar` of a tar header ends at 263.
HEAD = 512

#: The longest `#!` line a kernel reads (BINPRM_BUF_SIZE, Linux include/uapi/linux/binfmts.h).
_SHEBANG = 256

_ZIP_MARKS = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")

#: Prefix -> kind, in the order in which they are tried. `MZ` also begins EFI images (PE).
_PREFIXES: tuple[tuple[bytes, Kind], ...] = (
    (b"\x7fELF", Kind.ELF),
    (b"#!", Kind.SCRIPT),
    (b"\x1f\x8b", Kind.GZIP),
    (b"\x28\xb5\x2f\xfd", Kind.ZSTD),
    (b"BZh", Kind.BZIP2),
    (b"\xfd7zXZ\x00", Kind.XZ),
    *((mark, Kind.ZIP) for mark in _ZIP_MARKS),
    (b"\x04\x22\x4d\x18", Kind.LZ4),
    (b"\x02\x21\x4c\x18", Kind.LZ4),  # the legacy frame
    (b"MZ", Kind.PE),
)
_BLANKS = re.compile(rb"[ \t\0]")
_TAR_AT = 257
_TAR_MAGIC = b"ustar"


def sniff(head: bytes) -> Kind:
    """The kind of a regular file by its first `HEAD` bytes; no bytes at all is `EMPTY`."""
    if not head:
        return Kind.EMPTY
    for prefix, kind in _PREFIXES:
        if head.startswith(prefix):
            return kind
    if head[_TAR_AT : _TAR_AT + len(_TAR_MAGIC)] == _TAR_MAGIC:
        return Kind.TAR
    return Kind.UNKNOWN


def script_interpreter(head: bytes) -> str:
    """The interpreter that a `#!` line names, without its argument; empty when it names none."""
    # A kernel takes blanks and tabs alone for the end: in a file with CRLF the name ends in a CR.
    line = head[2:_SHEBANG].split(b"\n", 1)[0].strip(b" \t")
    return _BLANKS.split(line, maxsplit=1)[0].decode("utf-8", "backslashreplace")
