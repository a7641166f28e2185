"""Container image archives: which images, for which platforms, and whether all of each is there.

Sources: the OCI image layout and image specifications 1.1 (index, manifest,
configuration), and the archive that `docker save` writes. A platform in an
index is a claim. It counts when manifest, configuration and every layer are in
the archive with the digests they are named by; what the configuration says is
the truth. Exporters keep the index of all platforms and drop the blobs of most.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from sealboot.artifacts.blobs import MARKS, MAX_DOCUMENT, File, Store, document
from sealboot.artifacts.compress import COMPRESSED
from sealboot.model.arch import Arch, arch_from_text
from sealboot.model.archive import Image, ImageArchive

_MAX_DEPTH = 8
_MAX_VISITS = 20_000
_MAX_IMAGES = 2_000
_MAX_LAYERS = 512
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,32}")
_NAME_LIMIT = 512
_ATTESTATION = "vnd.docker.reference.type"
_CONTAINERD_NAME = "io.containerd.image.name"
_REF_NAME = "org.opencontainers.image.ref.name"


@dataclass(slots=True)
class Reading:
    """What was made of an archive: the layer, and what is wrong in words."""

    layer: ImageArchive
    errors: list[str]
    warnings: list[str]


@dataclass(slots=True)
class _Found:
    """The platforms of one image while its index is walked."""

    complete: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    configs: list[tuple[str, str]] = field(default_factory=list)


def read_images(store: Store) -> Reading | None:
    """Resolve what a walk has kept; `None` when it is no image archive."""
    index, manifest = document(store.file("index.json")), document(store.file("manifest.json"))
    oci = store.file("oci-layout") is not None or _is_index(index)
    docker = _is_docker(manifest)
    if not oci and not docker and not _unreadable(store):
        return None
    resolver = _Resolver(store)
    resolver.structure()
    images: tuple[Image, ...] = ()
    if oci:
        images = tuple(resolver.oci(index))
    elif docker:
        images = tuple(resolver.docker(manifest))
    if oci and docker:
        resolver.compare(images, tuple(_Resolver(store).docker(manifest)))
    forms = [name for name, there in (("oci-layout", oci), ("docker-archive", docker)) if there]
    form = "+".join(forms) or "unreadable"
    layer = ImageArchive(form, images, _common(images), store.damaged())
    return Reading(layer, resolver.errors, resolver.warnings)


def _unreadable(store: Store) -> bool:
    """Whether a mark is there that is no rootfs' file either: its blobs are beside it, or it is huge."""
    files = [store.file(mark) for mark in MARKS]
    return bool(store.damaged()) or any(f is not None and f.size > MAX_DOCUMENT for f in files)


def _is_index(found: Any) -> bool:
    return isinstance(found, dict) and isinstance(found.get("manifests"), list)


def _is_docker(found: Any) -> bool:
    return isinstance(found, list) and any(isinstance(e, dict) and "Config" in e for e in found)


def _common(images: tuple[Image, ...]) -> tuple[str, ...]:
    """The platforms that every image has. An archive is imported as a whole: one that lacks it stops a pod."""
    if not images:
        return ()
    families = set.intersection(*({_family(p) for p in image.platforms} for image in images))
    every = {p for image in images for p in image.platforms if _family(p) in families}
    return tuple(sorted(every))


def _family(platform: str) -> str:
    """`linux/arm` of `linux/arm/v7`: an archive may hold one image for v6 and another for v7."""
    return "/".join(platform.split("/")[:2])


class _Resolver:
    """Follows descriptors from blob to blob, a bounded number of times."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._visits = 0
        self.errors: list[str] = []
        self.warnings: list[str] = []

    def structure(self) -> None:
        """What is wrong whatever the images are."""
        for name in self._store.twice[:8]:
            self.errors.append(f"{name} is in it twice: importers do not agree on which one counts")
        if self._store.overflowing:
            self.errors.append("it has more files than an image archive can have")
        for mark in MARKS:
            file = self._store.file(mark)
            if file is not None and file.size > MAX_DOCUMENT:
                self.errors.append(f"{mark} has {file.size} bytes; at most {MAX_DOCUMENT} are read")
        damaged = self._store.damaged()
        if damaged:
            self.errors.append(f"{len(damaged)} blobs do not have the digest they are named by: {damaged[0]}")

    # -- OCI layout -------------------------------------------------------------------------------

    def oci(self, index: Any) -> Iterator[Image]:
        """The images of an index, in its order."""
        if not _is_index(index):
            self.errors.append("its index.json is missing or no image index")
            return
        for number, descriptor in enumerate(index["manifests"]):
            if number >= _MAX_IMAGES:
                self.errors.append(f"it lists more than {_MAX_IMAGES} images")
                return
            if _is_attestation(descriptor):
                continue
            found = _Found()
            self._visit(descriptor, found, 0)
            yield Image(
                _oci_name(descriptor),
                _unique(found.complete),
                _unique(found.absent),
                tuple(dict.fromkeys(found.configs)),
            )

    def _visit(self, descriptor: Any, found: _Found, depth: int) -> None:
        self._visits += 1
        if self._visits == _MAX_VISITS or depth > _MAX_DEPTH:
            self.errors.append("its indexes are nested too deeply or name too many manifests")
        if self._visits >= _MAX_VISITS or depth > _MAX_DEPTH or _is_attestation(descriptor):
            return
        blob, manifest = self._pointed(descriptor)
        claimed = _claimed(descriptor)
        if not isinstance(manifest, dict):
            what = "has no readable manifest" if blob is not None else ""
            found.absent.append(claimed or what or f"unknown ({_short(descriptor)})")
        elif isinstance(manifest.get("manifests"), list):
            for child in manifest["manifests"]:
                self._visit(child, found, depth + 1)
        else:
            self._manifest(manifest, claimed, found)

    def _manifest(self, manifest: dict[str, Any], claimed: str, found: _Found) -> None:
        blob, config = self._pointed(manifest.get("config"))
        platform = platform_of(config)
        if not platform or not self._whole(manifest.get("layers")):
            found.absent.append(claimed or platform or "unknown (no configuration)")
            return
        if claimed and _family(claimed) != _family(platform):
            self.errors.append(f"its index says {claimed} where the image is {platform}")
        found.complete.append(platform)
        if blob is not None:
            found.configs.append((platform, blob.digest))

    def _whole(self, layers: Any) -> bool:
        """Whether every layer of a manifest is there."""
        if not isinstance(layers, list) or len(layers) > _MAX_LAYERS:
            return False
        return all(self._pointed(d, content=False)[0] is not None for d in layers)

    def _pointed(self, descriptor: Any, *, content: bool = True) -> tuple[File | None, Any]:
        """The blob that a descriptor points to, and the document in it."""
        if not isinstance(descriptor, dict):
            return None, None
        blob = self._store.blob(descriptor.get("digest"), descriptor.get("size"))
        return blob, document(blob) if content else None

    # -- docker save ------------------------------------------------------------------------------

    def docker(self, manifest: list[Any]) -> Iterator[Image]:
        """The images of a manifest.json, one for each of its names."""
        for entry in manifest[:_MAX_IMAGES]:
            if not isinstance(entry, dict):
                self.errors.append("its manifest.json has an entry that is none")
                continue
            found = _Found()
            self._docker_entry(entry, found)
            tags = entry.get("RepoTags")
            names = [t[:_NAME_LIMIT] for t in tags if isinstance(t, str)] if isinstance(tags, list) else []
            for name in names[:64] or [""]:
                yield Image(name, tuple(found.complete), tuple(found.absent), tuple(found.configs))

    def _docker_entry(self, entry: Mapping[str, Any], found: _Found) -> None:
        name = entry.get("Config")
        file = self._store.file(name) if isinstance(name, str) else None
        config = document(file)
        platform = platform_of(config)
        layers = entry.get("Layers")
        rootfs = config.get("rootfs") if isinstance(config, dict) else None
        diffs = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
        if not platform or not isinstance(layers, list) or len(layers) > _MAX_LAYERS:
            found.absent.append(platform or "unknown (no configuration)")
            return
        files = [self._store.layer(name) if isinstance(name, str) else None for name in layers]
        if None in files:
            found.absent.append(platform)
            return
        if isinstance(diffs, list) and not _layers_agree(files, diffs):
            self.errors.append("a layer is not the one that the image's configuration names by its digest")
            found.absent.append(platform)
            return
        found.complete.append(platform)
        if file is not None:
            found.configs.append((platform, file.digest))

    def compare(self, oci: tuple[Image, ...], docker: tuple[Image, ...]) -> None:
        """Both descriptions of a hybrid should tell the same story: importers read one or the other."""
        platforms = {p for image in oci for p in image.platforms}
        strange = sorted({p for image in docker for p in image.platforms} - platforms)
        if strange:
            self.warnings.append(
                f"its manifest.json has {', '.join(strange)}, which its index.json has not: "
                "docker and containerd will import different images"
            )


def _layers_agree(files: list[File | None], diffs: list[Any]) -> bool:
    """Whether uncompressed layers have the digests that the configuration lists, in order."""
    if len(files) != len(diffs):
        return False
    pairs = zip(files, diffs, strict=True)
    return all(f is None or f.kind in COMPRESSED or f.digest == diff for f, diff in pairs)


def _is_attestation(descriptor: Any) -> bool:
    """Provenance and the like that builders list beside images, for the platform `unknown/unknown`."""
    if not isinstance(descriptor, dict):
        return False
    annotations, platform = descriptor.get("annotations"), descriptor.get("platform")
    if isinstance(annotations, dict) and annotations.get(_ATTESTATION) is not None:
        return True
    return isinstance(platform, dict) and (platform.get("os"), platform.get("architecture")) == (
        "unknown",
        "unknown",
    )


def _claimed(descriptor: Any) -> str:
    return platform_of(descriptor.get("platform")) if isinstance(descriptor, dict) else ""


def platform_of(found: Any) -> str:
    """`linux/arm/v7` from a configuration or a descriptor's platform; empty when it says none."""
    if not isinstance(found, dict):
        return ""
    system, machine, variant = found.get("os"), found.get("architecture"), found.get("variant")
    if not (_is_word(system) and _is_word(machine)):
        return ""
    arch = arch_from_text(machine)
    parts = [system.lower(), str(arch or machine.lower())]
    if _is_word(variant) and not (arch is Arch.ARM64 and variant in {"v8", "8"}):
        parts.append(variant.lower() if not variant.isdigit() else f"v{variant}")
    return "/".join(parts)


def _is_word(found: Any) -> TypeGuard[str]:
    return isinstance(found, str) and _WORD.fullmatch(found) is not None


def _oci_name(descriptor: Any) -> str:
    annotations = descriptor.get("annotations") if isinstance(descriptor, dict) else None
    if not isinstance(annotations, dict):
        return ""
    name = annotations.get(_CONTAINERD_NAME) or annotations.get(_REF_NAME)
    return name[:_NAME_LIMIT] if isinstance(name, str) else ""


def _short(descriptor: Any) -> str:
    digest = descriptor.get("digest") if isinstance(descriptor, dict) else None
    return digest[:19] if isinstance(digest, str) else "no digest"


def _unique(platforms: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(platforms))
