"""What the first bytes of a file say, and nothing else: the answer to "what is this?" for whole folders."""

from __future__ import annotations

from dataclasses import dataclass

from sealboot.model.arch import Arch, Endian
from sealboot.model.artifact import Kind


@dataclass(frozen=True, slots=True)
class Brief:
    """One file. The other fields are set for ELF alone; `trouble` says why there is nothing to tell.

    `machine` is the raw `e_machine`; `arch` is `None` when no supported kernel
    runs that machine with this class and byte order.
    """

    path: str
    kind: Kind
    bits: int | None = None
    endian: Endian | None = None
    machine: int | None = None
    arch: Arch | None = None
    trouble: str = ""
