"""The schema beside an inventory: made anew when it is ours, left alone when it is not."""

from __future__ import annotations

import json
import os
from pathlib import Path

from sealboot.inventory.schema import TITLE
from sealboot.workflow.newfile import NewFile

_MAXIMUM = 4 << 20


def refusal(path: Path) -> str:
    """Why the schema must not be written there, in a sentence; empty when it may."""
    if os.path.lexists(path) and not _ours(path):
        return f"{path} is there and is no schema of sealboot's: it was left alone."
    return ""


def write_schema(path: Path, text: str) -> None:
    """Write it, in place of an older one. Raises `OSError`."""
    with NewFile(path) as new:
        new.write(iter([text.encode()]))
        new.settle(0o644)
        new.publish(force=True)


def _ours(path: Path) -> bool:
    """Whether it is a regular file with a schema that sealboot wrote."""
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > _MAXIMUM:
            return False
        tree = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(tree, dict) and tree.get("title") == TITLE
