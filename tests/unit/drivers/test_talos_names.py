"""Names of files, installers and schematics, as releases and factories have them."""

from __future__ import annotations

from typing import Any

import pytest

from sealboot.drivers.talos_names import (
    EMPTY_SCHEMATIC,
    Asset,
    Installer,
    Version,
    canonical,
    default_installer,
    factory_url,
    installer,
    parse_installer,
    release_asset,
    release_url,
    schematic_id,
)
from sealboot.model.arch import Arch

AMD64, ARM64 = Arch.AMD64, Arch.ARM64


def version(text: str) -> Version:
    made = Version.parse(text)
    assert made is not None
    return made


V114 = version("v1.14.0")


@pytest.mark.parametrize(
    ("schematic", "known"),
    [
        ({}, EMPTY_SCHEMATIC),
        ({"customization": {}}, EMPTY_SCHEMATIC),
        ({"customization": {"extraKernelArgs": []}}, EMPTY_SCHEMATIC),
        (
            {"customization": {"systemExtensions": {}, "extraKernelArgs": ["noapic", "nolapic"]}},
            "9cba8e32753f91a16c1837ab8abf356af021706ef284aef07380780177d9a06c",
        ),
        (
            {"customization": {"meta": [{"key": 10, "value": "foo"}], "extraKernelArgs": []}},
            "d308a2a5ee2277bed5fbaa104fcbc8d59122abfa737df987a95b4ca763459a7f",
        ),
        (
            {"overlay": {"name": "rpi_generic", "image": "siderolabs/sbc-raspberrypi"}},
            "ee21ef4a5ef808a9b7484cc0dda0f25075021691c8c09a276591eedb638ea1f9",
        ),
        (
            {"customization": {"secureboot": {"includeWellKnownCertificates": True}}},
            "fa8e05f142a851d3ee568eb0a8e5841eaf6b0ebc8df9a63df16ac5ed2c04f3e6",
        ),
    ],
)
def test_the_ids_that_the_image_factory_gives(schematic: dict[str, Any], known: str) -> None:
    """The factory's own test vectors, and the id that every factory has."""
    assert schematic_id(schematic) == known


def test_a_schematic_as_the_factory_writes_it() -> None:
    tree = {"customization": {"extraKernelArgs": ["a: b", "true", "791", "-x", "console=ttyS0,115200"]}}
    assert canonical(tree) == (
        "customization:\n    extraKernelArgs:\n        - 'a: b'\n"
        '        - "true"\n        - "791"\n        - -x\n        - console=ttyS0,115200\n'
    )


@pytest.mark.parametrize(
    ("what", "release", "factory"),
    [
        ("kernel", "vmlinuz-arm64", "kernel-arm64"),
        ("initramfs", "initramfs-arm64.xz", "initramfs-arm64.xz"),
        ("cmdline", None, "cmdline-metal-arm64"),
        ("uki", "metal-arm64-uki.efi", "metal-arm64-uki.efi"),
        ("iso", "metal-arm64.iso", "metal-arm64.iso"),
        ("raw", "metal-arm64.raw.zst", "metal-arm64.raw.zst"),
        ("talosctl", "talosctl-linux-arm64", None),
    ],
)
def test_releases_and_factories_call_the_same_file_differently(
    what: Asset, release: str | None, factory: str | None
) -> None:
    assert release_asset(what, ARM64) == release
    found = release_url(what, ARM64, V114)
    made = factory_url(what, ARM64, V114)
    assert found == (release and f"https://github.com/siderolabs/talos/releases/download/v1.14.0/{release}")
    assert made == (factory and f"https://factory.talos.dev/image/{EMPTY_SCHEMATIC}/v1.14.0/{factory}")


def test_signed_images_have_names_of_their_own() -> None:
    assert str(factory_url("uki", AMD64, V114, secureboot=True)).endswith("/metal-amd64-secureboot-uki.efi")
    assert str(factory_url("cmdline", AMD64, V114, secureboot=True)).endswith(
        "/cmdline-metal-amd64-secureboot"
    )
    assert installer(V114, secureboot=True).startswith("factory.talos.dev/metal-installer-secureboot/")


def test_talosctl_for_a_32_bit_arm_is_called_armv7() -> None:
    assert release_asset("talosctl", Arch.ARM) == "talosctl-linux-armv7"


@pytest.mark.parametrize(
    ("release", "name"),
    [
        ("v1.9.5", f"factory.talos.dev/installer/{EMPTY_SCHEMATIC}:v1.9.5"),
        ("v1.10.0-alpha.1", f"factory.talos.dev/metal-installer/{EMPTY_SCHEMATIC}:v1.10.0-alpha.1"),
        ("v1.10.0", f"factory.talos.dev/metal-installer/{EMPTY_SCHEMATIC}:v1.10.0"),
    ],
)
def test_the_installer_was_renamed_in_1_10(release: str, name: str) -> None:
    assert installer(version(release)) == name


@pytest.mark.parametrize(
    ("release", "name"),
    [
        ("v1.13.4", "ghcr.io/siderolabs/installer:v1.13.4"),
        ("v1.14.0", f"factory.talos.dev/metal-installer/{EMPTY_SCHEMATIC}:v1.14.0"),
    ],
)
def test_the_default_moved_to_the_factory_in_1_14(release: str, name: str) -> None:
    assert default_installer(version(release)) == name


@pytest.mark.parametrize(
    ("reference", "made"),
    [
        (installer(V114), Installer("factory.talos.dev", "v1.14.0", EMPTY_SCHEMATIC, "metal")),
        (
            f"f.lan:5000/installer-secureboot/{'a' * 64}:v1.9.0",
            Installer("f.lan:5000", "v1.9.0", "a" * 64, "", True),
        ),
        ("ghcr.io/siderolabs/installer:v1.9.1", Installer("ghcr.io/siderolabs", "v1.9.1")),
        (
            f"{installer(V114)}@sha256:{'b' * 64}",
            Installer("factory.talos.dev", "v1.14.0", EMPTY_SCHEMATIC, "metal"),
        ),
        ("registry.lan/own/thing:1", None),
        ("", None),
    ],
)
def test_references_of_installers(reference: str, made: Installer | None) -> None:
    assert parse_installer(reference) == made


@pytest.mark.parametrize("text", ["", "1.14.0", "v1.14", "v1.14.0+x", "v1.14.0 ", "v1.14.0\n", "latest"])
def test_what_is_no_version(text: str) -> None:
    assert Version.parse(text) is None


def test_versions_in_order() -> None:
    texts = ["v1.9.0", "v1.10.0-alpha.1", "v1.10.0", "v1.10.1"]
    assert sorted(map(version, reversed(texts))) == list(map(version, texts))
    assert [str(version(t)) for t in texts] == texts
