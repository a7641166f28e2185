"""Files that are gigabytes inside, as an operator's download may be: within memory and time, and nothing written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hostile_kit import GIB, SECONDS, gzip_bomb, look, tar_header, zstd_bomb

#: What the child may grow to, in bytes: Python with sealboot and its libraries is half of that.
PEAK = 160 << 20

BOMBS: dict[str, Callable[[], bytes]] = {
    "zeros.tar.gz": lambda: gzip_bomb(tar_header("zeros", 4 * GIB), 4 * GIB),
    "zeros.tar.zst": lambda: zstd_bomb(tar_header("zeros", 4 * GIB), 4 * GIB),
    "zeros.zst": lambda: zstd_bomb(b"no archive", 4 * GIB),
    "manifest.tar.zst": lambda: zstd_bomb(tar_header("manifest.json", 4 * GIB), 4 * GIB),
    **{
        f"record-{kind}.tar.zst": lambda kind=kind: zstd_bomb(tar_header("x", GIB, kind.encode()), GIB)  # type: ignore[misc]
        for kind in "xgLK"
    },
}


def test_small_files_of_gigabytes(tmp_path: Path) -> None:
    """4 GiB in 4 MB of gzip and in 131 kB of zstd; records of a gigabyte in front of a name."""
    for name, made in BOMBS.items():
        (tmp_path / name).write_bytes(made())
    assert (tmp_path / "zeros.tar.gz").stat().st_size < 5 << 20
    assert (tmp_path / "zeros.tar.zst").stat().st_size < 140_000
    before = sorted((p.name, p.stat().st_mtime_ns) for p in tmp_path.iterdir())
    looked = look(tmp_path, *BOMBS)
    for name, seen in looked.files.items():
        expected = [] if name == "zeros.zst" else ["SB409"]  # no archive: only its first bytes are inflated
        assert seen.codes == expected, name
        assert seen.platforms == []
        assert seen.seconds < SECONDS, name
    assert looked.peak < PEAK
    assert looked.broken == []
    assert sorted((p.name, p.stat().st_mtime_ns) for p in tmp_path.iterdir()) == before


@pytest.mark.parametrize("kind", [b"1", b"2"], ids=["hard", "soft"])
def test_links_and_paths_out_of_the_archive_write_nothing(kind: bytes, tmp_path: Path) -> None:
    """A link to a file of the system, then a file by the link's name; and names that climb out."""
    link = bytearray(tar_header("bin/tool", 0, kind))
    link[157 : 157 + 11] = b"/etc/shadow"
    link[148:156] = b" " * 8
    link[148:156] = b"%06o\0 " % sum(link)
    names = ("bin/tool", "../../../outside", "/outside", "..\\outside")
    files = b"".join(tar_header(name, 5) + b"owned".ljust(512, b"\0") for name in names)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.tar").write_bytes(bytes(link) + files + bytes(1024))
    looked = look(tmp_path / "in", "x.tar", deep=True)
    assert looked.broken == []
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["in", "x.tar"]
