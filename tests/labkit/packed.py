"""UPX of Debian's backports: programs made smaller, with and without something behind them."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from labkit.apt import LabUnavailableError
from labkit.cache import CACHE, key, made
from labkit.debs import extract

#: Debian's architectures that UPX 4 packs; it refuses the others.
PACKABLE = ("amd64", "i386", "arm64", "armhf", "armel", "ppc64el")


def upx() -> Path:
    """The packer itself; bookworm proper has none."""
    return extract("upx-ucl", "amd64", "bookworm-backports") / "usr/bin/upx-ucl"


def pack(program: bytes) -> bytes:
    """What UPX makes of it; raises `LabUnavailableError` where it will not run here."""

    def make(part: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="sealboot-upx-") as folder:
            source = Path(folder, "program")
            source.write_bytes(program)
            source.chmod(0o755)
            argv = [str(upx()), "-q", "-1", "-o", str(part), str(source)]
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode:
            raise LabUnavailableError(f"upx: {(done.stdout + done.stderr).strip()[-400:]}")

    return made(CACHE / "packed" / key(program), make).read_bytes()
