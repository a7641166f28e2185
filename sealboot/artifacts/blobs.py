"""What an image archive's walk keeps: a digest for every file, and the small JSON documents among them."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sealboot.artifacts.hasher import Hasher
from sealboot.artifacts.sniff import HEAD, sniff
from sealboot.artifacts.tarwalk import Member
from sealboot.model.artifact import Kind

#: A larger manifest, index or configuration is refused; registries take 4 MiB at most.
MAX_DOCUMENT = 4 << 20
#: All documents of one archive; those of 300 images take some 10 MiB.
MAX_DOCUMENTS = 48 << 20
#: Files of one image archive. An image has about ten.
MAX_FILES = 20_000

#: The files by which an image archive is known.
MARKS = ("manifest.json", "index.json", "oci-layout")

_BLOB = re.compile(r"blobs/(sha256|sha512)/([0-9a-f]{64}|[0-9a-f]{128})")
_DIGEST = re.compile(r"(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})")
_MAX_HOPS = 4


@dataclass(frozen=True, slots=True)
class File:
    """One regular member: its size, its digest as containers write it, and what it is by its first bytes."""

    size: int
    digest: str
    kind: Kind
    document: bytes | None = None


class Store:
    """Filled while an archive passes, asked when it has. Names are cleaned member names."""

    def __init__(self, hasher: Hasher) -> None:
        self._hasher = hasher
        self._files: dict[str, File] = {}
        self._links: dict[str, str] = {}
        self._kept = 0
        self.overflowing = False
        self.twice: list[str] = []

    @property
    def marked(self) -> bool:
        """Whether a file is there by which image archives are known."""
        return any(mark in self._files for mark in MARKS)

    def record(self, member: Member, head: bytes) -> Callable[[bytes], None]:
        """Begin a regular member; give every piece of its content to what is returned, then `finish`."""
        self._member = member
        self._head = head
        long = member.name.startswith("blobs/sha512/")  # as much as a name may ask for
        self._digest = self._hasher.digest("sha512" if long else "sha256")
        small = member.size <= MAX_DOCUMENT and head.lstrip()[:1] in {b"{", b"["}
        self._parts: list[bytes] | None = None
        if small and self._kept + member.size <= MAX_DOCUMENTS:
            self._parts = []
            self._kept += member.size
            return self._keep
        return self._digest.update

    def _keep(self, piece: bytes) -> None:
        self._digest.update(piece)
        if self._parts is not None:
            self._parts.append(piece)

    def finish(self) -> None:
        """The member's content is complete."""
        name = self._member.name
        document = b"".join(self._parts) if self._parts is not None else None
        digest = f"{self._digest.name}:{self._digest.hexdigest()}"
        file = File(self._member.size, digest, sniff(self._head[:HEAD]), document)
        before = self._files.get(name)
        again = before is not None and (name in MARKS or before.digest != digest)
        if again or self._links.pop(name, None) is not None:
            self.twice.append(name)
        self._add(name, file)

    def _add(self, name: str, file: File) -> None:
        if len(self._files) >= MAX_FILES and name not in self._files and name not in MARKS:
            self.overflowing = True
            return
        self._files[name] = file

    def link(self, member: Member) -> None:
        """Remember where a symbolic link leads: older archives name equal layers so."""
        if len(self._links) >= MAX_FILES:
            self.overflowing = True
            return
        target = posixpath.normpath(posixpath.join(posixpath.dirname(member.name), member.target))
        if member.name in self._files or self._links.get(member.name, target) != target:
            self.twice.append(member.name)
        self._links[member.name] = target

    def file(self, name: str) -> File | None:
        """The regular file of this name; a link by that name is none, for importers neither."""
        return self._files.get(posixpath.normpath(name.lstrip("/") or "."))

    def layer(self, name: str) -> File | None:
        """The file of this name, through at most a few links inside the archive."""
        cleaned = posixpath.normpath(name.lstrip("/") or ".")
        for _ in range(_MAX_HOPS):
            if cleaned not in self._links:
                break
            cleaned = self._links[cleaned]
        return self._files.get(cleaned)

    def blob(self, digest: object, size: object = None) -> File | None:
        """The blob of this digest, if its bytes have it (and the size a descriptor gives)."""
        if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            return None
        file = self.file(f"blobs/{digest.replace(':', '/')}")
        if file is None or file.digest != digest or (size is not None and size != file.size):
            return None
        return file

    def damaged(self) -> tuple[str, ...]:
        """The blobs whose bytes do not have the digest that is their name."""
        named = ((name, _BLOB.fullmatch(name), file) for name, file in self._files.items())
        return tuple(
            sorted(f"{m[1]}:{m[2]}" for _, m, file in named if m and file.digest != f"{m[1]}:{m[2]}")
        )


def document(file: File | None) -> Any:
    """The JSON in a file; `None` for no JSON (what JSON calls null is none either)."""
    if file is None or file.document is None:
        return None
    try:
        return json.loads(file.document)
    except (ValueError, RecursionError):  # not JSON, not UTF-8, a number of thousands of digits; too deep
        return None
