"""A file of the controller that a script on a host reads as its standard input."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Feed:
    """What a script reads; nothing of it is stored on the host but by the script itself.

    `source` is the file and `sha256` its digest, as for an upload. With
    `unpack` it is decompressed on the controller, and `size` is how many bytes
    come out of it: those are what is sent. The script must end in `exec` of
    the program that reads, because that is killed when what arrived is not
    what was sent: a connection that breaks ends the input like a true end, and
    the program must never take the one for the other. It gets no secrets.
    """

    source: str
    sha256: str
    size: int
    unpack: bool = False
