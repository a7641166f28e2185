"""The file and all that it includes, as a tree of lines; what OpenSSH would refuse is refused with its line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from glob import glob
from pathlib import Path
from typing import TypeAlias

from sealboot.model.diagnostic import Diagnostic, Location, Severity
from sealboot.transport.smallfile import read_small
from sealboot.transport.sshconfig import options, words

MAX_BYTES = 1 << 20
MAX_DEPTH = 16
#: Files read in all: two lines that include the same file double the work at each depth.
MAX_FILES = 256

#: Criteria of `Match` without an argument, and those with one.
_BARE = frozenset({"all", "canonical", "final"})
_WITH_ARGUMENT = frozenset(
    {"host", "originalhost", "user", "localuser", "localnetwork", "version", "tagged", "command", "exec"}
    | {"sessiontype"}
)
_TOKENS = re.compile(r"%.|\$\{")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why no connection can be made by this file: the line that stops it."""

    at: Location
    why: str
    hint: str = "correct or delete the line; `ssh -G HOST` says what OpenSSH makes of the file"

    def __str__(self) -> str:
        return f"{self.at}: {self.why}"


@dataclass(frozen=True, slots=True)
class Option:
    """One option line; `values` are its words, or the rest of the line alone where that is the value."""

    name: str
    values: tuple[str, ...]
    at: Location

    @property
    def value(self) -> str:
        """The first word, which is all of the value for most options."""
        return self.values[0]


@dataclass(frozen=True, slots=True)
class HostLine:
    """`Host`: what follows is for aliases that these patterns fit."""

    patterns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Criterion:
    """One condition of a `Match` line."""

    name: str
    argument: str
    negated: bool


@dataclass(frozen=True, slots=True)
class MatchLine:
    """`Match`: what follows is for connections that meet every condition."""

    criteria: tuple[Criterion, ...]
    at: Location


@dataclass(frozen=True, slots=True)
class Include:
    """The files that an `Include` line named; each stands under the conditions of that line."""

    files: tuple[tuple[Line, ...], ...]


Line: TypeAlias = Option | HostLine | MatchLine | Include


@dataclass(slots=True)
class Reader:
    """Reads one file and what it includes, once."""

    home: Path
    refusals: list[Refusal] = field(default_factory=list)
    findings: list[Diagnostic] = field(default_factory=list)
    _files: int = 0
    _ignored: list[str] = field(default_factory=list)

    def read(self, path: Path, depth: int = 0) -> tuple[Line, ...]:
        """The lines of a file; a missing one has none."""
        self._files += 1
        if self._files > MAX_FILES:
            if self._files == MAX_FILES + 1:
                self._refuse(Location(str(path), 1), f"more than {MAX_FILES} files are included")
            return ()
        try:
            data = read_small(path, MAX_BYTES)
        except FileNotFoundError:
            return ()
        except OSError as error:
            self._refuse(Location(str(path), 1), f"the file cannot be read: {error.strerror}")
            return ()
        if isinstance(data, str):
            self._refuse(Location(str(path), 1), f"the file cannot be read: {data}")
            return ()
        lines: list[Line] = []
        # Lines end at a newline alone: a form feed or U+2028 inside a value ends nothing.
        for number, text in enumerate(data.decode("utf-8", "surrogateescape").split("\n"), 1):
            at = Location(str(path), number)
            line = self._line(text, at, path, depth)
            if isinstance(line, str):
                self._refuse(at, line)
            elif line is not None:
                lines.append(line)
        return tuple(lines)

    def _line(self, text: str, at: Location, path: Path, depth: int) -> Line | str | None:
        parts = words.keyword_of(text)
        if parts is None:
            return None
        name, rest = options.ALIASES.get(parts[0], parts[0]), parts[1]
        if not rest:
            return f"{name} has no value"
        split = words.split(rest)
        if split is None:
            return "a quote stays open"
        if name in options.RAW:
            return Option(name, (rest.lstrip(" \t="),), at)
        if name == "host":
            return HostLine(tuple(split))
        if name == "match":
            return self._match(split, at)
        if name == "include":
            return self._include(split, path, depth)
        if name == "ignoreunknown":
            self._ignored += [pattern.lower() for pattern in split[:1]]
        if name not in options.KNOWN and not any(words.list_fits(i, name) for i in self._ignored):
            self.findings.append(_unknown(name, at))
            return None
        return self._option(name, split, at)

    def _option(self, name: str, split: Sequence[str], at: Location) -> Option | str | None:
        if name not in options.SINGLE | options.LISTS | options.MULTIPLE | options.TOLD:
            return None
        if not split or not split[0]:
            return f"{name} has no value"
        if name in options.SINGLE | options.MULTIPLE and len(split) > 1:
            return f"{name} takes one value, and {split[1]!r} follows it"
        wrong = _wrong(name, split[0])
        return f"{name} {split[0][:60]!r} {wrong}" if wrong else Option(name, tuple(split), at)

    def _match(self, split: Sequence[str], at: Location) -> MatchLine | str:
        criteria: list[Criterion] = []
        rest = iter(split)
        for text in rest:
            negated, word = text.startswith("!"), text.removeprefix("!")
            word, equals, argument = word.partition("=")
            word = word.lower()
            if word in _WITH_ARGUMENT:
                argument = argument if equals else next(rest, "")
                if not argument and word not in {"tagged", "command"}:
                    return f"Match {word} has no value"
            elif word not in _BARE or equals:
                return f"Match does not know {word[:60]!r}"
            if word == "all" and (len(criteria) > 1 or next(rest, None) is not None):
                return "Match all stands alone"
            criteria.append(Criterion(word, argument, negated))
        return MatchLine(tuple(criteria), at) if criteria else "Match has no condition"

    def _include(self, split: Sequence[str], path: Path, depth: int) -> Include | str:
        if depth >= MAX_DEPTH:
            return f"more than {MAX_DEPTH} nested Include"
        base = Path("/etc/ssh") if path.is_relative_to("/etc/ssh") else self.home / ".ssh"
        files: list[tuple[Line, ...]] = []
        for word in split:
            if "\0" in word:
                return "no file can have that name"
            if _TOKENS.search(word):
                # Expanded since OpenSSH 9.9, a plain name before.
                return f"Include {word!r} holds a token, which not every OpenSSH expands"
            pattern = (
                str(self.home / word[2:]) if word.startswith("~/") else str(base / Path(word).expanduser())
            )
            files += [
                self.read(Path(found), depth + 1)
                for found in sorted(glob(pattern))  # noqa: PTH207 (the pattern may be absolute)
            ]
        return Include(tuple(files))

    def _refuse(self, at: Location, why: str) -> None:
        self.refusals.append(Refusal(at, why))


def _wrong(name: str, value: str) -> str | None:
    """What is wrong with the value of an option that must have a certain form."""
    match name:
        case "port":
            return None if words.parse_port(value) else "is no port"
        case "connecttimeout":
            return None if value == "none" or words.parse_time(value) is not None else "is no time"
        case "identitiesonly":
            return None if words.parse_flag(value) is not None else "is neither yes nor no"
        case "canonicalizehostname":
            known = value.lower() == "always" or words.parse_flag(value) is not None
            return None if known else "is none of yes, no and always"
        case "canonicalizemaxdots":
            return None if value.isascii() and value.isdigit() and len(value) < 10 else "is no number"
    return None


def _unknown(name: str, at: Location) -> Diagnostic:
    return Diagnostic(
        "SB209",
        f"an option of ssh_config is not known: {name[:60]}",
        Severity.WARNING,
        at=at,
        hints=("correct its name, or put `IgnoreUnknown` with it above",),
    )
