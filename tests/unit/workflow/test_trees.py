"""Root filesystems become packed trees: every form of one the same, and nothing unsafe ever."""

from __future__ import annotations

import gc
import gzip
import hashlib
import json
import os
import resource
import tarfile
import time
import tracemalloc
from functools import partial
from pathlib import Path

import pytest
from elf_corpus import static
from tree_kit import Layout, files_layer, folder, layer, member, rootfs, saved

from sealboot.artifacts import inspect
from sealboot.artifacts.compress import StreamError
from sealboot.artifacts.tree_blobs import LARGE
from sealboot.artifacts.tree_look import _Budget
from sealboot.artifacts.tree_source import FolderStore, image_layers
from sealboot.model.arch import Arch
from sealboot.model.artifact import Artifact
from sealboot.model.tree import Tree, tree_of
from sealboot.workflow.trees import packed, tree_cache

AMD, ARM = Arch.AMD64, Arch.ARM64


def trees(tmp_path: Path, name: str) -> tuple[Artifact, ...]:
    return packed([inspect(tmp_path / name, name)], tmp_path, tmp_path / "cache")


def one(tmp_path: Path, name: str) -> tuple[Artifact, Tree]:
    (artifact,) = trees(tmp_path, name)
    tree = tree_of(artifact)
    assert tree is not None, artifact.diagnostics
    return artifact, tree


def names(tree: Tree) -> dict[str, int]:
    assert tree.packed is not None
    with tarfile.open(tree.packed.path) as archive:
        return {m.name: m.mode for m in archive.getmembers() if m.isreg()}


def test_every_form_of_a_tree_is_one_archive(tmp_path: Path) -> None:
    files = {name: data for name, data in rootfs(ARM).items() if name != "etc/kubeadm.yml.tmpl"}
    folder(tmp_path / "tree", files)
    for path in (tmp_path / "tree").rglob("*"):
        path.chmod(0o755)
    layers = [files_layer(files)]
    (tmp_path / "tree.tar").write_bytes(layers[0])
    (tmp_path / "saved.tar").write_bytes(saved(ARM, layers))
    (tmp_path / "saved.tar.gz").write_bytes(gzip.compress(saved(ARM, layers)))
    layout = Layout()
    layout.image(ARM, layers)
    folder(tmp_path / "oci", layout.files)
    (tmp_path / "oci.tar").write_bytes(files_layer(layout.files))
    seen = set()
    for name in ("tree", "tree.tar", "saved.tar", "saved.tar.gz", "oci", "oci.tar"):
        artifact, tree = one(tmp_path, name)
        assert (artifact.platforms, artifact.diagnostics, artifact.path) == (("linux/arm64",), (), name)
        assert sum(p.count for p in tree.programs) == 5
        assert set(names(tree)) == {*files, ".sealboot-manifest"}
        seen.add(tuple(sorted(names(tree).items())))
    assert len(seen) == 1


def test_the_same_tree_is_the_same_bytes(tmp_path: Path) -> None:
    folder(tmp_path / "a", rootfs(AMD))
    folder(tmp_path / "b", rootfs(AMD))
    assert one(tmp_path, "a")[1].packed == one(tmp_path, "b")[1].packed
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_a_multi_platform_archive_is_split(tmp_path: Path) -> None:
    layout = Layout()
    layout.image(AMD, [files_layer(rootfs(AMD))])
    layout.image(ARM, [files_layer(rootfs(ARM))])
    (tmp_path / "k8s.tar").write_bytes(files_layer(layout.files))
    found = trees(tmp_path, "k8s.tar")
    assert [(a.path, a.platforms, a.diagnostics) for a in found] == [
        ("k8s.tar#linux/amd64", ("linux/amd64",), ()),
        ("k8s.tar#linux/arm64", ("linux/arm64",), ()),
    ]
    assert [{p.elf.arch for p in t.programs} for t in map(tree_of, found) if t] == [{AMD}, {ARM}]


def test_whiteouts_hide_what_lower_layers_have(tmp_path: Path) -> None:
    lower = files_layer(
        {**rootfs(AMD), "opt/old/a": b"a", "opt/old/b": b"b", "bin/gone": b"x", "etc/x": b"low"}
    )
    upper = layer(
        member("bin/.wh.gone"),
        member("opt/old/.wh..wh..opq"),
        member("opt/old/c", data=b"c"),
        member("etc/x", data=b"high"),
    )
    (tmp_path / "k8s.tar").write_bytes(saved(AMD, [lower, upper]))
    _, tree = one(tmp_path, "k8s.tar")
    assert {"bin/gone", "opt/old/a", "opt/old/b"}.isdisjoint(names(tree))
    assert "opt/old/c" in names(tree)
    assert tree.packed is not None
    with tarfile.open(tree.packed.path) as archive:
        content = archive.extractfile("etc/x")
        assert content is not None
        assert content.read() == b"high"


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (member("../../etc/cron.d/x", data=b"x"), "leads out of the tree"),
        (member("bin/x", tarfile.SYMTYPE, target="/etc/passwd"), "out of the tree"),
        (member("bin/x", tarfile.SYMTYPE, target="../../etc"), "out of the tree"),
        (member("bin/x", tarfile.LNKTYPE, target="/etc/shadow"), "no file of the tree"),
        (member("dev/sda", tarfile.BLKTYPE), "is a device"),
        (member("run/f", tarfile.FIFOTYPE), "is a device, FIFO"),
        (member("a\nb", data=b"x"), "control characters"),
        (member(".sealboot-manifest", data=b"x"), "not its own"),
    ],
)
def test_what_must_not_be_unpacked_is_refused(bad: object, words: str, tmp_path: Path) -> None:
    (tmp_path / "k8s.tar").write_bytes(saved(AMD, [files_layer(rootfs(AMD)), layer(bad)]))
    (artifact,) = trees(tmp_path, "k8s.tar")
    (found,) = artifact.diagnostics
    assert (found.code, tree_of(artifact)) == ("SB420", None)
    assert words in found.summary
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_file_below_a_link_of_a_lower_layer_is_refused(tmp_path: Path) -> None:
    lower = layer(member("etc/link", tarfile.SYMTYPE, target="../bin"))
    upper = files_layer({"etc/link/kubelet": b"evil"})
    (tmp_path / "k8s.tar").write_bytes(saved(AMD, [files_layer(rootfs(AMD)), lower, upper]))
    (artifact,) = trees(tmp_path, "k8s.tar")
    assert artifact.diagnostics[0].code == "SB420"
    assert "lies below etc/link" in artifact.diagnostics[0].summary


def test_links_inside_are_kept_and_modes_are_tamed(tmp_path: Path) -> None:
    info, data = member("bin/suid", data=b"#!/bin/sh\n")
    info.mode = 0o4777
    extra = layer(
        (info, data),
        member("bin/again", tarfile.LNKTYPE, target="bin/suid"),
        member("opt/link", tarfile.SYMTYPE, target="../bin/suid"),
    )
    (tmp_path / "k8s.tar").write_bytes(saved(AMD, [files_layer(rootfs(AMD)), extra]))
    _, tree = one(tmp_path, "k8s.tar")
    assert names(tree)["bin/again"] == 0o755
    assert tree.packed is not None
    with tarfile.open(tree.packed.path) as archive:
        assert archive.getmember("bin/again").isfile() or archive.getmember("bin/again").islnk()
        assert archive.getmember("opt/link").linkname == "../bin/suid"
        manifest = archive.extractfile(".sealboot-manifest")
        assert manifest is not None
        assert [line.split("  ")[1] for line in manifest.read().decode().splitlines()] == [
            "bin/again",
            "bin/kubeadm",
            "bin/kubelet",
            "bin/suid",
            "cri/cri-containerd.tar.gz",
            "opt/sealctl",
            "scripts/init.sh",
        ]


def registry_of(images: dict[str, list[tuple[Arch, bool]]]) -> dict[str, bytes]:
    """A registry's files: each tag a list of images, whole or without their layer."""
    base = "registry/docker/registry/v2"
    files: dict[str, bytes] = {}

    def blob(data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        files[f"{base}/blobs/sha256/{digest[:2]}/{digest}/data"] = data
        return f"sha256:{digest}"

    for name, builds in images.items():
        children = []
        for arch, whole in builds:
            config = blob(json.dumps({"os": "linux", "architecture": arch.value}).encode())
            gone = f"sha256:{'0' * 64}"
            layer_digest = blob(b"layer") if whole else gone
            manifest = {"config": {"digest": config}, "layers": [{"digest": layer_digest}]}
            digest = blob(json.dumps(manifest).encode())
            children.append({"digest": digest, "platform": {"os": "linux", "architecture": arch.value}})
        top = (
            blob(json.dumps({"manifests": children}).encode()) if len(children) > 1 else children[0]["digest"]
        )
        repository, _, tag = name.partition(":")
        files[f"{base}/repositories/{repository}/_manifests/tags/{tag}/current/link"] = str(top).encode()
    return files


def test_the_registry_is_packed_apart_and_its_images_are_followed_to_their_layers(tmp_path: Path) -> None:
    images = registry_of(
        {
            "library/both:1": [(AMD, True), (ARM, True)],
            "library/claimed:1": [(AMD, True), (ARM, False)],
            "pause:3.9": [(AMD, True)],
        }
    )
    folder(tmp_path / "tree", {**rootfs(AMD), **images})
    artifact, tree = one(tmp_path, "tree")
    assert artifact.diagnostics == ()
    assert not any(name.startswith("registry") for name in names(tree))
    assert tree.registry is not None
    with tarfile.open(tree.registry.path) as archive:
        inside = {m.name for m in archive.getmembers() if m.isreg()}
    assert inside == {*images, ".sealboot-registry"}
    assert [(i.name, i.platforms, i.absent) for i in tree.images] == [
        ("library/both:1", ("linux/amd64", "linux/arm64"), ()),
        ("library/claimed:1", ("linux/amd64",), ("linux/arm64",)),
        ("pause:3.9", ("linux/amd64",), ()),
    ]


def test_large_blobs_of_a_registry_are_files_of_their_own(tmp_path: Path) -> None:
    """By their digest, once for all trees; a configuration among them is read all the same."""
    base = "registry/docker/registry/v2"
    layer = hashlib.shake_256(b"layer").digest(LARGE)
    config = json.dumps({"os": "linux", "architecture": "amd64", "more": "x" * LARGE}).encode()
    small = hashlib.shake_256(b"small").digest(LARGE - 1)
    digests = {hashlib.sha256(data).hexdigest(): data for data in (layer, config, small)}
    large, about, little = digests
    manifest = json.dumps(
        {
            "config": {"digest": f"sha256:{about}"},
            "layers": [{"digest": f"sha256:{large}"}, {"digest": f"sha256:{little}"}],
        }
    ).encode()
    digests[hashlib.sha256(manifest).hexdigest()] = manifest
    files = {f"{base}/blobs/sha256/{d[:2]}/{d}/data": data for d, data in digests.items()}
    link = f"sha256:{hashlib.sha256(manifest).hexdigest()}".encode()
    files[f"{base}/repositories/app/_manifests/tags/1/current/link"] = link
    for arch in (AMD, ARM):
        folder(tmp_path / arch.value, {**rootfs(arch), **files})
    first, second = (one(tmp_path, arch.value)[1] for arch in (AMD, ARM))
    assert [(b.sha256, b.size) for b in first.blobs] == sorted((d, len(digests[d])) for d in (large, about))
    assert first.blobs == second.blobs
    for blob in first.blobs:
        assert Path(blob.path).read_bytes() == digests[blob.sha256]
    assert first.registry is not None
    with tarfile.open(first.registry.path) as archive:
        inside = [m.name for m in archive.getmembers() if m.isreg()]
    assert not any(large in name or about in name for name in inside)
    assert any(little in name for name in inside)
    assert [(i.name, i.platforms, i.absent) for i in first.images] == [("app:1", ("linux/amd64",), ())]


def test_a_blob_that_is_not_what_its_name_says_is_damage(tmp_path: Path) -> None:
    name = f"registry/docker/registry/v2/blobs/sha256/ab/{'ab' * 32}/data"
    folder(tmp_path / "tree", {**rootfs(AMD), name: bytes(LARGE)})
    (refused,) = trees(tmp_path, "tree")
    assert [d.code for d in refused.diagnostics] == ["SB401"]
    assert "blob abababababab is damaged" in refused.diagnostics[0].summary
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize(("visits", "read"), [(1000, 1 << 30), (1 << 30, 1 << 20)])
def test_manifests_that_name_each_other(
    visits: int, read: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One index that lists itself 64 times, four deep, is sixteen million documents."""
    monkeypatch.setattr("sealboot.artifacts.tree_look._Budget", partial(_Budget, visits, read))
    base, digest = "registry/docker/registry/v2", "ab" * 32
    index = json.dumps({"manifests": [{"digest": f"sha256:{digest}"}] * 64}).encode()
    files = {
        f"{base}/blobs/sha256/ab/{digest}/data": index,
        f"{base}/repositories/x/_manifests/tags/1/current/link": f"sha256:{digest}".encode(),
    }
    folder(tmp_path / "tree", {**rootfs(AMD), **files})
    (refused,) = trees(tmp_path, "tree")
    assert [d.code for d in refused.diagnostics] == ["SB409"]
    assert "more manifests than can be followed" in refused.diagnostics[0].summary


def test_libraries_and_damaged_programs_are_kept_apart(tmp_path: Path) -> None:
    folder(tmp_path / "tree", {**rootfs(AMD), "bin/cut": static(AMD, "x")[:70]})
    _, tree = one(tmp_path, "tree")
    assert {p.path: bool(p.elf.defect) for p in tree.programs} == {"bin/cut": True, "bin/kubeadm": False}


def test_a_bomb_in_a_layer_is_refused(tmp_path: Path) -> None:
    layout = Layout()
    layout.image(AMD, [files_layer(rootfs(AMD)), files_layer({"opt/zeros": bytes(80 << 20)})])
    (tmp_path / "k8s.tar").write_bytes(files_layer(layout.files))
    (artifact,) = trees(tmp_path, "k8s.tar")
    assert [d.code for d in artifact.diagnostics] == ["SB409"]
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_layer_that_ends_too_early_is_told(tmp_path: Path) -> None:
    whole = files_layer(rootfs(AMD))
    (tmp_path / "k8s.tar").write_bytes(saved(AMD, [whole[: len(whole) // 2 + 100]]))
    (artifact,) = trees(tmp_path, "k8s.tar")
    assert [d.code for d in artifact.diagnostics] == ["SB401"]


def test_trees_that_nobody_needs_are_forgotten(tmp_path: Path) -> None:
    folder(tmp_path / "tree", rootfs(AMD))
    (tmp_path / "cache").mkdir()
    old, new = "0" * 64 + ".tar", "1" * 64 + ".tar"
    for name, days in ((old, 31), (new, 29), (".new-killed", 31), ("letters.tar", 31)):
        (tmp_path / "cache" / name).write_bytes(b"")
        then = time.time() - days * 86400
        os.utime(tmp_path / "cache" / name, (then, then))
    _, tree = one(tmp_path, "tree")
    assert tree.packed is not None
    left = {p.name for p in (tmp_path / "cache").iterdir()}
    assert left == {new, "letters.tar", Path(tree.packed.path).name}


def test_nothing_is_packed_where_others_can_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(tmp_path / "tree", rootfs(AMD))
    _, tree = one(tmp_path, "tree")
    assert tree.packed is not None
    place = Path(tree.packed.path).parent
    place.chmod(0o770)
    (refused,) = trees(tmp_path, "tree")
    assert [d.code for d in refused.diagnostics] == ["SB408"]
    assert f"others can write to {place}" in refused.diagnostics[0].summary
    place.chmod(0o700)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert [d.code for d in trees(tmp_path, "tree")[0].diagnostics] == ["SB408"]


def test_a_cache_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    folder(tmp_path / "tree", rootfs(AMD))
    (tmp_path / "file").write_text("")
    for cache in (tmp_path / "file/x/trees", tmp_path / ("x" * 300) / "trees", tmp_path / "file"):
        (refused,) = packed([inspect(tmp_path / "tree", "tree")], tmp_path, cache)
        assert [d.code for d in refused.diagnostics] == ["SB408"]
        assert refused.diagnostics[0].summary.startswith(f"tree cannot be packed in {cache}: ")


def test_a_relative_cache_folder_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    for value in ("", "cache", "./x"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert tree_cache() == Path("/home/me/.cache/sealboot/trees")
    monkeypatch.setenv("XDG_CACHE_HOME", "/c")
    assert tree_cache() == Path("/c/sealboot/trees")


def test_a_folder_that_cannot_be_read_is_no_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder(tmp_path / "tree", rootfs(AMD))
    whole = os.scandir

    def closed(path: str) -> object:
        if str(path).endswith("etc"):
            raise PermissionError(13, "Permission denied")
        return whole(path)

    known = inspect(tmp_path / "tree", "tree")
    monkeypatch.setattr(os, "scandir", closed)
    (refused,) = packed([known], tmp_path, tmp_path / "cache")
    assert [d.summary for d in refused.diagnostics] == ["tree cannot be packed: permission denied"]


def test_a_name_that_is_no_text_is_told(tmp_path: Path) -> None:
    folder(tmp_path / "tree", rootfs(AMD))
    Path(os.fsdecode(bytes(tmp_path / "tree") + b"/caf\xe9")).write_bytes(b"")
    (refused,) = trees(tmp_path, "tree")
    assert [d.code for d in refused.diagnostics] == ["SB420"]


def test_indexes_that_name_each_other_a_million_times(tmp_path: Path) -> None:
    layout = Layout()
    layout.image(AMD, [files_layer(rootfs(AMD))])
    many = json.dumps({"manifests": [{}] * 999}).encode()
    digest = hashlib.sha256(many).hexdigest()
    index = json.loads(layout.files["index.json"])
    index["manifests"] += [{"digest": f"sha256:{digest}"}] * 900
    folder(
        tmp_path / "layout",
        {**layout.files, "index.json": json.dumps(index).encode(), f"blobs/sha256/{digest}": many},
    )
    store = FolderStore(tmp_path / "layout")
    tracemalloc.start()
    try:
        with pytest.raises(StreamError, match="too many manifests"):
            image_layers(store, "linux/amd64")
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
        store.close()


def test_several_images_are_no_root_filesystem(tmp_path: Path) -> None:
    layout = Layout()
    layout.image(AMD, [files_layer(rootfs(AMD))])
    layout.image(AMD, [files_layer({"etc/other": b"x"})])
    (tmp_path / "k8s.tar").write_bytes(files_layer(layout.files))
    (artifact,) = trees(tmp_path, "k8s.tar")
    assert [(d.code, "2 images" in d.summary) for d in artifact.diagnostics] == [("SB420", True)]


def test_other_files_pass_unchanged(tmp_path: Path) -> None:
    (tmp_path / "notes").write_bytes(b"hello")
    (artifact,) = trees(tmp_path, "notes")
    assert artifact == inspect(tmp_path / "notes", "notes")


def test_a_full_disk_is_told_with_its_place_and_leaves_nothing(tmp_path: Path) -> None:
    folder(tmp_path / "tree", {**rootfs(AMD), "usr/share/large": bytes(1 << 20)})
    known = inspect(tmp_path / "tree", "tree")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        (refused,) = packed([known], tmp_path, tmp_path / "cache")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    gc.collect()  # what is thrown away has nothing to say: a warning would be an error here
    assert [d.code for d in refused.diagnostics] == ["SB408"]
    assert str(tmp_path / "cache") in refused.diagnostics[0].hints[0]
    assert list((tmp_path / "cache").iterdir()) == []
