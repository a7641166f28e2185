"""The project's known_hosts file: the only trust file that is ever written, and `sealboot trust`.

A write replaces the file as a whole (temporary file, fsync, rename) under a
lock on its folder, and keeps every line it does not replace in its order.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from sealboot.model.diagnostic import Diagnostic, Location
from sealboot.transport.knownhosts import HostKey, Known, KnownKey, names_of, spelled

_MODE = 0o644  # keys of hosts are public, and the file is meant to be committed


class Change(StrEnum):
    """How the offered keys relate to the known ones."""

    SAME = "same"
    NEW = "new"
    CHANGED = "changed"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Old and new keys of one host, for an operator who decides. `name` is its name in known_hosts."""

    host: str
    name: str
    known: tuple[KnownKey, ...]
    offered: tuple[HostKey, ...]
    change: Change


class Looker(Protocol):
    """What can look at a host's keys without logging in (the connector)."""

    async def offered_keys(self, name: str) -> Offered | Diagnostic:
        """All the keys the host offers."""
        ...


@dataclass(frozen=True, slots=True)
class Offered:
    """What one host showed: its name and port in known_hosts, what is known, and its keys."""

    name: str
    port: int
    known: Known
    keys: tuple[HostKey, ...]


async def compare(looker: Looker, host: str) -> Comparison | Diagnostic:
    """Fetch the keys of a host (no login is tried) and hold them against the known ones."""
    offered = await looker.offered_keys(host)
    if isinstance(offered, Diagnostic):
        return offered
    known = (*offered.known.plain, *offered.known.portless)
    blobs = {line.key.blob for line in known}
    if {k.key.blob for k in offered.known.revoked} & {key.blob for key in offered.keys}:
        change = Change.REVOKED
    elif not offered.known.plain and not blobs & {key.blob for key in offered.keys}:
        change = Change.NEW
    elif all(key.blob in blobs for key in offered.keys):
        change = Change.SAME
    else:
        change = Change.CHANGED
    lines = offered.known.revoked + known if change is Change.REVOKED else known
    return Comparison(host, spelled(offered.name, offered.port), lines, offered.keys, change)


def record(project: Path, name: str, keys: Sequence[HostKey]) -> tuple[KnownKey, ...] | Diagnostic:
    """Make these the keys of `name` in the project's file, in the place of its earlier ones.

    Lines with markers and wildcards stay as they are: an `@revoked` key stays
    revoked, and a wildcard may speak for other hosts.
    """

    def change(lines: list[str]) -> list[str]:
        kept = [kept for line in lines if (kept := _without(line, name)) is not None]
        return [*kept, *(f"{name} {key.line}" for key in keys)]

    return _rewritten(project, keys, change)


def pin(project: Path, name: str, key: HostKey) -> KnownKey | Diagnostic:
    """Add the first-seen key of a host to the project's file; nothing is replaced."""
    done = _rewritten(project, (key,), lambda lines: [*lines, f"{name} {key.line}"])
    return done if isinstance(done, Diagnostic) else done[0]


def _rewritten(
    project: Path, keys: Sequence[HostKey], change: Callable[[list[str]], list[str]]
) -> tuple[KnownKey, ...] | Diagnostic:
    """Apply a change that ends with the lines of `keys`; where they stand, or why it failed."""
    try:
        # A link stays a link: the file it points to is replaced.
        target = Path(os.path.realpath(project))
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target.parent):
            # Bytes that are no text survive the round trip.
            old = target.read_text("utf-8", "surrogateescape") if target.exists() else ""
            lines = change(old.split("\n")[:-1] if old.endswith("\n") or not old else old.split("\n"))
            _replace(target, "".join(f"{line}\n" for line in lines))
    except OSError as error:
        return Diagnostic(
            "SB209",
            f"the known_hosts file of the project could not be written: {error.strerror}",
            at=Location(str(project), 1),
            hints=("make the file and its folder writable, then try again",),
        )
    first = len(lines) - len(keys) + 1
    return tuple(KnownKey(key, "", Location(str(project), first + i)) for i, key in enumerate(keys))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
        os.fsync(fd)
    finally:
        os.close(fd)


def _replace(target: Path, text: str) -> None:
    fd, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(fd, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            file.write(text)
            file.flush()
            os.fchmod(fd, _MODE)
            os.fsync(fd)
        Path(temporary).replace(target)
    except BaseException:
        with suppress(OSError):
            Path(temporary).unlink()
        raise


def _without(line: str, name: str) -> str | None:
    """The line without this host; `None` when nothing is left of it."""
    words = line.split(None, 1)
    if len(words) < 2 or words[0].startswith(("#", "@")) or any(c in words[0] for c in "*?!"):
        return line
    if not names_of(words[0], name):
        return line
    if words[0].startswith("|"):
        return None
    rest = [n for n in words[0].split(",") if n.lower() != name]
    return f"{','.join(rest)} {words[1]}" if rest else None
