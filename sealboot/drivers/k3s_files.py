"""The files of a k3s release (k3s: scripts/validate-artifacts, and the release pages)."""

from __future__ import annotations

from sealboot.drivers.published import SlotFile, download, release_folder, releases_page
from sealboot.model.arch import Arch

_PROJECT = "k3s-io/k3s"
#: The program and the archive of images call 32-bit ARM differently. A release has these and no others.
_NAMES = {Arch.AMD64: ("k3s", "amd64"), Arch.ARM64: ("k3s-arm64", "arm64"), Arch.ARM: ("k3s-armhf", "arm")}
_LATEST = f"https://github.com/{_PROJECT}/releases/latest/download"


def published(release: str | None) -> tuple[SlotFile, ...]:
    """The program and the images, of the newest stable release where none is named."""
    base = release_folder(_PROJECT, release) if release else _LATEST
    page = releases_page(_PROJECT)
    return (
        SlotFile(
            "k3s",
            "the k3s program, one for each architecture",
            "binaries/k3s*",
            {arch: download("binaries", base, program) for arch, (program, _) in _NAMES.items()},
            page,
        ),
        SlotFile(
            "images",
            "archives of images for hosts without the internet, one for each architecture",
            "images/k3s-airgap-images-*",
            {
                arch: download("images", base, f"k3s-airgap-images-{word}.tar.zst")
                for arch, (_, word) in _NAMES.items()
            },
            page,
            optional=True,
        ),
        SlotFile(
            "install",
            "k3s' own install.sh, with `options: {install: script}`",
            "binaries/install.sh",
            page="curl -fL --create-dirs -o binaries/install.sh https://get.k3s.io",
            optional=True,
        ),
    )
