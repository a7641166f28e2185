"""What the machine must have before any lab can start."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

#: Program -> Debian package.
_TOOLS = {
    "ip": "iproute2",
    "ssh": "openssh-client",
    "setpriv": "util-linux",
    "dpkg-deb": "dpkg",
    "apt-get": "apt",
}
#: Since this release every user namespace may have a binfmt_misc table of its own.
_KERNEL = (6, 7)


def missing() -> str:
    """Why there can be no lab here, in words; empty when there can."""
    if os.geteuid() != 0:
        return "the lab makes namespaces and network cables, which needs root"
    found = re.match(r"(\d+)\.(\d+)", os.uname().release)
    if not found or (int(found[1]), int(found[2])) < _KERNEL:
        return f"Linux {os.uname().release} shares one binfmt_misc table; the lab needs 6.7 or newer"
    if os.uname().machine != "x86_64":
        return f"the lab's nodes are made for an x86-64 machine, and this is {os.uname().machine}"
    if not Path("/proc/sys/fs/binfmt_misc").is_dir():
        return "this kernel has no binfmt_misc"
    for program, package in _TOOLS.items():
        if not shutil.which(program):
            return f"{program} is missing: apt-get install {package}"
    return ""
