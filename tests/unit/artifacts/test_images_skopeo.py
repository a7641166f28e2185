"""Archives and layouts that skopeo and umoci make, of images for two architectures."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
from image_kit import NAME, image
from requires import requires
from tool_kit import run

from sealboot.artifacts import inspect
from sealboot.model.archive import Image, ImageArchive
from sealboot.model.artifact import Artifact, Kind

AMD, ARM = "linux/amd64", "linux/arm64"


@pytest.fixture(autouse=True)
def tools() -> None:
    requires("skopeo", "umoci")


@pytest.fixture
def both(tmp_path: Path) -> str:
    """An image of two platforms, as skopeo names it."""
    (tmp_path / "kit.tar").write_bytes(image(AMD, ARM).tar())
    return f"oci-archive:{tmp_path}/kit.tar"


def copy(source: str, target: str, *options: str) -> None:
    run("skopeo", "--insecure-policy", *options, "copy", "-q", source, target)


def copy_all(source: str, target: str, words: str = "--all") -> None:
    run("skopeo", "--insecure-policy", "copy", "-q", *words.split(), source, target)


def looked(path: Path) -> tuple[Artifact, ImageArchive]:
    found = inspect(path)
    (layer,) = found.layers
    assert isinstance(layer, ImageArchive)
    if found.kind is not Kind.DIRECTORY:
        assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    return found, layer


def codes(found: Artifact) -> list[tuple[str, str]]:
    return [(d.code, str(d.severity)) for d in found.diagnostics]


@pytest.mark.parametrize("platform", [AMD, ARM])
@pytest.mark.parametrize("target", ["oci-archive", "docker-archive"])
def test_an_archive_of_one_platform(target: str, platform: str, both: str, tmp_path: Path) -> None:
    """By way of a folder of skopeo's own, which names no platform anywhere but in the configuration."""
    made = tmp_path / "made.tar"
    copy(both, f"dir:{tmp_path}/dir", "--override-arch", platform.split("/")[1])
    copy(f"dir:{tmp_path}/dir", f"{target}:{made}:{NAME}")
    found, layer = looked(made)
    assert found.platforms == (platform,)
    assert [i.name for i in layer.images] == [NAME]
    assert layer.form == ("docker-archive" if target == "docker-archive" else "oci-layout")
    assert codes(found) == []


@pytest.mark.parametrize("compress", [["gzip", "-n"], ["zstd", "-q"], ["bzip2"]])
def test_archives_of_two_platforms(compress: list[str], both: str, tmp_path: Path) -> None:
    made = tmp_path / "made.tar"
    copy_all(both, f"oci-archive:{made}:{NAME}")
    found, layer = looked(made)
    assert (found.platforms, layer.form, codes(found)) == ((AMD, ARM), "oci-layout", [])
    packed = tmp_path / "packed"
    packed.write_bytes(run(*compress, "-c", made))
    again, repeated = looked(packed)
    assert (again.platforms, repeated.images) == (found.platforms, layer.images)
    assert again.kind.value == compress[0]


def test_a_layout_as_a_folder_says_what_its_archive_says(both: str, tmp_path: Path) -> None:
    copy_all(both, f"oci:{tmp_path}/layout:{NAME}")
    run("tar", "-C", tmp_path / "layout", "-cf", tmp_path / "layout.tar", ".")
    folder, layer = looked(tmp_path / "layout")
    archive, same = looked(tmp_path / "layout.tar")
    assert folder.kind is Kind.DIRECTORY
    assert (folder.platforms, layer.images) == (archive.platforms, same.images) == ((AMD, ARM), layer.images)
    assert (codes(folder), codes(archive)) == ([("SB404", "warning")], [])  # k3s reads no folders


def test_an_index_without_what_it_lists(both: str, tmp_path: Path) -> None:
    """skopeo can copy an index alone, and a single image of it: most of what it claims is not there."""
    copy_all(both, f"oci:{tmp_path}/layout:{NAME}", "--multi-arch index-only")
    run("tar", "-C", tmp_path / "layout", "-cf", tmp_path / "layout.tar", ".")
    for path in (tmp_path / "layout", tmp_path / "layout.tar"):
        found, layer = looked(path)
        assert (found.platforms, layer.images) == ((), (Image(NAME, (), (AMD, ARM)),))
        assert codes(found)[0] == ("SB404", "error")
        assert "not whole for any platform" in found.diagnostics[0].summary


def test_one_blob_less(both: str, tmp_path: Path) -> None:
    """Each blob of one platform in turn: that platform does not count, the other one does."""
    layout = tmp_path / "layout"
    copy_all(both, f"oci:{layout}:{NAME}")
    blobs = layout / "blobs/sha256"
    index = json.loads((layout / "index.json").read_bytes())["manifests"][0]["digest"][7:]
    listed = json.loads((blobs / index).read_bytes())["manifests"]
    (arm,) = [m["digest"][7:] for m in listed if m["platform"]["architecture"] == "arm64"]
    manifest = json.loads((blobs / arm).read_bytes())
    needed = [arm, manifest["config"]["digest"][7:], *(d["digest"][7:] for d in manifest["layers"])]
    assert len(needed) == 4
    for digest in needed:
        held = (blobs / digest).read_bytes()
        (blobs / digest).unlink()
        found, layer = looked(layout)
        assert (found.platforms, layer.images) == ((AMD,), (Image(NAME, (AMD,), (ARM,)),)), digest
        assert ("SB404", "note") in codes(found)
        (blobs / digest).write_bytes(held[:-1] + b"?")
        assert (looked(layout)[0].platforms, codes(looked(layout)[0])[0]) == ((AMD,), ("SB404", "error"))
        (blobs / digest).write_bytes(held)
    assert looked(layout)[0].platforms == (AMD, ARM)


def test_blobs_behind_links_are_not_there(both: str, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    copy_all(both, f"oci:{layout}:{NAME}")
    (layout / "blobs").rename(tmp_path / "elsewhere")
    (layout / "blobs").symlink_to(tmp_path / "elsewhere")
    found, _ = looked(layout)
    assert found.platforms == ()
    assert any("links are not followed: blobs" in d.summary for d in found.diagnostics)


@pytest.mark.parametrize("platform", [AMD, ARM])
def test_layouts_that_umoci_makes(platform: str, tmp_path: Path) -> None:
    layout, system = tmp_path / "layout", platform.split("/")
    run("umoci", "init", "--layout", layout)
    run("umoci", "new", "--image", f"{layout}:1.2")
    run("umoci", "config", "--image", f"{layout}:1.2", "--os", system[0], "--architecture", system[1])
    shutil.copy("/bin/true", tmp_path / "tool")
    run("umoci", "insert", "--rootless", "--image", f"{layout}:1.2", tmp_path / "tool", "/tool")
    os.mkfifo(layout / "pipe")
    found, layer = looked(layout)
    assert (found.platforms, [i.name for i in layer.images]) == ((platform,), ["1.2"])
    assert codes(found) == [("SB404", "warning")] * 2  # a folder, and a name that k3s would not take
    copy(f"oci:{layout}:1.2", f"docker-archive:{tmp_path}/made.tar:{NAME}", "--override-arch", system[1])
    assert looked(tmp_path / "made.tar")[0].platforms == (platform,)
