"""What the program part of a k0s binary tells about its payload, without running it.

k0s is built from a single file (`path command-line-arguments`) with trimmed
paths, so its build information has neither name nor version: both are texts
in the program. Up to 1.35 the payload's length is a 64-bit number in it, and
each component's name a text `bin/NAME.gz`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sealboot.artifacts.gobuild import GoBuild
from sealboot.artifacts.reader import Source
from sealboot.artifacts.scan import find_all
from sealboot.model.artifact import Elf

_IDENTITY = b"github.com/k0sproject/k0s/"
_VERSION_MARK = b"+k0s."
#: Texts that the linker sets end with a NUL; those in code do not.
_VERSION = re.compile(rb"v\d+\.\d+\.\d+(?:-[0-9A-Za-z.]+)?\+k0s\.\d+(?=\0)")
_NAME_MARK = b".gz"
_NAME = re.compile(rb"bin/([a-z0-9][a-z0-9.-]{1,40}?)\.gz$")
_BEFORE, _AFTER = 48, 16
#: Texts looked at for names and versions; a real binary has a few hundred `.gz`.
_MAX_HITS = 4096


@dataclass(frozen=True, slots=True)
class Marks:
    """`k0s` says that it is k0s; `names` are the components that a chain must hold."""

    k0s: bool = False
    version: str = ""
    names: tuple[str, ...] = ()


def may_be_k0s(build: GoBuild | None) -> bool:
    """Whether a search is worth its time: k0s is built by file name, others may call themselves so."""
    return build is not None and (build.path == "command-line-arguments" or "k0s" in build.path)


def read_marks(source: Source, elf: Elf) -> Marks:
    """Search the program part; some ten milliseconds for as many megabytes."""
    if next(find_all(source, _IDENTITY, 0, elf.end), None) is None:
        return Marks()
    versions: set[str] = set()
    names: set[str] = set()
    for count, at in enumerate(find_all(source, _VERSION_MARK, 0, elf.end)):
        start = max(0, at - _BEFORE)
        versions.update(
            m.group().decode("ascii") for m in _VERSION.finditer(source.at(start, at - start + _AFTER))
        )
        if count == _MAX_HITS:
            break
    for count, at in enumerate(find_all(source, _NAME_MARK, 0, elf.end)):
        start = max(0, at - _BEFORE)
        match = _NAME.search(source.at(start, at - start + len(_NAME_MARK)))
        if match:
            names.add(match[1].decode("ascii"))
        if count == _MAX_HITS:
            break
    version = versions.pop() if len(versions) == 1 else ""
    return Marks(k0s=True, version=version, names=tuple(sorted(names)))


def told_length(source: Source, elf: Elf, length: int) -> bool:
    """Whether the program holds `length` as a 64-bit number: its payload is as long as it was when built."""
    number = length.to_bytes(8, elf.endian)
    # Long runs of zeros slow a search down, so the digits are looked for and the zeros compared.
    digits = number.rstrip(b"\0") if elf.endian == "little" else number.lstrip(b"\0")
    if not digits:
        return False
    lead = 0 if elf.endian == "little" else len(number) - len(digits)
    hits = find_all(source, digits, lead, elf.end)
    return any(source.at(at - lead, 8) == number for at, _ in zip(hits, range(1 << 16), strict=False))
