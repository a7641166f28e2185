"""A tree with a mount below it is not removed: what is there belongs to somebody else."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from requires import shells

from sealboot.engine.actions import _REMOVE


@pytest.mark.parametrize("shell", shells("dash", "busybox"))
@pytest.mark.parametrize("below", ["", "/registry", "/my disk/x"])
def test_a_mount_below_stops_the_removal(tmp_path: Path, shell: list[str], below: str) -> None:
    real, link, mounts = tmp_path / "real/data", tmp_path / "by", tmp_path / "mounts"
    (real / "registry").mkdir(parents=True)
    link.symlink_to(tmp_path / "real")
    where = f"{real}{below}".replace(" ", "\\040")
    mounts.write_text(f"proc /proc proc rw 0 0\n/dev/sdb1 {where} ext4 rw 0 0\n")
    script = _REMOVE.replace("/proc/mounts", str(mounts))

    def remove(path: Path) -> subprocess.CompletedProcess[str]:
        command = [*shell, "-c", script, "sh", str(path), "1"]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    for path in (real, link / "data"):
        ran = remove(path)
        assert (ran.returncode, real.exists()) == (65, True)
        assert f"{real}{below} is mounted there" in ran.stderr
    mounts.write_text(f"/dev/sdb1 {real}beside ext4 rw 0 0\n")
    assert remove(link / "data").returncode == 0
    assert not real.exists()
