"""Where a distribution's files are to be had: for starter inventories, hints and editors.

The names are those of the projects' own release pages; docs/k3s.md, docs/k0s.md, docs/sealos.md and docs/talos.md show
the same lines.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, runtime_checkable
from urllib.parse import quote

from sealboot.drivers.base import Driver
from sealboot.model.arch import Arch


@dataclass(frozen=True, slots=True)
class SlotFile:
    """What belongs into a slot: where a starter looks for it, and the command that gets it for an architecture.

    `optional`: a starter has the slot as a comment. `page` is the address of all releases, or says in words where else the file comes from.
    """

    slot: str
    about: str
    pattern: str
    commands: Mapping[Arch, str] = field(default_factory=dict)
    page: str = ""
    optional: bool = False

    @property
    def by_arch(self) -> tuple[tuple[Arch, str], ...]:
        """The commands as `Slot.get` has them."""
        return tuple(self.commands.items())


@runtime_checkable
class PublishesFiles(Protocol):
    """A driver whose distribution publishes the files that its slots take."""

    def published(self, release: str | None) -> tuple[SlotFile, ...]:
        """What belongs into each slot, for this release; where a release is needed and none is named, without commands."""
        ...


@runtime_checkable
class LoneHost(Protocol):
    """A driver that has a role of its own for the only host of a cluster."""

    lone_role: ClassVar[str]


def files_of(driver: Driver, release: str | None = None) -> tuple[SlotFile, ...]:
    """What belongs into the driver's slots, as far as it tells."""
    return driver.published(release) if isinstance(driver, PublishesFiles) else ()


def get_of(files: tuple[SlotFile, ...], slot: str) -> tuple[tuple[Arch, str], ...]:
    """The commands for one slot, as `Slot.get` has them."""
    return next((file.by_arch for file in files if file.slot == slot), ())


def download(folder: str, base: str, name: str) -> str:
    """The command that gets the file `name` below the address `base` into `folder`, and fails where there is none."""
    return f"curl -fL --create-dirs -o {shlex.quote(f'{folder}/{name}')} {base}/{quote(name)}"


def release_folder(project: str, release: str) -> str:
    """The address of the files of a release on GitHub; `+` in a tag is escaped there."""
    return f"https://github.com/{project}/releases/download/{quote(release, safe='')}"


def releases_page(project: str) -> str:
    """The page that lists a project's releases on GitHub."""
    return f"https://github.com/{project}/releases"
