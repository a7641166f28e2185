"""Folders that are one artifact: a Sealos root filesystem, an OCI image layout. Any other is its files."""

from __future__ import annotations

from pathlib import Path

from sealboot.artifacts.layout import is_oci_layout, read_layout
from sealboot.artifacts.rootfs import is_sealos_root, read_folder
from sealboot.model.artifact import Artifact


def is_whole_folder(path: Path) -> bool:
    """Whether the folder is one artifact."""
    return is_sealos_root(path) or is_oci_layout(path)


def read_whole_folder(path: Path, label: str) -> Artifact | None:
    """The folder as one artifact; `None` for one that is its files."""
    if is_sealos_root(path):
        return read_folder(path, label)
    return read_layout(path, label) if is_oci_layout(path) else None
