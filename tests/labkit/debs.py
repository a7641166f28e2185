"""Single Debian packages of any architecture, unpacked: programs to ship to nodes, kernels to boot."""

from __future__ import annotations

import subprocess
from pathlib import Path

from labkit.apt import LabUnavailableError, repository
from labkit.cache import CACHE, made


def unpack(deb: Path, folder: Path) -> None:
    """Unpack the files of one package; its maintainer scripts do not run."""
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["dpkg-deb", "-x", str(deb), str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise LabUnavailableError(f"dpkg-deb -x {deb.name}: {done.stderr.strip()}")


def extract(package: str, arch: str, suite: str = "") -> Path:
    """Download and unpack one package of Debian's architecture `arch` (`amd64`, `arm64`, `ppc64el`).

    Returns the folder: `extract("etcd-server", "arm64") / "usr/bin/etcd"` is
    the program. Dependencies are not followed. `suite` is a Debian release, where
    it is not to be the architecture's usual one.
    """

    def make(part: Path) -> None:
        unpack(repository(CACHE, arch, suite).download(package), part)

    return made(CACHE / "debs" / "-".join(filter(None, (package, arch, suite))), make)
