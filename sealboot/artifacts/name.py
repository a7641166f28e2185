"""What architecture a file's *name* claims. Names lie; this is only for catching them at it (SB111)."""

from __future__ import annotations

import re

from sealboot.model.arch import Arch

#: Spellings seen in release file names, as whole tokens. Spellings that also are ordinary words or
#: parts of version numbers (`x64` is kept, `64` and `32` are not) are left out.
_TOKENS: dict[str, Arch] = {
    "amd64": Arch.AMD64,
    "x86_64": Arch.AMD64,
    "x64": Arch.AMD64,
    "386": Arch.I386,
    "i386": Arch.I386,
    "i486": Arch.I386,
    "i586": Arch.I386,
    "i686": Arch.I386,
    "x86": Arch.I386,
    "arm64": Arch.ARM64,
    "arm64v8": Arch.ARM64,
    "aarch64": Arch.ARM64,
    "armv8": Arch.ARM64,
    "arm": Arch.ARM,
    "arm32": Arch.ARM,
    "arm32v6": Arch.ARM,
    "arm32v7": Arch.ARM,
    "armhf": Arch.ARM,
    "armel": Arch.ARM,
    "armv5": Arch.ARM,
    "armv6": Arch.ARM,
    "armv6l": Arch.ARM,
    "armv6hf": Arch.ARM,
    "armv7": Arch.ARM,
    "armv7l": Arch.ARM,
    "armv7hf": Arch.ARM,
    "armv7hl": Arch.ARM,
    "riscv64": Arch.RISCV64,
    "ppc64le": Arch.PPC64LE,
    "ppc64el": Arch.PPC64LE,
    "powerpc64le": Arch.PPC64LE,
    "ppc64": Arch.PPC64,
    "s390x": Arch.S390X,
    "loong64": Arch.LOONG64,
    "loongarch64": Arch.LOONG64,
    "mips64le": Arch.MIPS64LE,
    "mips64el": Arch.MIPS64LE,
    "mips64": Arch.MIPS64,
    "mipsle": Arch.MIPSLE,
    "mipsel": Arch.MIPSLE,
    "mips": Arch.MIPS,
}

#: `x86_64` and `x86-64` are one token although their middle also separates tokens.
_X86_64 = re.compile(r"(?<![a-z0-9])x86[-_]64(?![a-z0-9])")
#: `1.2.386` is a version, not an i386.
_VERSION = re.compile(r"\d+(?:\.\d+)+")
_SEPARATORS = re.compile(r"[^a-z0-9]+")
#: `linuxarm64` and `linux64`-like joins: an operating system glued to the architecture.
_GLUED = re.compile(r"(?:linux|lin|musl|gnu)([a-z0-9]+)")


def arch_in_name(name: str) -> Arch | None:
    """The one architecture that the last component of `name` claims.

    `None` when it claims none, or several (`images-amd64-arm64.tar`). Only
    whole tokens count: `charm`, `harmless` and `farm64bit` claim nothing.
    """
    base = name.replace("\\", "/").rstrip("/").rpartition("/")[2].lower()
    claims = {Arch.AMD64} if _X86_64.search(base) else set()
    for token in _SEPARATORS.split(_VERSION.sub(" ", _X86_64.sub(" ", base))):
        glued = _GLUED.fullmatch(token)
        arch = _TOKENS.get(token) or (_TOKENS.get(glued[1]) if glued else None)
        if arch is not None:
            claims.add(arch)
    return claims.pop() if len(claims) == 1 else None
