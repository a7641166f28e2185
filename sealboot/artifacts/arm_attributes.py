"""Which ARM architecture a program was compiled for, by its build attributes.

Source: "Addenda to, and Errata in, the ABI for the Arm Architecture", build
attributes. Linkers merge those of all objects into the highest, so they tell
too much where one object brings code that it takes on newer processors alone
(OpenSSL's and BoringSSL's assembly). So ARMv7 is believed where the code shows
it: compilers for ARMv7 load constants with MOVW and MOVT, which older
processors do not have (Arm Architecture Reference Manual, A8.8.102, A8.8.106).
Share of such words among those of the code, measured: 0.73 to 3.1 % in eight
programs for ARMv7 (uv, ruff, cmake, busybox), at most 0.09 % in three for
ARMv6 that carry the attributes of ARMv7 (uv, uvx, ruff for linux_armv6l).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sealboot.artifacts.reader import Source
from sealboot.artifacts.sections import find_section
from sealboot.model.arch import Arch
from sealboot.model.artifact import Elf

#: Bytes read; real ones are 40 to 60.
MAX_ATTRIBUTES = 4096
#: Bytes of code looked at in each segment.
MAX_CODE = 1 << 20
#: A third of the lowest share in a program for ARMv7, three times the highest in others.
_SHARE_OF_SEVEN = 0.003
_PT_LOAD, _PF_X = 1, 1

_SECTION = ".ARM.attributes"
_VERSION = b"A"
_VENDOR = b"aeabi\0"
_FILE = 1
_CPU_ARCH, _COMPATIBILITY = 6, 32
_TEXTS = frozenset({4, 5})
#: Tag_CPU_arch -> the level of a processor for Linux; those below v5T ask nothing of any.
_LEVELS = {3: 5, 4: 5, 5: 5, 6: 6, 7: 6, 8: 6, 9: 6}
#: v7, and the later ones of the application profile, whose 32-bit code may still be of v7.
_SEVEN = frozenset({10, 14, 17, 21, 22})


@dataclass(frozen=True, slots=True)
class Level:
    """The lowest ARM architecture whose processors run a program: 5, 6 or 7.

    `proven` is `None` where nothing tells; `claimed` is set where the
    attributes say more than the code shows.
    """

    proven: int | None = None
    claimed: int | None = None


def arm_level(source: Source, elf: Elf) -> Level:
    """What attributes and code say of the processor that a 32-bit ARM program takes."""
    if elf.arch is not Arch.ARM or elf.defect:
        return Level()
    place = find_section(source, elf, _SECTION).offset
    values = attributes(source.at(place, MAX_ATTRIBUTES)) if place is not None else {}
    arch = values.get(_CPU_ARCH, 0)
    if arch in _SEVEN:
        return Level(proven=7) if _constants(source, elf) >= _SHARE_OF_SEVEN else Level(claimed=7)
    return Level(proven=_LEVELS.get(arch))


def _constants(source: Source, elf: Elf) -> float:
    """The share of MOVW and MOVT (A32) among the words of the code, by the first MiB of each segment.

    Thumb code read as words comes out as high: 3.1 % in Debian's busybox for armhf.
    """
    found = words = 0
    for segment in elf.segments:
        if segment.type != _PT_LOAD or not segment.flags & _PF_X:
            continue
        code = source.at(segment.offset, min(segment.filesz, MAX_CODE))
        words += len(code) // 4
        found += sum(
            top & 0x0F == 0x03 and next_ & 0xB0 == 0 and top < 0xF0
            for next_, top in zip(code[2::4], code[3::4], strict=False)
        )
    return found / words if words else 0.0


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
