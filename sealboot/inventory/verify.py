"""The `verify` setting: from its part of the model to the value, and what is wrong with it as a whole."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

from sealboot.inventory.schema import InventoryPart
from sealboot.inventory.tree import Entry, Map, places
from sealboot.model.diagnostic import Diagnostic, Location
from sealboot.model.verification import NAMESPACE, Verification

_KEYS = ("minisign_key", "allowed_signers")


def verification(part: InventoryPart, root: Map) -> Verification | None:
    """What was asked for; `None` where the inventory says nothing about it."""
    written = _written(root)
    if written is None:
        return None
    said: Any = part.verify
    return Verification(
        checksums=said.checksums,
        sha256=MappingProxyType(dict(said.sha256)),
        minisign_key=said.minisign_key,
        allowed_signers=said.allowed_signers,
        namespace=said.namespace or NAMESPACE,
        unlisted=said.unlisted or "refuse",
        origins=MappingProxyType({"": written.at, **dict(places(written.node, ""))}),
    )


def verify_findings(root: Map) -> Iterator[Diagnostic]:
    """SB008 for settings that would verify nothing, SB004 for one file with two digests."""
    written = _written(root)
    if written is None:
        return
    entries = written.node.entries if isinstance(written.node, Map) else {}
    if not {"checksums", "sha256"} & set(entries):
        yield _missing("checksums", written.at, "name the checksum file: `checksums: binaries/sha256sums`")
    elif "checksums" not in entries:
        for key in (k for k in _KEYS if k in entries):
            hint = f"name the files that `{key}` is to have signed, or delete `{key}`"
            yield _missing("checksums", entries[key].at, hint)
    if "namespace" in entries and "allowed_signers" not in entries:
        hint = "only SSH signatures have a namespace: name the keys, or delete `namespace`"
        yield _missing("allowed_signers", entries["namespace"].at, hint)
    yield from _twice(entries.get("sha256"))


def _missing(key: str, at: Location, hint: str) -> Diagnostic:
    return Diagnostic("SB008", f"verify.{key} is missing", at=at, hints=(hint,))


def _twice(pins: Entry | None) -> Iterator[Diagnostic]:
    """`a/b` and `./a/b` are one file."""
    seen: dict[str, Location] = {}
    for path, entry in pins.node.entries.items() if pins and isinstance(pins.node, Map) else ():
        first = seen.setdefault(posixpath.normpath(path), entry.at)
        if first is not entry.at:
            yield Diagnostic(
                "SB004",
                f"`{path}` is a file that has a digest already",
                at=entry.at,
                evidence=(("first", str(first)), ("again", str(entry.at))),
                hints=("keep one of the two; nothing is overwritten silently",),
            )


def _written(root: Map) -> Entry | None:
    return root.entries.get("verify")
