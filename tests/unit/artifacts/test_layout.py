"""OCI layouts as folders, and lz4 files, as hostile as they come; real tools' are beside."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from image_kit import NAME, Archive, image, tar
from requires import requires
from tool_kit import run

from sealboot.artifacts import collect, inspect
from sealboot.artifacts.compress import Limits
from sealboot.artifacts.folder_marks import is_oci_layout
from sealboot.artifacts.layout import read_layout
from sealboot.model.archive import Image, ImageArchive
from sealboot.model.artifact import Artifact, Kind, Other

AMD, ARM = "linux/amd64", "linux/arm64"


def lay_out(folder: Path, made: Archive) -> Path:
    for name, data in made.members():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def images(found: Artifact) -> tuple[Image, ...]:
    (layer,) = found.layers
    assert isinstance(layer, ImageArchive)
    return layer.images


def said(found: Artifact) -> str:
    return "\n".join(f"{d.code} {d.severity}: {d.summary}" for d in found.diagnostics)


def test_a_folder_is_one_artifact(tmp_path: Path) -> None:
    folder = lay_out(tmp_path / "images", image(AMD, ARM, form="both"))
    ((found,), wrong) = collect(["images"], tmp_path)
    assert (wrong, found.kind, found.platforms, found.sha256) == ((), Kind.DIRECTORY, (AMD, ARM), "")
    assert images(found) == (Image(NAME, (AMD, ARM)),)
    assert found.size == sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    assert said(found) == (
        "SB404 warning: images: not fit for k3s: it reads archives only: "
        "`tar -C FOLDER -cf images.tar .` makes one"
    )
    # What lies in it can still be named by itself.
    (parts, _) = collect(["images/*"], tmp_path)
    assert {p.path for p in parts} == {"images/index.json", "images/manifest.json", "images/oci-layout"}


def test_a_folder_without_the_mark_is_its_files(tmp_path: Path) -> None:
    folder = lay_out(tmp_path / "images", image(AMD))
    for name in ("oci-layout", "index.json"):
        held = (folder / name).read_bytes()
        (folder / name).unlink()
        assert is_oci_layout(folder) is (name == "index.json")
        (folder / name).write_bytes(held)
    (folder / "oci-layout").unlink()
    (folder / "oci-layout").symlink_to(folder / "index.json")
    assert not is_oci_layout(folder)
    (folder / "oci-layout").unlink()
    os.mkfifo(folder / "oci-layout")
    assert not is_oci_layout(folder)
    assert inspect(folder).layers != ()
    assert inspect(folder).platforms == ()


def test_a_layout_without_index_or_with_a_broken_one(tmp_path: Path) -> None:
    folder = lay_out(tmp_path / "images", image(AMD))
    for text in (None, "", "{", '{"manifests": 3}', "[" * 100_000):
        (folder / "index.json").unlink(missing_ok=True)
        if text is not None:
            (folder / "index.json").write_text(text)
        found = inspect(folder)
        assert found.platforms == ()
        assert "SB404 error" in said(found), text


def test_links_lead_nowhere(tmp_path: Path) -> None:
    folder = lay_out(tmp_path / "images", image(AMD))
    blobs = sorted((folder / "blobs/sha256").iterdir())
    blobs[0].rename(tmp_path / "outside")
    blobs[0].symlink_to(tmp_path / "outside")
    (folder / "loop").symlink_to(folder)
    found = inspect(folder)
    assert found.platforms == ()
    assert f"links are not followed: loop, blobs/sha256/{blobs[0].name}" in said(found)


def test_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = lay_out(tmp_path / "images", image(AMD))
    found = read_layout(folder, "images", Limits(output=1000))
    assert (found.platforms, "SB409 error: images: inflates to more than 1000" in said(found)) == ((), True)
    with (folder / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    assert "sparse: 1099511627776 bytes; at most" in said(inspect(folder))
    (folder / "sparse").unlink()
    monkeypatch.setattr("sealboot.artifacts.layout.MAX_FILES", 5)
    for number in range(5):
        (folder / f"more-{number}").write_text("")
    assert "a folder of more than 5 files" in said(inspect(folder))


# -- lz4 ----------------------------------------------------------------------------------------------


def test_an_lz4_archive_is_named_and_never_guessed_at(tmp_path: Path) -> None:
    requires("lz4")
    (tmp_path / "images.tar").write_bytes(image(AMD).tar())
    for words in ([], ["-9"], ["--content-size"], ["-BD", "-B4"], ["-l"]):
        run("lz4", "-qf", *words, tmp_path / "images.tar", tmp_path / "packed")
        found = inspect(tmp_path / "packed")
        assert (found.kind, found.platforms) == (Kind.LZ4, ()), words
        (layer,) = found.layers
        assert isinstance(layer, Other)
        assert layer.facts["holds"] == "a tar archive, not looked into"
        assert layer.facts["format"] == ("legacy frame" if "-l" in words else "frame")
        assert ("k3s" in layer.facts.get("read by", "")) is ("-l" not in words)
        assert "SB404 warning" in said(found)
        assert "its images and platforms are unknown" in said(found)


def test_other_lz4_files_are_no_archives(tmp_path: Path) -> None:
    requires("lz4")
    (tmp_path / "text").write_text("words " * 1000)
    run("lz4", "-qf", tmp_path / "text", tmp_path / "packed")
    whole = (tmp_path / "packed").read_bytes()
    for data in (whole, *(whole[:n] for n in range(4, 20)), whole[:4] + b"\xff" * 100):
        (tmp_path / "packed").write_bytes(data)
        found = inspect(tmp_path / "packed")
        assert (found.kind, found.diagnostics) == (Kind.LZ4, ())
    stored = b"\x04\x22\x4d\x18\x60\x40\x82" + (0x80000200).to_bytes(4, "little") + tar([("a", b"b")])[:512]
    (tmp_path / "packed").write_bytes(stored)
    assert "SB404 warning" in said(inspect(tmp_path / "packed"))
