"""An archive, compressed or not, in one pass: hashed as a file, inflated, walked, and its parts judged.

Whether a tar holds container images is known only when it has passed (an
exporter writes the index last), so every member is hashed and offered to both
readings: images, and trees of programs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from sealboot.artifacts.archive_words import archive_findings, tree_findings
from sealboot.artifacts.blobs import Store
from sealboot.artifacts.compress import COMPRESSED, PIECE, Limits, Meter, StreamError, Windows, inflate
from sealboot.artifacts.hasher import Hasher
from sealboot.artifacts.images import read_images
from sealboot.artifacts.k3s_images import suffix_for, unfit_for_k3s
from sealboot.artifacts.programs import Tree, add_inner, is_inner_archive, opened
from sealboot.artifacts.reader import Source
from sealboot.artifacts.sniff import HEAD, sniff
from sealboot.artifacts.tarwalk import Member, Shape, TarWalk
from sealboot.model.archive import ImageArchive, Rootfs
from sealboot.model.artifact import Kind
from sealboot.model.diagnostic import Diagnostic

#: Kinds that `read_archive` looks into.
ARCHIVES = COMPRESSED | {Kind.TAR}
_MAX_TROUBLE = 8


@dataclass(frozen=True, slots=True)
class ArchiveFound:
    """What an archive holds. `layer` is `None` when there is neither image nor program in it.

    `tar` says whether the (inflated) bytes begin as a tar archive at all.
    `sha256` is that of the whole file, however far the reading came.
    """

    sha256: str
    tar: bool = False
    layer: ImageArchive | Rootfs | None = None
    platforms: tuple[str, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()


class _Hashed:
    """The pieces of a file in order, with the digest of all that passed."""

    def __init__(self, source: Source, hasher: Hasher) -> None:
        self._digest = hasher.digest()
        self.pieces = self._read(source)

    def _read(self, source: Source) -> Iterator[bytes]:
        offset = 0
        while piece := source.at(offset, PIECE):
            self._digest.update(piece)
            offset += len(piece)
            yield piece

    def finish(self) -> str:
        """The digest of the whole file; what was not read yet is read now."""
        for _ in self.pieces:
            pass
        return self._digest.hexdigest()


def read_archive(source: Source, kind: Kind, label: str, limits: Limits | None = None) -> ArchiveFound:
    """Look into an archive of a kind in `ARCHIVES`; reads every byte once and never raises for its content.

    Findings: SB401 (damaged), SB404 (images wrong or not whole), SB409 (too
    large inside), SB411 (programs of several machines). May raise `OSError`
    when the medium fails.
    """
    meter = Meter(limits or Limits())
    windows = Windows()
    error: StreamError | None = None
    # A thread for the file and one for what is inside: where there are cores, neither waits for the other.
    with Hasher() as hasher, Hasher() as whole:
        hashed = _Hashed(source, whole)
        walker = _Walker(meter, hasher)
        try:
            walker.walk(inflate(hashed.pieces, kind, meter, windows))
        except StreamError as raised:
            error = raised
        digest = hashed.finish()
    if not walker.tar and error is None:
        return ArchiveFound(digest)
    seen = _Seen(kind, meter.made, windows.largest or None, error)
    return replace(_judge(walker, label, seen), sha256=digest)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the passage through the stream told."""

    kind: Kind
    unpacked: int
    window: int | None
    error: StreamError | None


def _judge(walker: _Walker, label: str, seen: _Seen) -> ArchiveFound:
    reading = read_images(walker.store)
    if reading is None:
        tree = walker.tree.rootfs()
        told = tree_findings(label, tree, walker.trouble, seen.error)
        platforms = _tree_platforms(tree) if seen.error is None else ()
        return ArchiveFound("", walker.tar, tree, platforms, told)
    layer = replace(reading.layer, suffix=suffix_for(seen.kind), unpacked=seen.unpacked, window=seen.window)
    layer = replace(layer, unfit=unfit_for_k3s(layer))
    if seen.error is not None:  # what came before the damage may look whole, and is not
        layer = replace(layer, platforms=())
    told = archive_findings(label, layer, reading.errors, reading.warnings, seen.error)
    return ArchiveFound("", walker.tar, layer, layer.platforms, told)


def _tree_platforms(tree: Rootfs | None) -> tuple[str, ...]:
    """A root filesystem is for the machine of most of its programs; another tree may be for several."""
    known = [p.platform for p in tree.programs if "/" in p.platform] if tree else []
    return tuple(known[:1]) if tree and tree.sealos else tuple(sorted(known))


class _Walker:
    """One walk over a tar: every member hashed, programs counted, archives inside looked into."""

    def __init__(self, meter: Meter, hasher: Hasher) -> None:
        self._meter = meter
        self.store = Store(hasher)
        self.tree = Tree()
        self.tar = False
        self.trouble: list[str] = []

    def walk(self, pieces: Iterator[bytes]) -> None:
        """Read the stream to its end if it is a tar; raises `StreamError`."""
        tar = opened(pieces)
        self.tar = tar is not None
        if tar is None:
            return
        for member in tar:
            if member.shape is Shape.FILE:
                self._file(tar, member)
            elif member.shape is Shape.LINK:  # importers know no hard links
                self.store.link(member)

    def _file(self, tar: TarWalk, member: Member) -> None:
        head = tar.head(HEAD)
        take = self.store.record(member, head)
        self.tree.add(member.name, member.size, head)
        if is_inner_archive(member.name) and sniff(head) in ARCHIVES:
            self._inner(tar, member, sniff(head), take)
        for piece in tar.body():
            take(piece)
        self.store.finish()

    def _inner(self, tar: TarWalk, member: Member, kind: Kind, take: Callable[[bytes], None]) -> None:
        """Programs of an archive inside. Its damage is a finding about the member, and stops nothing."""

        def passing() -> Iterator[bytes]:
            for piece in tar.body():
                take(piece)
                yield piece

        try:
            add_inner(self.tree, member.name, inflate(passing(), kind, self._meter.inner()))
        except StreamError as error:
            if error.excess:
                raise
            if len(self.trouble) < _MAX_TROUBLE:
                self.trouble.append(f"{member.name}: {error}")
