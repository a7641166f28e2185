"""The name of what is no program: pages, packages and programs of other systems that were saved as one.

Sources: the formats' own definitions. Mach-O: Apple's `mach-o/loader.h` and
`mach-o/fat.h`; Java classes share the mark of universal Mach-O files and have
a version of 45 and more where those count architectures. RPM: `lib/rpmlead.h`.
squashfs: Linux `fs/squashfs/squashfs_fs.h`. ISO 9660: ECMA-119, 8.1.
"""

from __future__ import annotations

import re

from sealboot.artifacts.reader import Source
from sealboot.model.artifact import Other
from sealboot.model.formats import Format

_HEAD = 4096
_BOM = b"\xef\xbb\xbf"
_AR_MEMBER = 8
_ISO_AT = 32769
_LONGEST_LINE = 100
_MOST_SLICES = 30

_PREFIXES: tuple[tuple[bytes, Format], ...] = (
    (b"\xed\xab\xee\xdb", Format.RPM),
    (b"\0asm", Format.WASM),
    (b"7z\xbc\xaf\x27\x1c", Format.SEVEN_ZIP),
    (b"hsqs", Format.SQUASHFS),
    (b"sqsh", Format.SQUASHFS),
    (b"QFI\xfb", Format.QCOW2),
    (b"xar!", Format.XAR),
    (b"%PDF-", Format.PDF),
    (b"version https://git-lfs.github.com/spec/", Format.LFS),
    (b"\xff\xfe", Format.UTF16),
    (b"\xfe\xff", Format.UTF16),
)
#: `cputype` of a Mach-O header -> architecture.
_MACHO_ARCHES = {
    7: "386",
    0x0100_0007: "amd64",
    12: "arm",
    0x0100_000C: "arm64",
    18: "ppc",
    0x0100_0012: "ppc64",
}
_MACHO = {
    b"\xcf\xfa\xed\xfe": "little",
    b"\xce\xfa\xed\xfe": "little",
    b"\xfe\xed\xfa\xcf": "big",
    b"\xfe\xed\xfa\xce": "big",
}
_FAT = {b"\xca\xfe\xba\xbe": 20, b"\xca\xfe\xba\xbf": 32}
_HTML = re.compile(rb"<(?:!doctype html|html|head|body)\b", re.IGNORECASE)
_CONTROL = re.compile(rb"[\0-\x08\x0e-\x1a\x1c-\x1f\x7f]")


def name_format(source: Source) -> Other | None:
    """What a file of no kind of ours is, by its first bytes; `None` where nothing is recognised.

    May raise `OSError` when the medium fails.
    """
    head = source.at(0, _HEAD)
    for prefix, found in _PREFIXES:
        if head.startswith(prefix):
            return Other(found)
    if head[:4] in _MACHO:
        return Other(Format.MACHO, _arch(_cpu(head[4:8], big=_MACHO[head[:4]] == "big")))
    if head[:4] in _FAT:
        return _fat(head)
    if head.startswith(b"!<arch>\n"):
        return Other(_ar(head))
    if source.at(_ISO_AT, 5) == b"CD001":
        return Other(Format.ISO)
    return _text(head) or (Other(Format.BOOT_SECTOR) if head[510:512] == b"\x55\xaa" else None)


def _cpu(raw: bytes, *, big: bool) -> str:
    return _MACHO_ARCHES.get(int.from_bytes(raw, "big" if big else "little"), "")


def _arch(name: str) -> dict[str, str]:
    return {"arch": name} if name else {}


def _fat(head: bytes) -> Other:
    count, size = int.from_bytes(head[4:8], "big"), _FAT[head[:4]]
    if not 0 < count <= _MOST_SLICES:
        return Other(Format.JAVA)
    arches = [_cpu(head[at : at + 4], big=True) for at in range(8, 8 + count * size, size)]
    return Other(Format.MACHO_UNIVERSAL, _arch(" ".join(a for a in arches if a)))


def _ar(head: bytes) -> Format:
    member = head[_AR_MEMBER : _AR_MEMBER + 16].rstrip()
    if member.startswith(b"debian-binary"):
        return Format.DEB
    return Format.GO_PACKAGE if member.startswith(b"__.PKGDEF") else Format.AR


def _text(head: bytes) -> Other | None:
    """A text by its beginning: no control characters, and UTF-8 as far as it was read."""
    body = head.removeprefix(_BOM)
    if _CONTROL.search(body) or not _utf8(body):
        return None
    if head.startswith(_BOM) and body.startswith(b"#!"):
        return Other(Format.BOM_SCRIPT)
    start = body.lstrip()
    line = start.split(b"\n", 1)[0].decode("utf-8", "replace").strip()
    facts = {"text": line[:_LONGEST_LINE]} if line else {}
    if _HTML.match(start) or (start.startswith(b"<") and _HTML.search(start[:1024])):
        return Other(Format.HTML, facts)
    if start.startswith(b"<?xml") or re.match(rb"<[A-Za-z][\w:.-]*[ >]", start):
        return Other(Format.XML, facts)
    if re.match(rb'[\[{]\s*(?:["\]}\[{]|-?\d)', start):
        return Other(Format.JSON, facts)
    return Other(Format.TEXT, facts)


def _utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        # The last character may be cut where reading stopped.
        return error.start >= len(data) - 3 and len(data) >= _HEAD - len(_BOM)
    return True
