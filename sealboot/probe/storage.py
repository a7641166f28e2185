"""The file systems that would hold what is shipped: `/proc/self/mounts`, `df -Pk` and `lsattr -d`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sealboot.model.facts import Space
from sealboot.probe.transcript import Transcript

_ESCAPE = re.compile(r"\\([0-7]{3})")
_BLANKS = re.compile(r"[ \t]+")
# Single blanks only (see `rows`): with repeated ones a hostile line would make this search quadratic.
_DF = re.compile(r"(.*?) (\d{1,18}|-) (-?\d{1,18}|-) (-?\d{1,18}|-) (?:\d{1,4}%|-) (/.*)")
_MOST_LINES = 1024
_LOOK = re.compile(r"([01]) ([01]) ([d-])")
_KEY = re.compile(r"dir\.\d{1,4}")


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of the mount table, its escapes undone (proc(5))."""

    point: str
    fstype: str
    options: frozenset[str]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of `df -Pk`, in bytes."""

    total: int | None
    free: int | None
    point: str


def mounts(text: str) -> tuple[Mount, ...]:
    """The mount table in order; later lines lie over earlier ones of the same place."""
    found = []
    for line in text.split("\n")[:_MOST_LINES]:
        parts = line.split(" ")
        if len(parts) >= 4 and parts[1].startswith("/"):
            options = frozenset(option[:64] for option in parts[3].split(",")[:64] if option)
            found.append(Mount(_unescape(parts[1]), parts[2][:32], options))
    return tuple(found)


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda m: chr(int(m[1], 8)), text)


def holding(table: tuple[Mount, ...], path: str) -> Mount | None:
    """The mount that `path` (resolved, no links in it) lies on."""
    best: Mount | None = None
    for mount in table:
        inside = mount.point in {"/", path} or path.startswith(mount.point + "/")
        if inside and (best is None or len(mount.point) >= len(best.point)):
            best = mount
    return best


def rows(text: str) -> tuple[Row, ...]:
    """The lines of `df -Pk` without its heading."""
    lines = (_BLANKS.sub(" ", line[:4096]) for line in text.split("\n")[1:_MOST_LINES])
    return tuple(Row(_kib(m[2]), _kib(m[4]), m[5]) for m in map(_DF.fullmatch, lines) if m)


def _kib(text: str) -> int | None:
    return max(0, int(text)) * 1024 if text != "-" else None


def spaces(transcript: Transcript) -> tuple[Space, ...]:
    """One `Space` for each directory that was looked at and whose record is whole."""
    table = mounts(transcript.text("mounts"))
    free = rows(transcript.text("df"))
    immutable = _immutable(transcript.text("lsattr"))
    records = sorted((k for k in transcript.records if _KEY.fullmatch(k)), key=lambda k: int(k[4:]))
    looked = [_looked(transcript.text(key, 16384)) for key in records]
    aligned = len(free) == len(looked)
    found = []
    for index, look in enumerate(looked):
        if look is None:
            continue
        mount = holding(table, look.real)
        row = free[index] if aligned else next((r for r in free if mount and r.point == mount.point), None)
        found.append(_space(look, mount, row, immutable=look.real in immutable))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Look:
    """What the script saw of one directory: `real` is `existing` with its links resolved."""

    exists: bool
    writable: bool
    directory: bool
    path: str
    existing: str
    real: str


def _space(look: _Look, mount: Mount | None, row: Row | None, *, immutable: bool) -> Space:
    return Space(
        path=look.path,
        existing=look.existing,
        exists=look.exists,
        fstype=mount.fstype if mount else "",
        mount=mount.point if mount else row.point if row else "",
        options=mount.options if mount else frozenset(),
        free=row.free if row else None,
        total=row.total if row else None,
        writable=look.writable,
        immutable=immutable,
        directory=look.directory,
    )


def _looked(text: str) -> _Look | None:
    first, *paths = text.split("\n", 3)
    match = _LOOK.fullmatch(first)
    if match is None or len(paths) != 3 or not all(path.startswith("/") for path in paths):
        return None
    path, existing, real = paths
    return _Look(match[1] == "1", match[2] == "1", match[3] == "d", path, existing, real.rstrip("\n") or "/")


def _immutable(text: str) -> frozenset[str]:
    pairs = (line.partition(" ") for line in text.split("\n"))
    return frozenset(path.strip() for attributes, _, path in pairs if "i" in attributes)
