"""What a self-extracting program carries: the programs in it, and whether it will find them."""

from __future__ import annotations

from dataclasses import dataclass

from sealboot.model.arch import Arch
from sealboot.model.artifact import Other


@dataclass(frozen=True, slots=True)
class Component:
    """One file in a payload.

    `name` is empty where the layout has none; `at` is where its compressed
    bytes begin in the file (in the inflated archive for `tar.zst`); `arch` is
    `None` for what is no ELF program of a known machine.
    """

    name: str
    at: int
    arch: Arch | None = None

    @property
    def shown(self) -> str:
        """Its name, or where it is."""
        return self.name or f"the component at {self.at}"


@dataclass(frozen=True, slots=True)
class Payload(Other):
    """A payload as a layer: `name` is `payload`, `facts` say the rest as text.

    `format` is `gzip chain`, `zip` or `tar.zst`; it begins at `offset`.
    `components` are those that were looked at; `deep` says that every byte
    was inflated and its checksums compared.
    """

    format: str = ""
    offset: int = 0
    components: tuple[Component, ...] = ()
    deep: bool = False


def payload(
    layout: str, offset: int, length: int, components: tuple[Component, ...], *, deep: bool, **more: str
) -> Payload:
    """A `Payload` with the facts that people want to see; `more` are further ones, shown when not empty."""
    arches = sorted({c.arch.both_names for c in components if c.arch})
    named = [c.name for c in components if c.name]
    facts = {
        "format": layout,
        "offset": str(offset),
        "bytes": str(length),
        "files": str(len(components)),
        "programs": ", ".join(arches),
        "names": ", ".join(named),
        "checked": "every byte" if deep else "where it starts, and the first bytes of each file",
        **more,
    }
    return Payload("payload", {k: v for k, v in facts.items() if v}, layout, offset, components, deep)
