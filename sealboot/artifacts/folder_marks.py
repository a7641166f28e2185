"""Folders that are one artifact, by what lies in them: a Sealos root filesystem, an OCI image layout."""

from __future__ import annotations

import os
from pathlib import Path


def is_sealos_root(path: Path) -> bool:
    """Whether a folder has the parts of a Sealos root filesystem: its control program, or scripts and runtime."""
    if os.path.isfile(path / "opt" / "sealctl"):  # noqa: PTH113 (like Path.is_file, which may raise)
        return True
    return all(os.path.isdir(path / part) for part in ("scripts", "cri"))  # noqa: PTH112 (same reason)


def is_oci_layout(path: Path) -> bool:
    """Whether a folder is marked as an OCI image layout, and has an index or blobs beside the mark."""
    mark = path / "oci-layout"
    if not os.path.isfile(mark) or os.path.islink(mark):  # noqa: PTH113, PTH114 (same reason)
        return False
    return any(os.path.lexists(path / part) for part in ("index.json", "blobs"))


def is_whole_folder(path: Path) -> bool:
    """Whether the folder is one artifact; any other is the files in it."""
    return is_sealos_root(path) or is_oci_layout(path)
