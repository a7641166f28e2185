"""The files of a k0s release (the release pages; bundles and lists of images have had two names)."""

from __future__ import annotations

import re

from sealboot.drivers.published import SlotFile, download, release_folder, releases_page
from sealboot.model.arch import Arch

_PROJECT = "k0sproject/k0s"
_ARCHES = (Arch.AMD64, Arch.ARM64, Arch.ARM)
_LINE = re.compile(r"v(\d{1,4})\.(\d{1,4})\.", re.ASCII)
#: Since this line of releases a bundle's name says `linux` and ends in `.tar`.
_RENAMED = (1, 36)


def published(release: str | None) -> tuple[SlotFile, ...]:
    """The program and the bundle of images; every name of a file has the release in it."""
    match = _LINE.match(release or "")
    programs: dict[Arch, str] = {}
    bundles: dict[Arch, str] = {}
    lists: dict[Arch, str] = {}
    if release and match:
        base = release_folder(_PROJECT, release)
        new = (int(match[1]), int(match[2])) >= _RENAMED
        for arch in _ARCHES:
            bundle = f"linux-{arch}.tar" if new else str(arch)
            programs[arch] = download("binaries", base, f"k0s-{release}-{arch}")
            lists[arch] = download(
                "images", base, f"airgap-images-linux-{arch}.txt" if new else "airgap-images-list.txt"
            )
            bundles[arch] = download("images", base, f"k0s-airgap-bundle-{release}-{bundle}")
    page = releases_page(_PROJECT)
    return (
        SlotFile("k0s", "the k0s program, one for each architecture", "binaries/k0s*", programs, page),
        SlotFile(
            "images",
            "bundles of images for hosts without the internet, one for each architecture",
            "images/k0s-airgap-bundle-*",
            bundles,
            page,
            optional=True,
        ),
        SlotFile(
            "image_list",
            "the release's own list of images (airgap-images-*.txt)",
            "images/airgap-images-*.txt",
            lists,
            page,
            optional=True,
        ),
    )
