"""P15: whatever a path names, `inspect` ends in time, within its memory, and without a trace back."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from requires import inapplicable

from sealboot.lab.tinyelf import make
from sealboot.model.arch import Arch

#: Bytes of address space and seconds for one command.
MEMORY = 1 << 30
LIMIT = 20.0


def inspect(*paths: str | Path, code: int | None = None) -> dict[str, object]:
    """Run the command under a memory limit; its document."""
    done = subprocess.run(
        [sys.executable, "-m", "sealboot", "inspect", *map(str, paths), "--format", "json"],
        check=False,
        capture_output=True,
        timeout=LIMIT,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)),
    )
    assert b"Traceback" not in done.stderr, done.stderr
    assert b"SB901" not in done.stderr, done.stderr
    assert code is None or done.returncode == code
    made: dict[str, object] = json.loads(done.stdout)
    return made


@pytest.mark.parametrize(
    "path",
    [
        "/dev/zero",
        "/dev/urandom",
        "/proc/kcore",
        "/proc/self/mem",
        "/dev/tty",
        "/proc",
        "/dev/null",
        "/sys/kernel",
    ],
)
def test_devices_and_kernel_files(path: str) -> None:
    if not Path(path).exists():
        inapplicable(f"{path} is not on this machine")
    inspect(path)


def test_fifo_socket_loop_and_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "self").symlink_to(".")
    inspect(
        tmp_path / "fifo", tmp_path / "a", tmp_path / "missing", tmp_path / "self", tmp_path / ("x" * 300)
    )


def test_a_sparse_file_of_a_tebibyte(tmp_path: Path) -> None:
    for name, head in (
        ("elf", make(Arch.AMD64, "x")),
        ("pe", b"MZ" + bytes(58) + b"\x40\0\0\0PE\0\0"),
        ("gz", b"\x1f\x8b\x08"),
    ):
        path = tmp_path / name
        path.write_bytes(head)
        os.truncate(path, 1 << 40)
        inspect(path)


def test_a_folder_of_very_many_files(tmp_path: Path) -> None:
    for number in range(20_000):
        os.mknod(tmp_path / f"f{number}")
    inspect(tmp_path)


def test_a_file_that_changes_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "tool"
    good = make(Arch.AMD64, "x") + os.urandom(8 << 20)
    path.write_bytes(good)
    over = threading.Event()

    def scribble() -> None:
        while not over.is_set():
            os.truncate(path, 40)
            with path.open("r+b") as file:
                file.write(good)

    thread = threading.Thread(target=scribble)
    thread.start()
    try:
        for _ in range(3):
            inspect(path)
    finally:
        over.set()
        thread.join()
