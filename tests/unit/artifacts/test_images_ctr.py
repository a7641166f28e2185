"""Archives exported by containerd itself, and what containerd makes of those that are not whole."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from image_kit import NAME, Archive, image
from requires import requires
from tool_kit import run

from sealboot.artifacts import inspect
from sealboot.model.archive import Image, ImageArchive
from sealboot.model.artifact import Artifact

AMD, ARM = "linux/amd64", "linux/arm64"
OTHER = "registry.example/tools/other:3"

Ctr = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture(scope="module")
def ctr() -> Iterator[Ctr]:
    """`ctr` for a containerd of this module alone; its socket's path must be short."""
    requires("containerd", "ctr", "root")
    with tempfile.TemporaryDirectory(prefix="ctr") as folder:
        root = Path(folder)
        config = root / "config.toml"
        config.write_text(
            f'version = 2\nroot = "{root}/root"\nstate = "{root}/state"\n'
            f'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\n  address = "{root}/sock"\n'
        )

        def command(*words: str | Path, check: bool = True) -> subprocess.CompletedProcess[bytes]:
            whole = ["ctr", "--address", f"{root}/sock", *words]
            done = subprocess.run(whole, capture_output=True, check=False, timeout=60)
            assert not check or done.returncode == 0, (words, done.stderr)
            return done

        with (root / "log").open("wb") as log:
            daemon = subprocess.Popen(["containerd", "-c", config], stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        try:
            while command("version", check=False).returncode:
                assert daemon.poll() is None, (root / "log").read_text()
                assert time.monotonic() < deadline, (root / "log").read_text()
            yield command
        finally:
            daemon.terminate()
            daemon.wait(30)


@pytest.fixture
def loaded(ctr: Ctr, tmp_path: Path) -> Iterator[Ctr]:
    """Two images of two platforms each, in containerd."""
    made = Archive("oci")
    made.image(AMD, ARM)
    made.image(AMD, ARM, tag=OTHER)
    (tmp_path / "kit.tar").write_bytes(made.tar())
    ctr("images", "import", "--all-platforms", "--no-unpack", tmp_path / "kit.tar")
    yield ctr
    ctr("images", "rm", "--sync", NAME, OTHER, check=False)


def looked(path: Path) -> tuple[Artifact, ImageArchive]:
    found = inspect(path)
    (layer,) = found.layers
    assert isinstance(layer, ImageArchive)
    return found, layer


@pytest.mark.parametrize("platform", [AMD, ARM])
def test_an_export_of_one_platform(loaded: Ctr, platform: str, tmp_path: Path) -> None:
    made = tmp_path / "made.tar"
    loaded("images", "export", "--platform", platform, made, NAME)
    found, layer = looked(made)
    (other,) = {AMD, ARM} - {platform}
    assert (found.platforms, layer.form) == ((platform,), "oci-layout+docker-archive")
    assert layer.images == (Image(NAME, (platform,), (other,)),)
    assert [(d.code, str(d.severity)) for d in found.diagnostics] == [("SB404", "note")]
    packed = tmp_path / "packed"
    packed.write_bytes(run("zstd", "-qc", made))
    assert looked(packed)[0].platforms == (platform,)


def test_an_export_of_all_platforms(loaded: Ctr, tmp_path: Path) -> None:
    made = tmp_path / "made.tar"
    loaded("images", "export", "--all-platforms", made, NAME, OTHER)
    found, layer = looked(made)
    assert (found.platforms, found.diagnostics) == ((AMD, ARM), ())
    assert {i.name: i.platforms for i in layer.images} == {NAME: (AMD, ARM), OTHER: (AMD, ARM)}


def test_what_is_not_whole_does_not_import(loaded: Ctr, tmp_path: Path) -> None:
    """The index claims two platforms and has the blobs of one: containerd agrees which one it is."""
    loaded("images", "rm", "--sync", NAME, OTHER)
    made = image(AMD, ARM)
    made.drop(ARM)
    path = tmp_path / "claims.tar"
    path.write_bytes(made.tar())
    assert looked(path)[0].platforms == (AMD,)
    words = ("images", "import", "--no-unpack")
    assert loaded(*words, "--all-platforms", path, check=False).returncode != 0
    assert loaded(*words, "--platform", ARM, path, check=False).returncode != 0
    loaded(*words, "--platform", AMD, path)
    assert NAME.encode() in loaded("images", "list", "-q").stdout
