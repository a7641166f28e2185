"""Archives exported by containerd itself: the index of all platforms, the blobs of one."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from image_kit import NAME, image

from sealboot.artifacts import inspect
from sealboot.model.archive import Image, ImageArchive

PLATFORMS = ("linux/amd64", "linux/arm64")

pytestmark = pytest.mark.skipif(
    not (shutil.which("containerd") and shutil.which("ctr")) or os.geteuid() != 0,
    reason="containerd is not installed, or this is not root",
)


@pytest.fixture
def ctr() -> Iterator[list[str]]:
    """The beginning of a `ctr` command for a containerd of this test alone; its socket's path must be short."""
    with tempfile.TemporaryDirectory(prefix="ctr") as folder:
        root = Path(folder)
        config = root / "config.toml"
        config.write_text(
            f'version = 2\nroot = "{root}/root"\nstate = "{root}/state"\n'
            f'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\n  address = "{root}/sock"\n'
        )
        with (root / "log").open("wb") as log:
            daemon = subprocess.Popen(["containerd", "-c", str(config)], stdout=log, stderr=log)
        command = ["ctr", "--address", f"{root}/sock"]
        deadline = time.monotonic() + 60
        try:
            while subprocess.run(
                [*command, "version"], capture_output=True, check=False, timeout=30
            ).returncode:
                assert daemon.poll() is None, (root / "log").read_text()
                assert time.monotonic() < deadline, (root / "log").read_text()
            yield command
        finally:
            daemon.terminate()
            daemon.wait(30)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_archives_that_containerd_exports(ctr: list[str], platform: str, tmp_path: Path) -> None:
    source, made = tmp_path / "kit.tar", tmp_path / "made.tar"
    source.write_bytes(image(*PLATFORMS).tar())
    for words in (
        ["import", "--all-platforms", "--no-unpack", str(source)],
        ["export", "--platform", platform, str(made), NAME],
    ):
        subprocess.run([*ctr, "images", *words], check=True, timeout=60, capture_output=True)
    found = inspect(made)
    (other,) = set(PLATFORMS) - {platform}
    (layer,) = found.layers
    assert isinstance(layer, ImageArchive)
    assert (found.platforms, layer.form) == ((platform,), "oci-layout+docker-archive")
    assert layer.images == (Image(NAME, (platform,), (other,)),)
    assert [(d.code, str(d.severity)) for d in found.diagnostics] == [("SB404", "note")]
