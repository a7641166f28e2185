from __future__ import annotations

import errno
import hashlib
import os
import socket
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from sealboot.artifacts.hasher import Whole
from sealboot.artifacts.reader import MAX_READ, Memory, Reader, Refusal, open_file
from sealboot.model.artifact import Kind


def refusal(path: Path, limit: int = 1 << 20) -> Refusal:
    opened = open_file(path, limit)
    assert isinstance(opened, Refusal)
    return opened


def test_reads_by_position_and_hashes_the_same_bytes(tmp_path: Path) -> None:
    data = bytes(range(256)) * 10000
    path = tmp_path / "file"
    path.write_bytes(data)
    opened = open_file(path)
    assert isinstance(opened, Reader)
    with opened as reader:
        path.unlink()  # the descriptor is what counts
        assert reader.size == len(data)
        assert reader.at(3, 5) == data[3:8]
        assert reader.at(len(data) - 2, 100) == data[-2:]
        assert reader.at(len(data), 1) == reader.at(-1, 4) == reader.at(0, 0) == b""
        assert len(reader.at(0, 1 << 40)) == MAX_READ
        assert reader.at(1 << 63, 10) == b""
        assert reader.sha256() == hashlib.sha256(data).hexdigest()


def test_memory_reads_like_a_file() -> None:
    source = Memory(b"abcdef")
    assert (source.size, source.at(2, 2), source.at(5, 9), source.at(9, 1), source.at(-2, 1)) == (
        6,
        b"cd",
        b"f",
        b"",
        b"",
    )


def test_a_fifo_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert refusal(tmp_path / "fifo") == Refusal(Kind.SPECIAL, "", "a FIFO")


def test_a_device_and_a_socket_are_special(tmp_path: Path) -> None:
    assert refusal(Path("/dev/zero")) == Refusal(Kind.SPECIAL, "", "a character device")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        assert refusal(tmp_path / "socket") == Refusal(Kind.SPECIAL, "", "a socket")


def test_a_directory_is_a_directory(tmp_path: Path) -> None:
    assert refusal(tmp_path) == Refusal(Kind.DIRECTORY, "", "a directory")


@pytest.mark.parametrize("name", ["absent", "a\0b", "x" * 5000, "file/inside"])
def test_missing_in_many_ways(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    found = refusal(tmp_path / name)
    assert (found.kind, found.code) == (Kind.MISSING, "SB408")


def test_a_loop_of_links_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    found = refusal(tmp_path / "a")
    assert (found.kind, found.code) == (Kind.UNKNOWN, "SB408")
    assert "symbolic links" in found.reason


def test_too_large_is_refused_before_hashing(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    found = open_file(path)
    assert isinstance(found, Refusal)
    assert (found.code, found.size) == ("SB409", 1 << 40)


def test_a_change_while_reading_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")
    opened = open_file(path)
    assert isinstance(opened, Reader)
    with opened as reader:
        assert not reader.changed
        path.write_bytes(b"after, and longer")
        assert reader.changed


@dataclass
class Film:
    """Twenty megabytes that fail, or wait for a sign, at some place."""

    fails_at: int = -1
    size: int = 20 << 20
    read: int = 0

    def at(self, offset: int, length: int) -> bytes:
        if offset == self.fails_at:
            raise OSError(errno.EIO, "Input/output error")
        self.read += 1
        return bytes(max(0, min(length, self.size - offset)))


def test_a_file_is_hashed_while_others_look_into_it() -> None:
    film = Film()
    with Whole(film) as whole:
        assert whole.hexdigest() == hashlib.sha256(bytes(film.size)).hexdigest()
    with Whole(Memory(b"small")) as whole:
        assert whole.hexdigest() == hashlib.sha256(b"small").hexdigest()
    assert not [t for t in threading.enumerate() if t.name == "sealboot-hasher"]


def test_a_medium_that_fails_beside_us() -> None:
    with Whole(Film(fails_at=7 << 20)) as whole, pytest.raises(OSError, match="Input/output error"):
        whole.hexdigest()


def test_whoever_gives_up_does_not_leave_a_thread_behind() -> None:
    """The descriptor is closed next, and its number may be another file's then."""
    film = Film(size=1 << 50)
    with pytest.raises(OSError, match="gone"), Whole(film):
        raise OSError("gone")
    assert not [t for t in threading.enumerate() if t.name == "sealboot-hasher"]
    assert film.read < 1 << 20
