"""Debian's own boot files of any architecture: systemd's EFI stub and `ukify`, and the kernels that the lab boots."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from labkit.bootdisk import stub as stub  # noqa: PLC0414 (boot files are had from here)
from labkit.debs import extract
from labkit.vm import kernel_of


def kernel(debian: str) -> Path:
    """The kernel that the lab boots on `debian` machines, as its package has it."""
    return kernel_of(debian)


def ukify(*arguments: str, cwd: Path) -> str:
    """Run systemd's own `ukify` (Debian 13's: it knows profiles) in `cwd` and return what it printed."""
    script = extract("systemd-ukify", "riscv64") / "usr/bin/ukify"
    libraries = extract("python3-pefile", "riscv64") / "usr/lib/python3/dist-packages"
    done = subprocess.run(
        [sys.executable, str(script), *arguments],
        env=os.environ | {"PYTHONPATH": str(libraries)},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"ukify {' '.join(arguments[:3])}: {done.stderr.strip()[-600:]}")
    return done.stdout
