"""The operating system whose programs these are, where the file says that it is not Linux.

Sources: gABI `EI_OSABI`; the notes of NetBSD, OpenBSD and FreeBSD (their
`sys/elf_common.h`), of the GNU ABI tag (LSB core); the loaders that each of
those systems names in PT_INTERP; Go's `cmd/link/internal/ld` for both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_OSABI = {
    1: "HP-UX",
    2: "NetBSD",
    6: "Solaris or illumos",
    7: "AIX",
    8: "IRIX",
    9: "FreeBSD",
    10: "Tru64",
    12: "OpenBSD",
    17: "CloudABI",
    18: "OpenVOS",
}
#: Owners of notes. A static program with Android's note runs on any Linux, so that one says nothing.
_OWNERS = {b"NetBSD": "NetBSD", b"OpenBSD": "OpenBSD", b"FreeBSD": "FreeBSD", b"DragonFly": "DragonFly BSD"}
#: The first word of the GNU ABI tag; 0 is Linux.
_ABI_TAG = {1: "GNU/Hurd", 2: "Solaris or illumos", 3: "FreeBSD", 4: "NetBSD"}
_LOADERS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"(?:/usr)?/libexec/ld\.elf_so", "NetBSD"),
        (r"/usr/libexec/ld\.so", "OpenBSD"),
        (r"(?:/usr)?/libexec/ld-elf(?:32)?\.so\.\d", "FreeBSD"),
        (r"/usr/libexec/ld-elf\.so\.2", "DragonFly BSD"),
        (r"(?:/usr)?/lib/(?:amd64|64|sparcv9)/ld\.so\.1|/usr/lib/ld\.so\.1", "Solaris or illumos"),
        (r"(?:/system/bin|/apex/[^/]+/bin)/linker(?:64)?", "Android"),
        (r"/lib/ld-x86-64\.so\.1", "GNU/Hurd"),
        (r"/system/runtime_loader", "Haiku"),
    )
)
#: GOOS of Go's build information.
_GOOS = {
    "aix": "AIX",
    "android": "Android",
    "dragonfly": "DragonFly BSD",
    "freebsd": "FreeBSD",
    "illumos": "illumos",
    "netbsd": "NetBSD",
    "openbsd": "OpenBSD",
    "solaris": "Solaris",
}


def system_of(osabi: int, owners: Iterable[bytes], abi_tag: int | None, interpreter: str | None) -> str:
    """The system's name, or nothing for Linux and for files that do not say.

    The loader decides first: it is what a kernel would look for.
    """
    for pattern, name in _LOADERS:
        if interpreter and pattern.fullmatch(interpreter):
            return name
    noted = next((_OWNERS[owner] for owner in owners if owner in _OWNERS), "")
    return noted or _ABI_TAG.get(abi_tag or 0, "") or _OSABI.get(osabi, "")


def system_of_go(goos: str) -> str:
    """The system that GOOS names, or nothing for Linux."""
    return _GOOS.get(goos, "")
