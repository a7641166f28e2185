"""Where root filesystems for Sealos and its sealctl are to be had.

Sources: the image labring/kubernetes on Docker Hub, whose tags are the releases of Kubernetes; the release
pages of Sealos, whose archive `sealos_VERSION_linux_ARCH.tar.gz` has sealctl in it (.goreleaser.yml there).
"""

from __future__ import annotations

from urllib.parse import quote

from sealboot.drivers.published import SlotFile, releases_page
from sealboot.model.arch import Arch

_ARCHES = (Arch.AMD64, Arch.ARM64)
_IMAGE = "docker.io/labring/kubernetes"


def published(release: str | None) -> tuple[SlotFile, ...]:
    """The root filesystem of this release of Kubernetes for each architecture; sealctl, which is in it, on its own."""
    trees = {
        arch: f"mkdir -p rootfs && skopeo --override-os linux --override-arch {arch} copy"
        f" docker://{_IMAGE}:{quote(release, safe='')} oci-archive:rootfs/kubernetes-{arch}.tar"
        for arch in _ARCHES
        if release
    }
    return (
        SlotFile(
            "rootfs",
            "the root filesystem of the cluster, one for each architecture",
            "rootfs/*",
            trees,
            "https://hub.docker.com/r/labring/kubernetes/tags",
        ),
        SlotFile(
            "sealctl",
            "sealctl alone, where there is no rootfs",
            "binaries/sealctl*",
            page=f"in sealos_VERSION_linux_ARCH.tar.gz of {releases_page('labring/sealos')}",
            optional=True,
        ),
    )
