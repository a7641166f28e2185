"""Which programs are in a tree of files, by architecture: a folder, or an archive as it passes.

Only ELF headers are asked: for a tree the question is whether one file among
hundreds is of another machine, and which.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from sealboot.artifacts.elf_ident import MalformedError, identify
from sealboot.artifacts.sniff import HEAD, sniff
from sealboot.artifacts.tarwalk import Shape, TarWalk
from sealboot.model.archive import Programs, Rootfs
from sealboot.model.artifact import Kind

#: Paths kept for each platform; the odd one out is what is looked for, and it is rare.
MAX_PATHS = 8
_MAX_PLATFORMS = 64
_MAGIC = b"\x7fELF"
_PROGRAMS = {2, 3}  # ET_EXEC, ET_DYN: object files (BPF programs, kernel modules) are no programs
#: What a Sealos root filesystem is known by: its control program, or its scripts beside a runtime.
_CONTROL = "opt/sealctl"
_SCRIPTS, _RUNTIME = "scripts/", "cri/"
#: An archive in a tree is looked into when its name says that it is one. Image layers are archives
#: too, are named by digest, and are the bulk of what a tree carries.
_INNER = (".tar", ".tar.gz", ".tgz", ".tar.zst", ".tzst", ".tar.bz2", ".tar.xz", ".txz")


class Tree:
    """Counts programs by platform; give it every file with its first bytes."""

    def __init__(self) -> None:
        self._paths: dict[str, list[str]] = {}
        self._counts: dict[str, int] = {}
        self._seen: set[str] = set()
        self.files = 0
        self.bytes = 0

    def add(self, path: str, size: int, head: bytes) -> None:
        """One regular file: its path in the tree, and at least its first 64 bytes."""
        self.files += 1
        self.bytes += size
        for part in (_SCRIPTS, _RUNTIME):
            if path.startswith(part):
                self._seen.add(part)
        if path == _CONTROL:
            self._seen.add(_CONTROL)
        if not head.startswith(_MAGIC):
            return
        platform = _platform(head)
        if platform:
            self._count(platform, path)

    def _count(self, platform: str, path: str) -> None:
        if platform not in self._counts and len(self._counts) >= _MAX_PLATFORMS:
            platform = "others"
        self._counts[platform] = self._counts.get(platform, 0) + 1
        paths = self._paths.setdefault(platform, [])
        if len(paths) < MAX_PATHS:
            paths.append(path)

    def rootfs(self) -> Rootfs | None:
        """What was found; `None` when there was no program at all."""
        if not self._counts:
            return None
        order = sorted(self._counts, key=lambda platform: (-self._counts[platform], platform))
        programs = tuple(Programs(p, self._counts[p], tuple(self._paths[p])) for p in order)
        sealos = _CONTROL in self._seen or {_SCRIPTS, _RUNTIME} <= self._seen
        return Rootfs(sealos, self.files, programs, self.bytes)


def _platform(head: bytes) -> str:
    """`linux/arm64`; for a machine without a name its number; empty for what is no program."""
    try:
        ident = identify(head)
    except MalformedError:
        return "damaged"
    if ident.type not in _PROGRAMS:
        return ""
    return f"linux/{ident.arch}" if ident.arch else f"machine {ident.machine}"


def is_inner_archive(name: str) -> bool:
    """Whether a file in a tree is named as an archive, and so worth looking into."""
    return name.endswith(_INNER)


def opened(pieces: Iterator[bytes]) -> TarWalk | None:
    """The walk over an inflated stream; `None` where its first bytes are no tar's. Raises `StreamError`."""
    first = b""
    while len(first) < HEAD and (piece := next(pieces, b"")):
        first += piece
    return TarWalk(chain((first,), pieces)) if sniff(first[:HEAD]) is Kind.TAR else None


def inner_files(name: str, pieces: Iterator[bytes]) -> Iterator[tuple[str, int, TarWalk]]:
    """Path, size and walk (for its bytes) of each file of an archive inside a tree, given inflated.

    Nothing where the bytes are no tar. Raises `StreamError`.
    """
    inner = opened(pieces)
    if inner is None:
        return
    for member in inner:
        if member.shape is Shape.FILE:
            yield f"{name}!{member.name}", member.size, inner


def add_inner(tree: Tree, name: str, pieces: Iterator[bytes]) -> None:
    """Count the files of an archive inside the tree, given inflated; raises `StreamError`."""
    for path, size, walk in inner_files(name, pieces):
        tree.add(path, size, walk.head(HEAD))
