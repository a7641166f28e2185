"""Files that are made here and kept on the controller: in a folder where nobody else can put others under our names."""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

from sealboot.model.diagnostic import Diagnostic
from sealboot.model.tree import Packed

#: What is made is made anew by each run that needs it.
_KEPT_SECONDS = 30 * 86400.0
#: How a file is called while it is written.
NEW = ".new-"


def kept_folder(name: str) -> Path:
    """A folder by the XDG base directory specification, which may be deleted at any time.

    A relative `XDG_CACHE_HOME` counts as unset, as the specification says.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not base.startswith("/"):
        base = str(Path("~/.cache").expanduser())
    return Path(base) / "sealboot" / name


def open_to_others(folder: Path) -> Path | None:
    """Make the folder; the part of it in which somebody else could put another file under our names, if any.

    A link counts as its owner's: in a folder for everybody, anyone may have put it there.
    """
    for part in (folder.parent, folder):
        part.mkdir(parents=True, exist_ok=True, mode=0o700)
        owners, info = {part.lstat().st_uid, part.stat().st_uid}, part.stat()
        if owners != {os.geteuid()} or info.st_mode & 0o022:
            return part
    return None


def not_ours(label: str, folder: Path) -> Diagnostic:
    """SB408: what is made of a file cannot be kept where others can write."""
    return Diagnostic(
        "SB408",
        f"{label} cannot be packed: others can write to {folder}, where packed trees are kept",
        artifact=label,
        hints=(f"chmod go-w {folder}, if it is yours", "or set XDG_CACHE_HOME to a folder of your own"),
    )


def forget_old(folder: Path, suffix: str) -> None:
    """Remove what no run has made for a month, and what a killed one left. Nothing else there is ours to remove."""
    ours = re.compile(rf"[0-9a-f]{{64}}{re.escape(suffix)}|{re.escape(NEW)}\w+")
    for path in folder.iterdir():
        with suppress(OSError):  # another run was faster, or is not ours
            if ours.fullmatch(path.name) and time.time() - path.lstat().st_mtime > _KEPT_SECONDS:
                path.unlink()


def keep(file: IO[bytes], sha256: str, size: int, folder: Path, suffix: str) -> Packed:
    """Give a file its digest as its name; whoever finds it there finds it whole."""
    file.flush()
    dest = folder / f"{sha256}{suffix}"
    Path(file.name).replace(dest)
    return Packed(str(dest), sha256, size)
