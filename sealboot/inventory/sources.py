"""Reading inventory files, and laying several of them over each other."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence

from sealboot.inventory.importers.clusterfile import PREFIX as CLUSTERFILE
from sealboot.inventory.importers.clusterfile import read_clusterfile
from sealboot.inventory.importers.k0sctl import PREFIX as K0SCTL
from sealboot.inventory.importers.k0sctl import read_k0sctl
from sealboot.inventory.tree import MAXIMUM_BYTES, Entry, Map, Node, nothing, parse_on
from sealboot.model.diagnostic import Diagnostic, Location, has_errors
from sealboot.model.names import closest

STDIN_NAME = "<stdin>"

#: What a later file may not say again, since a host is defined in one place.
_DEFINED_ONCE = "hosts"
#: Files of other tools that are inventories, by what their source begins with.
_OTHERS = {CLUSTERFILE: read_clusterfile, K0SCTL: read_k0sctl}
#: A source that says what kind of file it is. A letter and a colon alone begin a path elsewhere.
_PREFIX = re.compile(r"([a-z][a-z0-9_-]+):(?!//)(.+)", re.DOTALL)
_MERGED_KEYS = frozenset({"cluster", "artifacts", "verify", "defaults", "groups", "options"})


def read_sources(sources: Sequence[str], stdin: bytes | None) -> tuple[Map | None, tuple[Diagnostic, ...]]:
    """All sources as one tree, the later over the earlier; `None` when one of them cannot be read.

    With a tree there may be errors all the same (keys that stand twice), so that what else is wrong is told too.

    Findings are SB001 (no such file, not a regular file), those of `parse_on`
    and of the files of other tools (`sealos:FILE`, `k0sctl:FILE`), and SB010 for a host that two sources define.
    """
    found: list[Diagnostic] = []
    maps: list[Map] = []
    failed = False
    for source in sources:
        data = _read(path_of(source), stdin)
        other = next((read for prefix, read in _OTHERS.items() if source.startswith(prefix)), None)
        if other is not None and not isinstance(data, Diagnostic):
            made, told = other(data, path_of(source))
            found += told
            maps += [made] if isinstance(made, Map) else []
            failed = failed or made is None or has_errors(told)
            continue
        if isinstance(data, Diagnostic):
            found.append(data)
            failed = True
            continue
        root, told = parse_on(data, STDIN_NAME if source == "-" else source)
        found += told
        if root is None:
            failed = True
        elif isinstance(root, Map):
            maps.append(root)
        else:
            hint = "begin it with `version: 1`; `sealboot init` writes one to start from"
            found.append(
                Diagnostic("SB007", "the inventory is not a map of settings", at=root.at, hints=(hint,))
            )
            failed = True
    if failed or not maps:
        return None, tuple(found or [_none_given()])
    merged = maps[0]
    for later in maps[1:]:
        merged = _over(merged, later, found)
    return merged, tuple(found)


def path_of(source: str) -> str:
    """The file that a source names, whatever form its contents have."""
    return source.removeprefix(next((prefix for prefix in _OTHERS if source.startswith(prefix)), ""))


def _none_given() -> Diagnostic:
    return Diagnostic(
        "SB001", "no inventory was named", hints=("name one with `-i FILE`, or run `sealboot init`",)
    )


def _read(source: str, stdin: bytes | None) -> bytes | Diagnostic:
    if source == "-":
        if stdin is None:
            return Diagnostic(
                "SB001",
                "there is nothing on standard input",
                hints=("pipe the inventory in: `… | sealboot -i -`",),
            )
        return stdin
    at = Location(source, 1)
    try:
        # O_NONBLOCK: a FIFO without a writer must not hold sealboot up.
        fd = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        unread = _no_reader(source)
        if unread is not None:
            return unread.located(at)
        hint = "run `sealboot init` to write a starter inventory, or name yours with `-i FILE`"
        return Diagnostic("SB001", f"there is no inventory at {source}", at=at, hints=(hint,))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not a path"
        return Diagnostic(
            "SB001", f"{source} cannot be read: {why}", at=at, hints=("check the path and its mode",)
        )
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            hint = "name a file; `-i -` reads standard input"
            return Diagnostic("SB001", f"{source} is not a regular file", at=at, hints=(hint,))
        # One byte above the limit is enough to see that it is exceeded.
        with os.fdopen(fd, "rb", closefd=False) as file:
            return file.read(MAXIMUM_BYTES + 1)
    except OSError as error:
        hints = ("check the disk and the mount",)
        return Diagnostic("SB001", f"{source} cannot be read: {error.strerror}", at=at, hints=hints)
    finally:
        os.close(fd)


def _no_reader(source: str) -> Diagnostic | None:
    """SB001 for `ansible:hosts.ini`, which is no file and looks like one of another tool's."""
    match = _PREFIX.match(source)
    if match is None:
        return None
    readers = ", ".join(prefix.removesuffix(":") for prefix in _OTHERS)
    close = closest(match[1], [prefix.removesuffix(":") for prefix in _OTHERS])
    return Diagnostic(
        "SB001",
        f"no reader is called `{match[1]}`; there are {readers}",
        hints=(f"did you mean `{close}:{match[2]}`?",)
        if close
        else (
            "convert it to an inventory of sealboot: `sealboot init HOST...` writes one for the same hosts",
        ),
    )


def _over(first: Map, later: Map, found: list[Diagnostic]) -> Map:
    """Top level: maps are merged key by key, hosts are only added, all else is replaced."""
    entries = dict(first.entries)
    for key, entry in later.entries.items():
        before = entries.get(key)
        if before is None:
            entries[key] = entry
        elif key == _DEFINED_ONCE:
            entries[key] = _hosts(before, entry, found)
        elif key in _MERGED_KEYS:
            entries[key] = Entry(entry.at, _deep(before.node, entry.node))
        else:
            entries[key] = entry
    return Map(entries, first.at)


def _hosts(first: Entry, later: Entry, found: list[Diagnostic]) -> Entry:
    if not isinstance(first.node, Map) or not isinstance(later.node, Map):
        return first if nothing(later.node) else later if nothing(first.node) else Entry(later.at, later.node)
    entries = dict(first.node.entries)
    for name, entry in later.node.entries.items():
        if name in entries:
            found.append(
                Diagnostic(
                    "SB010",
                    f"the host `{name}` is defined twice",
                    host=name,
                    at=entry.at,
                    evidence=(("first", str(entries[name].at)), ("again", str(entry.at))),
                    hints=("define a host in one file; put what differs into a group or into `defaults`",),
                )
            )
        else:
            entries[name] = entry
    return Entry(first.at, Map(entries, first.node.at))


def _deep(first: Node, later: Node) -> Node:
    if not isinstance(first, Map) or not isinstance(later, Map):
        return first if nothing(later) else later
    entries = dict(first.entries)
    for key, entry in later.entries.items():
        before = entries.get(key)
        entries[key] = Entry(entry.at, _deep(before.node, entry.node)) if before else entry
    return Map(entries, first.at)
