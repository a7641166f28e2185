"""What Talos' files and images are called, by version and architecture, and what a schematic is called after.

Sources: the release pages of Talos; the HTTP API of the image factory
(`/image/<schematic>/<version>/<file>`). The two call the same kernel
`vmlinuz-amd64` and `kernel-amd64`, and installers have had three names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, Literal

import yaml

from sealboot.model.arch import Arch

FACTORY: Final = "factory.talos.dev"
RELEASES: Final = "https://github.com/siderolabs/talos/releases/download"

#: The schematic without any customization; every factory has it.
EMPTY_SCHEMATIC: Final = "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba"

#: Architectures that Talos boots on.
ARCHES: Final = (Arch.AMD64, Arch.ARM64)

_VERSION = re.compile(r"v(\d{1,4})\.(\d{1,4})\.(\d{1,4})(?:-([0-9A-Za-z.-]{1,64}))?", re.ASCII)
_INSTALLER = re.compile(
    r"(?P<host>[^/]+)/(?:(?P<platform>[a-z]+)-)?installer(?P<secure>-secureboot)?/(?P<schematic>[0-9a-f]{64})"
    r"(?::(?P<version>[\w][\w.-]{0,127}))?(?:@sha256:[0-9a-f]{64})?"
)
_PUBLISHED = re.compile(
    r"(?P<host>[^/]+(?:/[^/]+)*)/(?:siderolabs/)?installer(?::(?P<version>[\w][\w.-]{0,127}))?(?:@sha256:[0-9a-f]{64})?"
)
#: Keys of a schematic in the order in which the factory writes them: another order is another digest.
_ORDER: Mapping[str, tuple[str, ...]] = {
    "": ("overlay", "owner", "customization"),
    "overlay": ("image", "name", "options"),
    "customization": ("extraKernelArgs", "meta", "systemExtensions", "secureboot", "bootloader"),
}
#: What may be a number, a date, a truth value or nothing to YAML.
_PLAIN = re.compile(r"[\w.:+~-]{1,64}", re.ASCII)

Asset = Literal["kernel", "initramfs", "cmdline", "uki", "iso", "raw", "talosctl"]


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """A release of Talos; one with a pre-release part comes before the one without."""

    major: int
    minor: int
    patch: int
    final: bool = True
    pre: str = ""

    @classmethod
    def parse(cls, text: str) -> Version | None:
        """`v1.10.0`, `v1.14.0-alpha.1`; `None` for anything else."""
        match = _VERSION.fullmatch(text)
        if match is None:
            return None
        major, minor, patch, pre = match.groups()
        return cls(int(major), int(minor), int(patch), pre is None, pre or "")

    def __str__(self) -> str:
        return f"v{self.major}.{self.minor}.{self.patch}" + (f"-{self.pre}" if self.pre else "")

    @property
    def line(self) -> tuple[int, int]:
        """Major and minor: what decides names; pre-releases of a line have its names."""
        return (self.major, self.minor)


def release_asset(what: Asset, arch: Arch) -> str | None:
    """The name of a file of a release on GitHub; `None` for what releases do not have (the command line)."""
    names: dict[str, str] = {
        "kernel": f"vmlinuz-{arch}",
        "initramfs": f"initramfs-{arch}.xz",
        "uki": f"metal-{arch}-uki.efi",
        "iso": f"metal-{arch}.iso",
        "raw": f"metal-{arch}.raw.zst",
        "talosctl": f"talosctl-linux-{'armv7' if arch is Arch.ARM else arch}",
    }
    return names.get(what)


def release_url(what: Asset, arch: Arch, version: Version) -> str | None:
    """Where a release on GitHub has the file."""
    name = release_asset(what, arch)
    return f"{RELEASES}/{version}/{name}" if name else None


def factory_asset(what: Asset, arch: Arch, *, secureboot: bool = False) -> str | None:
    """The name that the image factory has for the same; `None` for what it does not make (`talosctl`)."""
    signed = "-secureboot" if secureboot else ""
    names: dict[str, str] = {
        "kernel": f"kernel-{arch}",
        "initramfs": f"initramfs-{arch}.xz",
        "cmdline": f"cmdline-metal-{arch}{signed}",
        "uki": f"metal-{arch}{signed}-uki.efi",
        "iso": f"metal-{arch}{signed}.iso",
        "raw": f"metal-{arch}{signed}.raw.zst",
    }
    return names.get(what)


def factory_url(
    what: Asset,
    arch: Arch,
    version: Version,
    schematic: str = EMPTY_SCHEMATIC,
    *,
    secureboot: bool = False,
    host: str = FACTORY,
) -> str | None:
    """Where the image factory makes the file for this schematic."""
    name = factory_asset(what, arch, secureboot=secureboot)
    return f"https://{host}/image/{schematic}/{version}/{name}" if name else None


def installer(
    version: Version,
    schematic: str = EMPTY_SCHEMATIC,
    *,
    platform: str = "metal",
    secureboot: bool = False,
    host: str = FACTORY,
) -> str:
    """The installer image of the factory for a schematic: one name before Talos 1.10, another since."""
    signed = "-secureboot" if secureboot else ""
    kind = f"{platform}-installer" if version.line >= (1, 10) else "installer"
    return f"{host}/{kind}{signed}/{schematic}:{version}"


def default_installer(version: Version) -> str:
    """What a machine configuration without an `install.image` means: the factory's since Talos 1.14."""
    if version.line >= (1, 14):
        return installer(version)
    return f"ghcr.io/siderolabs/installer:{version}"


@dataclass(frozen=True, slots=True)
class Installer:
    """An installer image taken apart. `schematic` is empty for one that no factory made."""

    host: str
    version: str
    schematic: str = ""
    platform: str = ""
    secureboot: bool = False


def parse_installer(reference: str) -> Installer | None:
    """Take a reference of an installer image apart; `None` for any other image, a mirror's own name say."""
    made = _INSTALLER.fullmatch(reference)
    if made is not None:
        return Installer(
            made["host"],
            made["version"] or "",
            made["schematic"],
            made["platform"] or "",
            bool(made["secure"]),
        )
    published = _PUBLISHED.fullmatch(reference)
    if published is not None:
        return Installer(published["host"], published["version"] or "")
    return None


def schematic_id(schematic: Mapping[str, Any]) -> str:
    """The id that a factory gives to a schematic: the SHA-256 of it, written down by the factory's rules."""
    return sha256(canonical(schematic).encode()).hexdigest()


def canonical(schematic: Mapping[str, Any]) -> str:
    """The schematic as the factory writes it down: its order of keys, nothing that is empty.

    `customization` alone stands there even when nothing is in it. The factory
    writes with Go's yaml.v3: four spaces for each level, those of a list's
    items included.
    """
    kept = _kept(schematic, "")
    kept.setdefault("customization", {})
    return "".join(_lines(kept, 0))


def _keys(tree: Mapping[str, Any], place: str) -> list[str]:
    known = _ORDER.get(place, ())
    return [k for k in known if k in tree] + sorted(k for k in tree if k not in known)


def _kept(tree: Mapping[str, Any], place: str) -> dict[str, Any]:
    made = {k: _kept(tree[k], k) if isinstance(tree[k], Mapping) else tree[k] for k in _keys(tree, place)}
    return {k: v for k, v in made.items() if v not in ({}, [], (), "", None, False)}


def _lines(tree: Mapping[str, Any], depth: int) -> Iterator[str]:
    space = " " * 4 * depth
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield f"{space}{key}:\n"
            yield from _lines(value, depth + 1)
        elif isinstance(value, list | tuple):
            yield f"{space}{key}:\n"
            for item in value:
                yield from _item(item, depth + 1)
        else:
            yield f"{space}{key}: {_scalar(value)}\n"


def _item(item: object, depth: int) -> Iterator[str]:
    space = " " * 4 * depth
    if not isinstance(item, Mapping):
        yield f"{space}- {_scalar(item)}\n"
        return
    for number, (key, value) in enumerate(item.items()):
        yield f"{space}{'  ' if number else '- '}{key}: {_scalar(value)}\n"


def _scalar(value: object) -> str:
    """A text that would be read as something else stands in double quotes, one with marks of YAML in single ones."""
    if isinstance(value, Mapping):
        return "{}"
    if not isinstance(value, str):
        return str(value).lower() if isinstance(value, bool) else str(value)
    if not isinstance(yaml.safe_load(value) if _PLAIN.fullmatch(value) else value, str):
        return f'"{value}"'
    text: str = yaml.safe_dump(value, width=1 << 30, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")
