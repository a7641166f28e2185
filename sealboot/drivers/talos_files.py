"""The files of a Talos release, and those that `talosctl gen config` makes."""

from __future__ import annotations

from sealboot.drivers.published import SlotFile, download, releases_page
from sealboot.drivers.talos_names import ARCHES, RELEASES, Asset, Version, release_asset
from sealboot.model.arch import Arch

_PAGE = releases_page("siderolabs/talos")
_GEN = "made by: talosctl gen config NAME https://FIRST:6443 --install-disk /dev/DISK --output talos"


def published(release: str | None) -> tuple[SlotFile, ...]:
    """What machines boot, the controller's talosctl, and the cluster's own configuration."""
    version = Version.parse(release or "")
    return (
        SlotFile(
            "boot",
            "unified kernel images, one for each architecture; or Talos' kernel, with `initramfs`",
            "binaries/metal-*-uki.efi",
            _commands("uki", version),
            _PAGE,
        ),
        SlotFile("controlplane", "the control plane's machine configuration", "talos/controlplane.yaml", page=_GEN),
        SlotFile("worker", "the workers' machine configuration", "talos/worker.yaml", page=_GEN),
        SlotFile("talosconfig", "credentials of the cluster's administrator", "talos/talosconfig", page=_GEN),
        SlotFile(
            "talosctl",
            "talosctl for this machine; without it the one in PATH",
            "binaries/talosctl-*",
            _commands("talosctl", version),
            _PAGE,
            optional=True,
        ),
        SlotFile(
            "image",
            "raw disk images, where a disk is overwritten (`options: {route: disk}`)",
            "binaries/metal-*.raw*",
            _commands("raw", version),
            _PAGE,
            optional=True,
        ),
        SlotFile("initramfs", "the initrd beside a kernel", "binaries/initramfs-*.xz", page=_PAGE, optional=True),
    )  # fmt: skip


def _commands(what: Asset, version: Version | None) -> dict[Arch, str]:
    if version is None:
        return {}
    named = {arch: release_asset(what, arch) for arch in ARCHES}
    return {arch: download("binaries", f"{RELEASES}/{version}", name) for arch, name in named.items() if name}
