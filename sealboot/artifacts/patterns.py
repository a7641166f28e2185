"""Patterns become paths: deterministic and bounded, whatever the tree; nothing is opened."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import translate
from functools import cache
from pathlib import Path

from sealboot.artifacts.folder_marks import is_whole_folder

#: Directory entries looked at for one pattern, and files read for it.
MAX_ENTRIES = 200_000
MAX_FILES = 2_000

_MAGIC = re.compile(r"[*?\[]")


def files_of(pattern: str, base: Path) -> tuple[tuple[str, Path], ...]:
    """The files that one pattern names, unread: as they are shown, and where they are."""
    return tuple((shown, path) for shown, path in matches(pattern, base).paths)


@dataclass(frozen=True, slots=True)
class Matched:
    """The files of one pattern as (shown, path); `more` when there were others beyond a bound."""

    paths: list[tuple[str, Path]]
    more: bool


def matches(pattern: str, base: Path) -> Matched:
    """The files of one pattern as (shown, path); the walk is bounded, whatever the tree."""
    if "\0" in pattern:
        return Matched([], more=False)
    expanded = os.path.expanduser(pattern) if pattern.startswith("~/") else pattern  # noqa: PTH111 (text)
    start = "/" if expanded.startswith("/") else ""
    parts = [part for part in expanded.split("/") if part not in {"", "."}]
    plain = start + "/".join(parts)
    if not _MAGIC.search(expanded) or os.path.lexists(base / plain):  # `tool[1]` may be a file's name
        if not _is_folder(base / plain) or is_whole_folder(base / plain):
            return Matched([(plain, base / plain)], more=False)
        start, parts = (start if plain in {"", "/"} else f"{plain}/"), ["*"]
    walk = _Walk(base)
    found = sorted(set(walk.find(start, parts)))
    files = [
        (shown, base / shown)
        for shown in found
        if not _is_folder(base / shown) or is_whole_folder(base / shown)
    ]
    return Matched(files[:MAX_FILES], more=walk.exhausted or len(files) > MAX_FILES)


class _Walk:
    """Expands path components one after the other, counting every entry it looks at."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._left = MAX_ENTRIES

    @property
    def exhausted(self) -> bool:
        return self._left <= 0

    def find(self, prefix: str, parts: Sequence[str]) -> Iterator[str]:
        """Paths under `prefix` that match `parts`; `prefix` is empty or ends with a slash."""
        if not parts:
            return
        part, rest = parts[0], parts[1:]
        if part == "**":
            yield from self._find_deep(prefix, rest or ("*",))
        elif not _MAGIC.search(part):
            if rest:
                yield from self.find(f"{prefix}{part}/", rest)
            elif os.path.lexists(self._base / (prefix + part)):
                yield prefix + part
        else:
            for entry in self._entries(prefix):
                if _matcher(part).match(entry.name) and _visible(entry.name, part):
                    if rest:
                        yield from self.find(f"{prefix}{entry.name}/", rest) if _folder(entry) else ()
                    else:
                        yield prefix + entry.name

    def _find_deep(self, prefix: str, rest: Sequence[str]) -> Iterator[str]:
        pending = [prefix]
        while pending:
            here = pending.pop()
            yield from self.find(here, rest)
            pending += [
                f"{here}{entry.name}/"
                for entry in self._entries(here)
                if _folder(entry, follow=False) and not entry.name.startswith(".")
            ]

    def _entries(self, prefix: str) -> list[os.DirEntry[str]]:
        found: list[os.DirEntry[str]] = []
        try:
            with os.scandir(self._base / prefix) as entries:
                for entry in entries:
                    self._left -= 1
                    if self._left <= 0:
                        break
                    found.append(entry)
        except OSError:  # no such folder, or not ours to read: it matches nothing
            return []
        return found


def _is_folder(path: Path) -> bool:
    """Like `Path.is_dir`, which raises for names that are too long or folders that are closed to us."""
    return os.path.isdir(path)  # noqa: PTH112 (see above)


def _folder(entry: os.DirEntry[str], *, follow: bool = True) -> bool:
    try:
        return entry.is_dir(follow_symlinks=follow)
    except OSError:  # a loop of links
        return False


def _visible(name: str, part: str) -> bool:
    return not name.startswith(".") or part.startswith(".")


@cache
def _matcher(part: str) -> re.Pattern[str]:
    return re.compile(translate(part))
