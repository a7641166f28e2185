"""Listings of a whole file system, to prove that nothing was changed."""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Mapping
from pathlib import Path

#: Kernel file systems, and what a machine changes by itself while it runs.
VOLATILE = ("proc", "sys", "dev", "run", "var/log", "var/lib/systemd", "var/cache/ldconfig", "tmp/.font-unix")

#: For machines that can only be asked over SSH; busybox and coreutils know these options of find and stat.
SCRIPT = (
    "cd / && find . "
    + " -o ".join(f"-path ./{path} -prune" for path in VOLATILE)
    + " -o -exec stat -c '%n %f %u:%g %s %Y' {} +"
)


def normal(text: str) -> str:
    """The script's output in a fixed order; a directory's size says nothing and is dropped."""
    lines = []
    for line in text.splitlines():
        path, mode, owner, size, changed = line.rsplit(" ", 4)
        shown = "-" if stat.S_ISDIR(int(mode, 16)) else size
        lines.append(f"{path} {mode} {owner} {shown} {changed}")
    return "\n".join(sorted(lines)) + "\n"


def of_tree(root: Path) -> str:
    """The listing of a node whose root this machine can see."""
    top = str(root)
    lines = [_line(top, ".")]
    for folder, names, files in os.walk(top):
        inside = os.path.relpath(folder, top)
        prefix = "" if inside == "." else f"{inside}/"
        names[:] = [name for name in names if f"{prefix}{name}" not in VOLATILE]
        lines += [_line(top, f"./{prefix}{name}") for name in (*names, *files)]
    return "\n".join(sorted(filter(None, lines))) + "\n"


def _line(top: str, path: str) -> str:
    try:
        facts = Path(top, path).lstat()
    except FileNotFoundError:
        return ""  # it went away while we walked: it was not there
    size = "-" if stat.S_ISDIR(facts.st_mode) else str(facts.st_size)
    return f"{path} {facts.st_mode:x} {facts.st_uid}:{facts.st_gid} {size} {facts.st_mtime_ns}"


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """A unified diff of listings, node by node."""
    parts: list[str] = []
    for name, old in before.items():
        new = after.get(name, "")
        if old != new:
            parts += difflib.unified_diff(
                old.splitlines(), new.splitlines(), f"{name} before", f"{name} after", lineterm="", n=0
            )
    return "\n".join(parts)
