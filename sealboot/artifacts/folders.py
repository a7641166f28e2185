"""A folder that is one artifact, read by what it is."""

from __future__ import annotations

from pathlib import Path

from sealboot.artifacts.folder_marks import is_oci_layout, is_sealos_root
from sealboot.artifacts.layout import read_layout
from sealboot.artifacts.rootfs import read_folder
from sealboot.model.artifact import Artifact


def read_whole_folder(path: Path, label: str) -> Artifact | None:
    """The folder as one artifact; `None` for one that is its files."""
    if is_sealos_root(path):
        return read_folder(path, label)
    return read_layout(path, label) if is_oci_layout(path) else None
