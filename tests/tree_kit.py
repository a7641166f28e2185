"""Root filesystems made from bytes, as folders, tars and images, for tests."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from elf_corpus import static
from image_kit import tar

from sealboot.model.arch import Arch

Files = Mapping[str, bytes]


def rootfs(arch: Arch, **others: Arch) -> dict[str, bytes]:
    """A small Sealos-like root filesystem; keywords make `kubelet`, `sealctl` or the inner `runc` of another machine."""
    own = static(arch, "x")

    def of(name: str) -> bytes:
        return static(others.get(name, arch), "x")

    inner = tar([("usr/bin/containerd", own), ("usr/local/sbin/runc", of("runc"))])
    return {
        "bin/kubeadm": own,
        "bin/kubelet": of("kubelet"),
        "cri/cri-containerd.tar.gz": gzip.compress(inner, mtime=0),
        "etc/kubeadm.yml.tmpl": b"kind: InitConfiguration\n",
        "opt/sealctl": of("sealctl"),
        "scripts/init.sh": b"#!/bin/bash\n",
    }


def folder(path: Path, files: Files) -> Path:
    """The files as a folder; programs and scripts may be executed."""
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
        (path / name).chmod(0o755 if data[:2] in {b"\x7fE", b"#!"} else 0o644)
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, *, data: bytes = b"", target: str = "") -> Any:
    """One member of a layer, of any type."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size, info.mode = kind, target, len(data), 0o755
    return info, data


def layer(*members: Any) -> bytes:
    """A layer of such members."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return made.getvalue()


def files_layer(files: Files) -> bytes:
    """A layer of regular files."""
    return layer(*(member(name, data=data) for name, data in files.items()))


def _json(document: object) -> bytes:
    return json.dumps(document).encode()


class Layout:
    """An OCI image layout in the making: images for platforms, as a folder or a tar."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: list[dict[str, Any]] = []

    def put(self, data: bytes) -> dict[str, Any]:
        """Add a blob; what a descriptor says of it."""
        digest = hashlib.sha256(data).hexdigest()
        self.blobs[f"blobs/sha256/{digest}"] = data
        return {"digest": f"sha256:{digest}", "size": len(data)}

    def image(self, arch: Arch, layers: Sequence[bytes]) -> None:
        """Add an image; its layers are compressed."""
        diffs = [f"sha256:{hashlib.sha256(one).hexdigest()}" for one in layers]
        rootfs = {"type": "layers", "diff_ids": diffs}
        config = self.put(_json({"os": "linux", "architecture": arch.value, "rootfs": rootfs}))
        kind = "application/vnd.oci.image."
        parts = [
            {"mediaType": f"{kind}layer.v1.tar+gzip", **self.put(gzip.compress(one, mtime=0))}
            for one in layers
        ]
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{kind}manifest.v1+json",
            "config": {"mediaType": f"{kind}config.v1+json", **config},
            "layers": parts,
        }
        platform = {"os": "linux", "architecture": arch.value}
        self.manifests.append(
            {"mediaType": f"{kind}manifest.v1+json", "platform": platform, **self.put(_json(manifest))}
        )

    @property
    def files(self) -> dict[str, bytes]:
        """Every file of the layout: one index entry that is a list of all platforms."""
        kind = "application/vnd.oci.image.index.v1+json"
        inner = self.put(_json({"schemaVersion": 2, "mediaType": kind, "manifests": self.manifests}))
        top = {"schemaVersion": 2, "manifests": [{"mediaType": kind, **inner}]}
        return {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": _json(top), **self.blobs}


def saved(arch: Arch, layers: Sequence[bytes]) -> bytes:
    """What `docker save` writes: manifest.json, a configuration, and layers that are not compressed."""
    diffs = [f"sha256:{hashlib.sha256(one).hexdigest()}" for one in layers]
    config = _json(
        {"os": "linux", "architecture": arch.value, "rootfs": {"type": "layers", "diff_ids": diffs}}
    )
    name = f"{hashlib.sha256(config).hexdigest()}.json"
    paths = [f"{number}/layer.tar" for number in range(len(layers))]
    manifest = [{"Config": name, "RepoTags": ["labring/kubernetes:v1"], "Layers": paths}]
    return tar([(name, config), *zip(paths, layers, strict=True), ("manifest.json", _json(manifest))])
