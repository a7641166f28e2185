"""Container image archives made from bytes, for tests: whole ones, and ones that only claim to be."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sealboot.artifacts.archive import ArchiveFound, read_archive
from sealboot.artifacts.compress import Limits
from sealboot.artifacts.reader import Memory
from sealboot.artifacts.sniff import HEAD, sniff
from sealboot.artifacts.zstd import zstd

Form = Literal["docker", "oci", "both"]
OCI = "application/vnd.oci.image"
NAME = "registry.example/tools/agent:1.2"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def as_json(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def tar(members: Sequence[tuple[str, bytes]], *, style: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar of regular files, in this order, names as they are (twice, if they come twice)."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=style) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return made.getvalue()


def zst(data: bytes, **parameters: int) -> bytes:
    if not parameters:
        return zstd.compress(data)
    options: dict[int, int] = {zstd.CompressionParameter[name]: value for name, value in parameters.items()}
    made = zstd.ZstdCompressor(options=options)  # of a size it is not told
    return made.compress(data) + made.flush()


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "tar": bytes,
    "gzip": lambda data: gzip.compress(data, 1, mtime=0),
    "zstd": zst,
    "bzip2": lambda data: bz2.compress(data, 1),
    "xz": lambda data: lzma.compress(data, preset=0),
}


@dataclass
class Archive:
    """An archive in the making: blobs by digest, and what the index says. Change it, then `tar()`."""

    form: Form = "oci"
    blobs: dict[str, bytes] = field(default_factory=dict)
    top: list[dict[str, Any]] = field(default_factory=list)
    docker: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)

    def put(self, data: bytes) -> dict[str, Any]:
        """Add a blob; returns what a descriptor says about it."""
        self.blobs[sha256(data)] = data
        return {"digest": f"sha256:{sha256(data)}", "size": len(data)}

    def manifest(self, platform: str, *, layers: int = 2, tag: str = NAME) -> dict[str, Any]:
        """Add the manifest, configuration and layers of one platform; returns its descriptor."""
        system, machine, *variant = platform.split("/")
        plain = [tar([(f"etc/layer-{n}", f"{platform} {n} {tag}".encode())]) for n in range(layers)]
        config: dict[str, Any] = {
            "os": system,
            "architecture": machine,
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{sha256(p)}" for p in plain]},
        }
        claimed = {"os": system, "architecture": machine}
        for found in variant:
            config["variant"] = claimed["variant"] = found
        if self.form == "docker":
            name = f"{sha256(as_json(config))}.json"
            self.files[name] = as_json(config)
            self.files |= {f"{sha256(p)}/layer.tar": p for p in plain}
            paths = [f"{sha256(p)}/layer.tar" for p in plain]
            self.docker.append({"Config": name, "RepoTags": [tag], "Layers": paths})
            return {}
        packed = [gzip.compress(p, 1, mtime=0) for p in plain]
        described = [self.put(p) for p in packed]
        configured = self.put(as_json(config))
        if self.form == "both":
            paths = ["blobs/" + d["digest"].replace(":", "/") for d in (configured, *described)]
            self.docker.append({"Config": paths[0], "RepoTags": [tag], "Layers": paths[1:]})
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{OCI}.manifest.v1+json",
            "config": {"mediaType": f"{OCI}.config.v1+json", **configured},
            "layers": [{"mediaType": f"{OCI}.layer.v1.tar+gzip", **d} for d in described],
        }
        return {"mediaType": f"{OCI}.manifest.v1+json", **self.put(as_json(manifest)), "platform": claimed}

    def index(self, *descriptors: dict[str, Any]) -> dict[str, Any]:
        """Add an index of several; returns its descriptor."""
        document = {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": list(descriptors)}
        return {"mediaType": f"{OCI}.index.v1+json", **self.put(as_json(document))}

    def image(self, *platforms: str, tag: str = NAME) -> None:
        """Add an image: one manifest, or an index of several."""
        made = [self.manifest(platform, tag=tag) for platform in platforms]
        if self.form != "docker":
            one = made[0] if len(made) == 1 else self.index(*made)
            self.top.append({**one, "annotations": {"io.containerd.image.name": tag}})

    def drop(self, platform: str) -> None:
        """Take away the manifest, configuration and layers of a platform, as an exporter does."""
        for digest, data in list(self.blobs.items()):
            found = json.loads(data) if data.startswith(b"{") else {}
            config = self.blobs.get(found.get("config", {}).get("digest", "")[7:], b"{}")
            machine = json.loads(config).get("architecture")
            if machine == platform.split("/")[1]:
                for gone in (found["config"], *found["layers"]):
                    self.blobs.pop(gone["digest"][7:])
                self.blobs.pop(digest)

    def members(self) -> list[tuple[str, bytes]]:
        """The members, blobs before the index as exporters order them."""
        made = sorted(self.files.items())
        made += [(f"blobs/sha256/{digest}", data) for digest, data in sorted(self.blobs.items())]
        if self.form != "docker":
            made.append(("index.json", as_json({"schemaVersion": 2, "manifests": self.top})))
        if self.docker:
            made.append(("manifest.json", as_json(self.docker)))
        if self.form != "docker":
            made.append(("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'))
        return made

    def tar(self) -> bytes:
        return tar(self.members())


def image(*platforms: str, form: Form = "oci", tag: str = NAME) -> Archive:
    """An archive of one image."""
    made = Archive(form)
    made.image(*platforms, tag=tag)
    return made


def read(data: bytes, limits: Limits | None = None) -> ArchiveFound:
    return read_archive(Memory(data), sniff(data[:HEAD]), "images", limits)


def told(found: ArchiveFound) -> list[tuple[str, str]]:
    return [(d.code, str(d.severity)) for d in found.diagnostics]
