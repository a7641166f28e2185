"""Disk images in files, as they are and compressed."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from sealboot.artifacts.diskimage import ImageError, compression, pieces
from sealboot.artifacts.zstd import zstd
from sealboot.model.artifact import Kind

IMAGE = b"\xfa\x31\xc0" + bytes(3 << 20) + b"end"
PACKERS: tuple[tuple[Kind | None, Callable[[bytes], bytes]], ...] = (
    (None, bytes),
    (Kind.GZIP, gzip.compress),
    (Kind.XZ, lzma.compress),
    (Kind.BZIP2, bz2.compress),
    (Kind.ZSTD, zstd.compress),
)


@pytest.mark.parametrize(("kind", "pack"), PACKERS)
def test_the_image_comes_out_whole_in_small_pieces(
    kind: Kind | None, pack: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    file = tmp_path / "image"
    file.write_bytes(pack(IMAGE))
    assert compression(file.read_bytes()[:8]) is kind
    found = list(pieces(file))
    assert b"".join(found) == IMAGE
    assert max(map(len, found)) <= 1 << 18


def test_an_image_of_zeros_is_no_bomb_as_long_as_it_is_no_larger_than_said(tmp_path: Path) -> None:
    file = tmp_path / "image"
    file.write_bytes(zstd.compress(bytes(64 << 20)))
    assert sum(map(len, pieces(file, 64 << 20))) == 64 << 20
    with pytest.raises(ImageError, match="inflates to more than"):
        list(pieces(file, (64 << 20) - 1))


@pytest.mark.parametrize(("kind", "pack"), PACKERS[1:])
def test_what_ends_early_is_no_image(kind: Kind, pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    file = tmp_path / "image"
    file.write_bytes(pack(IMAGE)[:-8])
    with pytest.raises(ImageError):
        list(pieces(file))
    assert kind


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(pieces(tmp_path / "none"))
