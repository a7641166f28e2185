"""What is in a packed tree: every program parsed as deeply as one that stands alone, every image by platform."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sealboot.artifacts.blobs import MAX_DOCUMENT, File, document
from sealboot.artifacts.compress import COMPRESSED, Meter, StreamError, inflate
from sealboot.artifacts.elf import parse
from sealboot.artifacts.images import platform_of
from sealboot.artifacts.inside import look_inside
from sealboot.artifacts.programs import Tree as Counts
from sealboot.artifacts.programs import inner_files, is_inner_archive
from sealboot.artifacts.reader import Memory, Source, Window, chunks
from sealboot.artifacts.sniff import HEAD, sniff
from sealboot.artifacts.tarwalk import BLOCK, Shape, TarWalk
from sealboot.model.archive import Image, Rootfs
from sealboot.model.artifact import Elf, Kind
from sealboot.model.tree import Program

_ELF = b"\x7fELF"
_PROGRAMS = {2, 3}
#: A program inside an archive inside the tree is held in memory while it is parsed; kubelet has 80 MiB.
MAX_INNER = 512 << 20
_MAX_DISTINCT = 4_096
_TAG = re.compile(r"registry/docker/registry/v2/repositories/(.+)/_manifests/tags/([^/]+)/current/link")
_BLOBS = "registry/docker/registry/v2/blobs/sha256"
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_MAX_DEPTH, _MAX_TAGS = 4, 20_000
#: For all tags together: manifests may name each other, each 64 of them. Real registries have a few hundred.
_MAX_VISITS, _MAX_READ = 400_000, 256 << 20
_PT_LOAD = 1


@dataclass(slots=True)
class Looked:
    """What the walk over a packed tree told; `trouble` are archives inside that are damaged."""

    rootfs: Rootfs | None = None
    programs: tuple[Program, ...] = ()
    trouble: list[str] = field(default_factory=list)


class _Collector:
    """Programs by all that a kernel and its loader would ask of them."""

    def __init__(self) -> None:
        self.counts = Counts()
        self._found: dict[object, Program] = {}

    def add(self, name: str, size: int, source: Source) -> None:
        self.counts.add(name, size, source.at(0, HEAD))
        if source.at(0, 4) != _ELF:
            return
        elf = parse(source).elf
        if elf is None:
            elf = _headless(source)
        elif elf.type not in _PROGRAMS:
            return
        else:
            elf = look_inside(source, elf, name).elf
        key = _key(elf)
        seen = self._found.get(key)
        if seen is None and len(self._found) >= _MAX_DISTINCT:
            raise StreamError(f"more than {_MAX_DISTINCT} kinds of programs", excess=True)
        self._found[key] = replace(seen, count=seen.count + 1) if seen else Program(name, elf)

    def programs(self) -> tuple[Program, ...]:
        return tuple(self._found.values())


def _headless(source: Source) -> Elf:
    """A file that begins as ELF and whose header cannot be read: no kernel starts it."""
    return Elf(64, "little", 0, 2, 0, 0, None, defect="its ELF header cannot be read", end=source.size)


def _key(elf: Elf) -> object:
    """Equal for programs that every host judges alike."""
    loads = [segment for segment in elf.segments if segment.type == _PT_LOAD]
    shape = frozenset((s.align, (s.vaddr - s.offset) % (1 << 16), s.vaddr % (1 << 16)) for s in loads)
    return (
        (elf.bits, elf.endian, elf.machine, elf.type, elf.osabi, elf.flags, elf.arch, elf.laid_out_as),
        (elf.interpreter, elf.symbol_versions, elf.needed, elf.min_kernel, elf.defect, elf.hard_float),
        (elf.arm_level, elf.x86_level, elf.cpu_features, shape),
    )


def look(source: Source, meter: Meter) -> Looked:
    """Walk a packed tree. Raises `StreamError` when a bound breaks."""
    made = Looked()
    collector = _Collector()
    tar = TarWalk(inflate(chunks(source), Kind.TAR, meter))
    for member in tar:
        if member.shape is not Shape.FILE:
            continue
        window = Window(source, member.offset + BLOCK, member.size)
        collector.add(member.name, member.size, window)
        kind = sniff(window.at(0, HEAD))
        if is_inner_archive(member.name) and kind in COMPRESSED | {Kind.TAR}:
            try:
                _inner(collector, member.name, inflate(chunks(window), kind, meter.inner()))
            except StreamError as error:
                if error.excess:
                    raise
                made.trouble.append(f"{member.name}: {error}")
    made.rootfs = collector.counts.rootfs()
    made.programs = collector.programs()
    return made


def _inner(collector: _Collector, name: str, pieces: Iterator[bytes]) -> None:
    for path, size, walk in inner_files(name, pieces):
        head = walk.head(HEAD)
        if not head.startswith(_ELF):
            collector.counts.add(path, size, head)
            continue
        if size > MAX_INNER:
            raise StreamError(f"{path}: a program of {size} bytes", excess=True)
        collector.add(path, size, Memory(b"".join(walk.body())))


def registry_images(
    source: Source, meter: Meter, apart: Mapping[str, Callable[[], Source]] | None = None
) -> tuple[Image, ...]:
    """The images in a packed registry, by repository and tag, with the platforms that are whole.

    `apart` opens the blobs that are not in the archive, by their digest.
    """
    places: dict[str, Window | Callable[[], Source]] = {
        _blob_path(digest): opener for digest, opener in (apart or {}).items()
    }
    for member in TarWalk(inflate(chunks(source), Kind.TAR, meter)):
        if member.shape is Shape.FILE:
            places[member.name] = Window(source, member.offset + BLOCK, member.size)
    made: list[Image] = []
    budget = _Budget()
    for name, link in sorted(places.items()):
        tag = _TAG.fullmatch(name)
        if tag is None or not isinstance(link, Window):
            continue
        if len(made) >= _MAX_TAGS:
            raise StreamError(f"a registry of more than {_MAX_TAGS} tags", excess=True)
        found = _Platforms(places, budget)
        found.visit(link.at(0, 80).decode("ascii", "replace").strip(), 0)
        made.append(Image(f"{tag[1]}:{tag[2]}", tuple(dict.fromkeys(found.whole)), tuple(found.absent)))
    return tuple(made)


def _blob_path(digest: str) -> str:
    return f"{_BLOBS}/{digest[:2]}/{digest}/data"


@dataclass(slots=True)
class _Budget:
    """What following the manifests of a registry may cost."""

    visits: int = _MAX_VISITS
    bytes: int = _MAX_READ

    def take(self, size: int) -> None:
        """Another document of this many bytes; raises `StreamError` when it is one too many."""
        self.visits -= 1
        self.bytes -= size
        if self.visits < 0 or self.bytes < 0:
            raise StreamError("a registry with more manifests than can be followed", excess=True)


class _Platforms:
    """The platforms of one tag: those of which manifest, configuration and every layer are there."""

    def __init__(self, places: Mapping[str, Window | Callable[[], Source]], budget: _Budget) -> None:
        self._places = places
        self._budget = budget
        self.whole: list[str] = []
        self.absent: list[str] = []

    def visit(self, digest: object, depth: int, claimed: str = "") -> None:
        manifest = self._document(digest)
        children = manifest.get("manifests") if isinstance(manifest, dict) else None
        if isinstance(children, list) and depth < _MAX_DEPTH:
            for child in children[:64]:
                if isinstance(child, dict):
                    self.visit(child.get("digest"), depth + 1, platform_of(child.get("platform")))
            return
        if "unknown" in claimed:
            return  # provenance and the like
        platform = self._manifest(manifest) if isinstance(manifest, dict) else ""
        if platform:
            self.whole.append(platform)
        else:
            self.absent.append(claimed or "unknown")

    def _manifest(self, manifest: dict[str, Any]) -> str:
        config, layers = manifest.get("config"), manifest.get("layers")
        if not isinstance(config, dict) or not isinstance(layers, list):
            return ""
        there = all(isinstance(d, dict) and self._place(d.get("digest")) is not None for d in layers)
        return platform_of(self._document(config.get("digest"))) if there else ""

    def _place(self, digest: object) -> Window | Callable[[], Source] | None:
        match = _DIGEST.fullmatch(digest) if isinstance(digest, str) else None
        return self._places.get(_blob_path(match[1])) if match else None

    def _document(self, digest: object) -> Any:
        known = self._place(digest)
        place: Source | None = known if known is None or isinstance(known, Window) else known()
        if place is None or place.size > MAX_DOCUMENT:
            self._budget.take(0)
            return None
        self._budget.take(place.size)
        data = b"".join(chunks(place))
        return document(File(len(data), "", sniff(data[:HEAD]), data))
