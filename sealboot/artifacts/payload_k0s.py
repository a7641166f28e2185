"""The payload behind a program: is it where the program will look, is it whole, is it for this machine?

k0s up to 1.35 counts from the end of the file, so anything behind the payload
breaks it; from 1.36 it is a ZIP archive, which is found from its end record.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sealboot.artifacts import gzchain, zipend
from sealboot.artifacts.gzchain import Chain
from sealboot.artifacts.k0s_marks import Marks, told_length
from sealboot.artifacts.reader import Source
from sealboot.artifacts.upx import ends_packed
from sealboot.artifacts.zipend import Archive
from sealboot.model.artifact import Elf
from sealboot.model.payload import Component, Payload, payload

_NO_START = "the program will stop with `gzip: invalid header` when it unpacks its components"
_FALLS_BACK = "k0s from 1.36 does not stop: it silently uses whatever it finds on the PATH instead"
_NOT_FOUND = "the program will not find its own files"
_AGAIN = "download the file again and compare its SHA-256 with the publisher's"
#: Without these k0s runs nothing.
_REQUIRED = ("containerd", "kubelet", "runc")


@dataclass(frozen=True, slots=True)
class Damage:
    """What is wrong with a payload (SB403): summary, consequence, what to do; a doubt if not `fatal`."""

    what: str
    note: str
    hints: tuple[str, ...]
    fatal: bool = True


@dataclass(frozen=True, slots=True)
class Appended:
    """What follows a program: at most one payload, at most one damage.

    `harmless` says that the file is packed and its payload is none the worse for it.
    """

    payload: Payload | None = None
    damage: Damage | None = None
    harmless: bool = False


#: Bytes in which the payload of a program that does not say it is k0s must begin.
NEAR = 1 << 20


def read_appended(source: Source, elf: Elf, marks: Marks, *, packed: bool, deep: bool) -> Appended:
    """Look behind the end of everything that the ELF headers describe."""
    start = _skip_zeros(source, elf.end)
    archive = zipend.find_archive(source, start)
    if archive is not None and archive.end > start:
        return _zip(source, archive, marks, packed=packed, deep=deep)
    chain = gzchain.find_chain(source, start, None if marks.k0s else NEAR)
    if chain is not None:
        return _chain(source, elf, chain, marks, packed=packed, deep=deep)
    if source.at(start, 4) == zipend.MARK:
        what = "the ZIP archive behind the program has no end: the file is truncated"
        return Appended(
            damage=Damage(what, _FALLS_BACK if marks.k0s else _NOT_FOUND, (_AGAIN,), fatal=marks.k0s)
        )
    return Appended(damage=_nothing(source.size - start, marks) if marks.k0s else None)


def _nothing(left: int, marks: Marks) -> Damage:
    if marks.names and left > 0:
        what = f"the {left} bytes behind the program are no payload: damaged or truncated"
        return Damage(what, _NO_START, (_AGAIN,))
    if marks.names:
        return Damage(
            f"its payload is gone: {len(marks.names)} components are named, nothing follows the program",
            "`strip` and `objcopy` drop what follows the program; k0s will stop with `seek: invalid argument`",
            ("use the released file as it is: it is stripped already", _AGAIN),
        )
    return Damage(
        "it carries no components: stripped, or a bare build",
        _FALLS_BACK,
        ("use the released file, or make sure that each node has the components already",),
        fatal=False,
    )


def _zip(source: Source, archive: Archive, marks: Marks, *, packed: bool, deep: bool) -> Appended:
    components, broken = zipend.check(source, archive, deep=deep)
    behind = source.size - archive.end
    found = payload(
        "zip",
        archive.start,
        archive.end - archive.start,
        components,
        deep=deep,
        behind=f"{behind} bytes, which do no harm" if behind else "",
    )
    missing = sorted(set(_REQUIRED) - {c.name.rpartition("/")[2] for c in components})
    k0s = marks.k0s or not missing  # a packed one does not say that it is k0s
    if broken:
        what = f"its payload is damaged: {broken}"
        return Appended(found, Damage(what, _FALLS_BACK if k0s else _NOT_FOUND, (_AGAIN,), fatal=k0s))
    if marks.k0s and missing:
        what = f"its payload lacks {', '.join(missing)}"
        return Appended(found, Damage(what, _FALLS_BACK, ("use the released file",), fatal=False))
    return Appended(found, harmless=packed)


def _chain(source: Source, elf: Elf, chain: Chain, marks: Marks, *, packed: bool, deep: bool) -> Appended:
    components = gzchain.glance(source, chain)
    told = not packed and told_length(source, elf, chain.length)
    damage: Damage | None = None
    whole = False
    if deep:
        walked = gzchain.check_all(source, chain)
        components = walked.components
        whole = not walked.broken
        damage = _at_end(chain, walked, marks, packed=packed and ends_packed(source), told=told)
        if damage is not None and not (packed or marks.k0s):
            damage = replace(damage, fatal=False)  # other programs may count in other ways
    elif not told and (packed or marks.k0s):
        last = gzchain.check_last(source, chain)
        whole = not last.broken
        damage = _at_end(chain, last, marks, packed=packed and ends_packed(source), told=told)
    if damage is None and marks.names and len(components) != len(marks.names):
        damage = _count(components, marks)
    found = payload("gzip chain", chain.start, chain.length, components, deep=deep)
    return Appended(found, damage, harmless=packed and whole and damage is None)


def _at_end(chain: Chain, walked: gzchain.Walked, marks: Marks, *, packed: bool, told: bool) -> Damage | None:
    """Compare where the last member ends with where the file does."""
    behind = chain.size - walked.end
    if packed:
        shift = f"{behind} bytes early" if not walked.broken else "early"
        return Damage(
            f"packed with UPX after its payload was appended: the payload now ends {shift}",
            f"it is found by counting from the end of the file: {_NO_START}",
            ("run `upx -d FILE`: it restores the file byte for byte", "or use the released file"),
        )
    if walked.broken:
        what = f"its payload is truncated or damaged: it {walked.broken}"
        return Damage(what, _NO_START, (_AGAIN,))
    if behind:
        plural = "byte follows" if behind == 1 else "bytes follow"
        return Damage(
            f"{behind} stray {plural} its payload",
            f"the payload is found by counting from the end of the file: {_NO_START}",
            (_AGAIN, f"or cut them off: `truncate -s {walked.end} FILE`"),
        )
    if marks.k0s and not told:
        missing = len(marks.names) - len(chain.starts)
        if missing > 0:
            what = f"its payload is truncated: {missing} of {len(marks.names)} components are missing"
            return Damage(what, _NO_START, (_AGAIN,))
        what = f"its payload has {chain.length} bytes, and the program was not built for that length"
        return Damage(what, _NO_START, (_AGAIN,))
    return None


def _count(components: tuple[Component, ...], marks: Marks) -> Damage:
    what = f"its payload has {len(components)} components, the program names {len(marks.names)}"
    return Damage(what, "a component may be damaged", ("look at every byte: `--deep`", _AGAIN), fatal=False)


def _skip_zeros(source: Source, at: int) -> int:
    """Go's own linker fills up to a page with zeros; look no further than that might be."""
    data = source.at(at, 1 << 16)
    return at + len(data) - len(data.lstrip(b"\0"))
