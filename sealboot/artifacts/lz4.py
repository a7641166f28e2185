"""lz4 files: named, and told apart by what they begin with; never inflated.

The standard library has no lz4, and an archive of which nothing was read must
not pass for one that was. Formats: lz4's "Frame format" 1.6 and "Block format";
the legacy frame is Linux's own.
"""

from __future__ import annotations

from sealboot.artifacts.reader import Source
from sealboot.artifacts.sniff import HEAD, sniff
from sealboot.artifacts.streams import lz4_head
from sealboot.model.artifact import Kind, Other
from sealboot.model.diagnostic import Diagnostic, Severity

_LEGACY = b"\x02\x21\x4c\x18"
_PEEKED = 1 << 16
_STORED = 1 << 31


def look_at(source: Source, label: str) -> tuple[Other, tuple[Diagnostic, ...]]:
    """The layer of an lz4 file; SB404 as a warning where a tar archive is in it, which nobody looked into."""
    frame = source.at(0, _PEEKED)
    inside = sniff(_head(frame, HEAD))
    form = "legacy frame" if frame.startswith(_LEGACY) else "frame"
    if inside is not Kind.TAR:
        return Other("lz4", {"format": form}), ()
    facts = {"format": form, "holds": "a tar archive, not looked into"}
    if form == "frame":
        facts["read by"] = "k3s, by a name that ends in .tar.lz4; neither docker, podman nor ctr"
    return Other("lz4", facts), (_unread(label),)


def _unread(label: str) -> Diagnostic:
    return Diagnostic(
        code="SB404",
        summary=f"{label}: an lz4 archive is not looked into: its images and platforms are unknown",
        severity=Severity.WARNING,
        artifact=label,
        hints=("compress it again, which k3s reads as well: `lz4 -dc FILE | zstd -o images.tar.zst`",),
    )


def _head(frame: bytes, length: int) -> bytes:
    """The first bytes of what was compressed, or as many as the first block's beginning gives."""
    if frame.startswith(_LEGACY):
        return lz4_head(frame[8:], length)
    flags = frame[4:5]
    if not flags or flags[0] >> 6 != 1:  # the version
        return b""
    # Behind magic, FLG and BD: content size and dictionary where FLG says so, and a checksum byte.
    at = 6 + (8 if flags[0] & 8 else 0) + (4 if flags[0] & 1 else 0) + 1
    size = int.from_bytes(frame[at : at + 4], "little")
    block = frame[at + 4 : at + 4 + (size & ~_STORED)]
    return block[:length] if size & _STORED else lz4_head(block, length)
