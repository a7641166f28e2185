from __future__ import annotations

import gzip
import os
import subprocess
from pathlib import Path

import pytest
from elf_corpus import put, static
from fit_kit import artifact_of
from image_kit import COMPRESSIONS, image, read, tar, told

from sealboot.artifacts import collect
from sealboot.artifacts.archive import ArchiveFound
from sealboot.artifacts.compress import Limits
from sealboot.artifacts.folder_marks import is_sealos_root
from sealboot.artifacts.layout import read_layout
from sealboot.artifacts.rootfs import read_folder
from sealboot.model.arch import Arch
from sealboot.model.archive import ImageArchive, Programs, Rootfs
from sealboot.model.artifact import Kind

AMD, ARM = static(Arch.AMD64, "x"), static(Arch.ARM64, "x")


def sealos(own: bytes, **others: bytes) -> list[tuple[str, bytes]]:
    """A small Sealos-like root filesystem; keywords replace `kubelet`, `sealctl` or the inner `runc`."""
    inner = tar([("usr/bin/containerd", own), ("usr/local/sbin/runc", others.get("runc", own))])
    return [
        ("bin/kubeadm", own),
        ("bin/kubelet", others.get("kubelet", own)),
        ("cri/cri-containerd.tar.gz", gzip.compress(inner)),
        ("etc/kubeadm.yml", b"kind: InitConfiguration\n"),
        ("opt/sealctl", others.get("sealctl", own)),
        ("registry/docker/registry/v2/blobs/sha256/ab/data", gzip.compress(tar([("bin/sh", ARM)]))),
        ("scripts/init.sh", b"#!/bin/bash\n"),
    ]


def tree(found: ArchiveFound) -> Rootfs:
    assert isinstance(found.layer, Rootfs)
    return found.layer


@pytest.mark.parametrize("compression", sorted(COMPRESSIONS))
def test_every_program_counts(compression: str) -> None:
    found = read(COMPRESSIONS[compression](tar(sealos(AMD))))
    assert (found.platforms, told(found)) == (("linux/amd64",), [])
    made = tree(found)
    assert (made.sealos, made.files) == (True, 9)
    (programs,) = made.programs
    assert (programs.platform, programs.count) == ("linux/amd64", 5)
    assert "cri/cri-containerd.tar.gz!usr/bin/containerd" in programs.paths


@pytest.mark.parametrize(
    ("which", "path"),
    [
        ("kubelet", "bin/kubelet"),
        ("sealctl", "opt/sealctl"),
        ("runc", "cri/cri-containerd.tar.gz!usr/local/sbin/runc"),
    ],
)
def test_the_foreign_one_is_named(which: str, path: str) -> None:
    found = read(tar(sealos(AMD, **{which: ARM})))
    assert tree(found).programs[1] == Programs("linux/arm64", 1, (path,))
    (odd,) = found.diagnostics
    assert (odd.code, str(odd.severity)) == ("SB411", "error")
    assert odd.summary == f"images: {path} is linux/arm64 among 4 programs for linux/amd64"
    assert found.platforms == ("linux/amd64",)


def test_a_tree_of_builds_is_only_warned_about() -> None:
    found = read(tar([("amd64/tool", AMD), ("arm64/tool", ARM), ("README", b"read me")]))
    assert (found.platforms, told(found)) == (("linux/amd64", "linux/arm64"), [("SB411", "warning")])


def test_object_files_and_damaged_ones() -> None:
    members = [
        ("a", AMD),
        ("bpf.o", put(AMD, 16, b"\1\0")),
        ("cut", AMD[:30]),
        ("odd", put(AMD, 18, b"\x7a\x7a")),
    ]
    made = tree(read(tar(members)))
    assert {p.platform: p.count for p in made.programs} == {
        "linux/amd64": 1,
        "damaged": 1,
        "machine 31354": 1,
    }


def test_a_damaged_archive_inside_is_told_by_its_name() -> None:
    whole = gzip.compress(tar([("usr/bin/a", AMD)]))
    found = read(tar([("bin/b", AMD), ("cri/x.tar.gz", whole[:-9]), ("cri/y.tgz", whole)]))
    assert told(found) == [("SB401", "warning")]
    assert found.diagnostics[0].summary == "images: cri/x.tar.gz: the gzip data end too early"
    assert tree(found).programs[0].paths[-1] == "cri/y.tgz!usr/bin/a"


def test_inspect_looks_into_archives(tmp_path: Path) -> None:
    found = artifact_of(tmp_path, "images-arm64.tar.zst", COMPRESSIONS["zstd"](image("linux/amd64").tar()))
    assert (found.kind, found.platforms) == (Kind.ZSTD, ("linux/amd64",))
    assert isinstance(found.layers[0], ImageArchive)
    assert [(d.code, d.summary) for d in found.diagnostics] == [
        ("SB111", "images-arm64.tar.zst is for linux/amd64, despite its name")
    ]
    rootfs = artifact_of(tmp_path, "rootfs-amd64.tar.gz", gzip.compress(tar(sealos(AMD))))
    assert (rootfs.platforms, rootfs.diagnostics) == (("linux/amd64",), ())
    notes = artifact_of(tmp_path, "notes.gz", gzip.compress(b"hello\n"))
    assert (notes.kind, notes.layers, notes.diagnostics) == (Kind.GZIP, (), ())


def folder(path: Path, members: list[tuple[str, bytes]]) -> Path:
    for name, data in members:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def test_a_folder_is_one_artifact(tmp_path: Path) -> None:
    """As the archive of it is; links, also out of the folder, are no files of it."""
    root = folder(tmp_path / "rootfs", sealos(AMD, runc=ARM))
    (tmp_path / "foreign").write_bytes(static(Arch.S390X, "x"))
    (root / "bin" / "link").symlink_to("../../foreign")
    (root / "outside").symlink_to(tmp_path)
    (found,), told_ = collect(["rootfs"], tmp_path)
    assert (found.path, found.kind, found.platforms, told_) == (
        "rootfs",
        Kind.DIRECTORY,
        ("linux/amd64",),
        (),
    )
    (layer,) = found.layers
    assert isinstance(layer, Rootfs)
    archived = tree(read(tar(sealos(AMD, runc=ARM))))
    assert layer == archived
    (odd,) = found.diagnostics
    assert (odd.code, odd.summary.split(" among ")[0]) == (
        "SB411",
        "rootfs: cri/cri-containerd.tar.gz!usr/local/sbin/runc is linux/arm64",
    )


def test_a_folder_of_another_kind_is_its_files(tmp_path: Path) -> None:
    folder(tmp_path / "binaries", [("k3s", AMD), ("scripts/x", b"")])
    assert [a.path for a in collect(["binaries"], tmp_path)[0]] == ["binaries/k3s"]
    assert not is_sealos_root(tmp_path / "\0")


def test_trouble_in_a_folder(tmp_path: Path) -> None:
    whole = gzip.compress(tar([("usr/bin/a", AMD)]))
    root = folder(tmp_path, [("opt/sealctl", AMD), ("cri/x.tar.gz", whole[:-9])])
    os.mkfifo(root / "fifo")
    found = read_folder(root, "rootfs")
    assert [(d.code, d.summary) for d in found.diagnostics] == [
        ("SB401", "rootfs: cri/x.tar.gz: the gzip data end too early")
    ]
    bounded = read_folder(root, "rootfs", Limits(output=1000))
    assert ([d.code for d in bounded.diagnostics], bounded.platforms) == (["SB409"], ())


def test_a_folder_that_cannot_be_read_is_no_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = folder(tmp_path, [("opt/sealctl", AMD), ("scripts/init", b"#!/bin/sh"), ("oci-layout", b"{}")])
    listing = os.scandir

    def closed(path: str) -> object:
        if str(path).endswith("scripts"):
            raise PermissionError(13, "Permission denied", str(path))
        return listing(path)

    monkeypatch.setattr(os, "scandir", closed)
    assert "rootfs: scripts: permission denied" in [
        d.summary for d in read_folder(root, "rootfs").diagnostics
    ]
    assert any("scripts: permission denied" in d.summary for d in read_layout(root, "rootfs").diagnostics)


def test_a_folder_that_nests_without_end(tmp_path: Path) -> None:
    """Its walk would end at the interpreter's own depth."""
    root = folder(tmp_path, [("opt/sealctl", AMD)])
    here = os.open(root, os.O_RDONLY)
    try:
        for _ in range(1500):
            os.mkdir("a", dir_fd=here)
            below = os.open("a", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        (found,) = read_folder(root, "rootfs").diagnostics
    finally:
        os.close(here)
        subprocess.run(["rm", "-rf", str(root / "a")], check=True)
    assert (found.code, "deeper than 256 folders" in found.summary) == ("SB409", True)
