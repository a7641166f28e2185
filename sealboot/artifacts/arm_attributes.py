"""Which ARM architecture a program was compiled for, by its build attributes.

Source: "Addenda to, and Errata in, the ABI for the Arm Architecture", build
attributes. Linkers merge those of all objects into the highest, so they tell
too much where one object brings code that it takes on newer processors alone:
OpenSSL's assembly does. Such objects are written in ARM code, while compilers
for ARMv7 make Thumb-2 code of everything (Debian's and Ubuntu's armhf), so
ARMv7 is believed together with Thumb-2 only.
"""

from __future__ import annotations

from collections.abc import Iterator

from sealboot.artifacts.reader import Source
from sealboot.artifacts.sections import find_section
from sealboot.model.arch import Arch
from sealboot.model.artifact import Elf

#: Bytes read; real ones are 40 to 60.
MAX_ATTRIBUTES = 4096

_SECTION = ".ARM.attributes"
_VERSION = b"A"
_VENDOR = b"aeabi\0"
_FILE = 1
_CPU_ARCH, _THUMB_ISA, _COMPATIBILITY = 6, 9, 32
_TEXTS = frozenset({4, 5})
_THUMB_2 = 2
#: Tag_CPU_arch -> the level of a processor for Linux; those below v5T ask nothing of any.
_LEVELS = {3: 5, 4: 5, 5: 5, 6: 6, 7: 6, 8: 6, 9: 6}
#: v7, and the later ones of the application profile, whose 32-bit code may still be of v7.
_SEVEN = frozenset({10, 14, 17, 21, 22})


def arm_level(source: Source, elf: Elf) -> int | None:
    """5, 6 or 7: the lowest ARM architecture whose processors run the program; `None` where nothing tells."""
    if elf.arch is not Arch.ARM or elf.defect:
        return None
    place = find_section(source, elf, _SECTION).offset
    values = attributes(source.at(place, MAX_ATTRIBUTES)) if place is not None else {}
    arch = values.get(_CPU_ARCH, 0)
    if arch in _SEVEN:
        return 7 if values.get(_THUMB_ISA) == _THUMB_2 else None
    return _LEVELS.get(arch)


def attributes(data: bytes) -> dict[int, int]:
    """The numbers among the attributes that hold for the whole file; whatever is broken ends them."""
    if data[:1] != _VERSION:
        return {}
    length = int.from_bytes(data[1:5], "little")
    vendor = data[5 : 1 + length]
    if not vendor.startswith(_VENDOR):
        return {}
    body = vendor[len(_VENDOR) :]
    if body[:1] != bytes((_FILE,)):
        return {}
    return dict(_numbers(body[5 : int.from_bytes(body[1:5], "little")]))


def _numbers(data: bytes) -> Iterator[tuple[int, int]]:
    """Tags and values: texts are passed over. Above 32 odd tags have texts and even ones numbers."""
    at = 0
    while at < len(data):
        tag, at = _uleb128(data, at)
        if tag in _TEXTS or (tag > _COMPATIBILITY and tag % 2):
            at = _behind_text(data, at)
            continue
        value, at = _uleb128(data, at)
        if tag == _COMPATIBILITY:
            at = _behind_text(data, at)
        yield tag, value


def _behind_text(data: bytes, at: int) -> int:
    end = data.find(b"\0", at)
    return end + 1 if end >= 0 else len(data)


def _uleb128(data: bytes, at: int) -> tuple[int, int]:
    """One number of at most 32 bits (the rest of a longer one is dropped), and where the next begins."""
    value = shift = 0
    while at < len(data):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift if shift < 32 else 0
        shift += 7
        if byte < 0x80:
            break
    return value, at
