"""SB301 and SB302: whether the directories that are written to can take what is coming."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.facts import Facts, Space
from sealboot.model.host import Host
from sealboot.model.plan import Wave
from sealboot.model.steps import Upload

#: A file system that is filled to the last block fails in other places; journals and logs grow meanwhile.
HEADROOM = 1.2

_EMPTY: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Load:
    """What one host will be sent: bytes for each directory, and the directories that will hold programs."""

    sizes: Mapping[str, int] = field(default_factory=lambda: _EMPTY)
    programs: frozenset[str] = frozenset()


def shipped(waves: Sequence[Wave]) -> dict[str, Load]:
    """The load of each host, by the uploads that a driver wrote down."""
    sizes: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    programs: defaultdict[str, set[str]] = defaultdict(set)
    for wave in waves:
        for step in wave.steps:
            if isinstance(step, Upload):
                folder = posixpath.dirname(step.dest) or "/"
                sizes[step.host][folder] += step.size
                if step.mode & 0o111:
                    programs[step.host].add(folder)
    return {host: Load(dict(folders), frozenset(programs[host])) for host, folders in sizes.items()}


def covering(facts: Facts, directory: str) -> Space | None:
    """What is known about the file system of `directory`: its own record, or its nearest probed ancestor's."""
    best: Space | None = None
    for space in facts.spaces:
        stem = space.path.rstrip("/")
        inside = directory.rstrip("/") == stem or directory.startswith(stem + "/")
        if inside and (best is None or len(stem) > len(best.path.rstrip("/"))):
            best = space
    return best


def no_space(host: Host, facts: Facts, load: Load) -> tuple[Diagnostic, ...]:
    """SB301: a file system has less than 1.2 times the bytes that will be sent to it."""
    needs: defaultdict[str, int] = defaultdict(int)
    free: dict[str, int] = {}
    folders: defaultdict[str, list[str]] = defaultdict(list)
    for directory, size in load.sizes.items():
        space = covering(facts, directory)
        if space is None or space.free is None:
            continue
        key = space.mount or space.existing
        needs[key] += size
        free[key] = min(space.free, free.get(key, space.free))
        folders[key].append(directory)
    return tuple(
        Diagnostic(
            "SB301",
            f"not enough space on {host.name} for what would be sent to {', '.join(sorted(folders[mount]))}",
            host=host.name,
            at=host.origin("paths"),
            evidence=(
                ("need", f"{size_text(round(need * HEADROOM))} ({size_text(need)} and a fifth more)"),
                ("free", f"{size_text(free[mount])} on {mount}"),
            ),
            hints=(f"make room on {mount}, or set `paths` for this host to a larger file system",),
        )
        for mount, need in sorted(needs.items())
        if need * HEADROOM > free[mount]
    )


def size_text(size: int) -> str:
    """A number of bytes as people read it, in binary units."""
    amount = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def unusable_target(
    host: Host, facts: Facts, directories: Sequence[str], programs: frozenset[str]
) -> tuple[Diagnostic, ...]:
    """SB302: a directory that will be written to is read-only, immutable, no directory, or refuses programs.

    `noexec` is an error where programs will lie, a warning elsewhere: some
    distributions unpack programs into their state directory.
    """
    found = []
    for directory in dict.fromkeys(directories):
        space = covering(facts, directory)
        why = _obstacle(host, facts, space, directory in programs) if space is not None else None
        if space is not None and why is not None:
            severity, text, hint = why
            found.append(
                Diagnostic(
                    "SB302",
                    f"{directory} on {host.name} {text}",
                    severity,
                    host=host.name,
                    at=host.origin("paths"),
                    evidence=_place(space),
                    hints=(hint,),
                )
            )
    return tuple(found)


def _place(space: Space) -> tuple[tuple[str, str], ...]:
    options = ",".join(sorted(space.options & {"ro", "rw", "noexec", "nosuid", "nodev"}))
    where = (("nearest existing", space.existing),) if not space.exists else ()
    return (*where, ("mount", f"{space.mount or '?'} {space.fstype} {options}".strip()))


def _obstacle(host: Host, facts: Facts, space: Space, programs: bool) -> tuple[Severity, str, str] | None:
    remount = f"mount -o remount,{{}} {space.mount}"
    if not space.directory:
        return Severity.ERROR, f"cannot be made: {space.existing} is a file", f"move {space.existing} away"
    if "ro" in space.options:
        return (
            Severity.ERROR,
            "is on a read-only file system",
            f"`{remount.format('rw')}`, or set `paths` to another",
        )
    if space.immutable:
        return Severity.ERROR, "cannot be changed: it is marked immutable", f"`chattr -i {space.existing}`"
    if not space.executable:
        severity = Severity.ERROR if programs else Severity.WARNING
        return (
            severity,
            "is on a file system that runs no programs (noexec)",
            f"`{remount.format('exec')}`, or set `paths` to another",
        )
    if space.writable is False and not _writes_as_root(host, facts):
        return (
            Severity.ERROR,
            f"is not writable for {facts.user or 'the login user'}",
            "let `become` gain root, or set `paths` to a directory of this user",
        )
    return None


def _writes_as_root(host: Host, facts: Facts) -> bool:
    """Whether writing is done as a root that the login user's own permissions say nothing about.

    Where becoming root does not work, SB303 says so once; its consequences are no findings of their own.
    """
    return facts.uid != 0 and host.become.method != "none"
