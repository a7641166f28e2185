"""Programs whose headers lie: each is judged from little of it, in milliseconds, whatever it claims."""

from __future__ import annotations

import os
import random
import socket
import struct
from pathlib import Path

from elf_corpus import Sample, dynamic, put, samples, static
from fit_kit import facts_of
from hostile_kit import GIB, SECONDS, look

from sealboot.artifacts.elf import parse
from sealboot.artifacts.reader import MAX_BYTES, Memory
from sealboot.fit import judge
from sealboot.model.arch import Arch
from sealboot.model.artifact import Artifact, Kind

#: Of a parse, in bytes: what `parse` promises.
READ = 2 << 20


class Sparse:
    """A few pieces in a file of any size; holes read as zeros."""

    def __init__(self, size: int, pieces: dict[int, bytes]) -> None:
        self.size, self._pieces, self.read = size, pieces, 0

    def at(self, offset: int, length: int) -> bytes:
        made = bytearray(max(0, min(length, self.size - offset)))
        self.read += len(made)
        for start, data in self._pieces.items():
            for place in range(max(start, offset), min(start + len(data), offset + len(made))):
                made[place - offset] = data[place - start]
        return bytes(made)


def test_fifteen_hundred_mutated_programs() -> None:
    """Each is a value that a verdict can be given on; what is wrong with it is told with its offset."""
    rng = random.Random(1500)  # noqa: S311 (no secret)
    pool: list[Sample] = samples()
    host = facts_of(Arch.AMD64)
    told = 0
    for _ in range(1500):
        data = bytearray(rng.choice(pool).bytes)
        for _ in range(rng.randint(1, 8)):
            at = rng.randrange(min(len(data), rng.choice((64, 64, 400, 1 << 30))) or 1)
            size = rng.choice((1, 2, 4, 8))
            data[at : at + size] = rng.choice((rng.randbytes(size), b"\xff" * size, bytes(size)))
        if rng.random() < 0.2:
            del data[rng.randrange(len(data) + 1) :]
        parsed = parse(Memory(bytes(data)))
        assert parsed.elf is not None or parsed.findings
        assert all(f.what and f.offset >= 0 for f in parsed.findings)
        told += len(parsed.findings) > 0
        if parsed.elf is not None:
            verdict = judge(Artifact("x", Kind.ELF, size=len(data), layers=(parsed.elf,)), host)
            assert verdict.outcome == "runs" or verdict.diagnostics
    assert told > 300  # the mutations did harm


def test_billions_of_sections_in_a_file_that_is_small_enough_to_be_read() -> None:
    """No section header is asked for its number of sections: 8 589 934 592 of them are none of our business."""
    table = 4 * GIB
    program = put(static(Arch.AMD64, "x"), 40, struct.pack("<Q", table))
    program = put(program, 58, struct.pack("<HHH", 64, 0, 0xFFFF))
    first = bytes(32) + struct.pack("<Q", 1 << 33) + struct.pack("<I", 1) + bytes(20)
    file = Sparse(8 * GIB, {0: program, table: first})
    assert file.size < MAX_BYTES
    parsed = parse(file)
    assert parsed.elf is not None
    assert (parsed.elf.arch, parsed.elf.defect) == (Arch.AMD64, "")
    assert file.read < READ


def test_the_first_64_bytes_decide_the_architecture() -> None:
    """Everything behind the header is a lie or absent; the machine is still known."""
    header = bytearray(static(Arch.ARM64, "x")[:64])
    header[32:48] = struct.pack("<QQ", 1 << 62, 1 << 63)
    header[54:64] = struct.pack("<HHHHH", 56, 65535, 64, 65535, 65535)
    parsed = parse(Memory(bytes(header)))
    assert parsed.elf is not None
    assert parsed.elf.arch is Arch.ARM64
    assert parsed.elf.defect


def test_files_on_disk_that_promise_more_than_they_have(tmp_path: Path) -> None:
    """A tebibyte of holes, an interpreter of 32 MiB without an end, and what is no file at all, in one child."""
    plain = static(Arch.AMD64, "x")
    (tmp_path / "tebibyte").write_bytes(put(plain, 40, struct.pack("<Q", 1 << 39)))
    os.truncate(tmp_path / "tebibyte", 1 << 40)
    endless = put(dynamic(Arch.AMD64, "x", interpreter="/lib64/ld"), 64 + 32, struct.pack("<Q", 32 << 20))
    (tmp_path / "interpreter").write_bytes(endless + b"x" * (33 << 20))
    (tmp_path / "header").write_bytes(plain[:64])
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "zero").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        names = sorted(p.name for p in tmp_path.iterdir())
        looked = look(tmp_path, *names)
    assert {name: seen.codes for name, seen in looked.files.items()} == {
        "fifo": [],
        "folder": [],
        "header": ["SB401"],
        "interpreter": ["SB401"],
        "loop": ["SB408"],
        "socket": [],
        "tebibyte": ["SB409"],
        "zero": [],
    }
    assert {seen.kind for name, seen in looked.files.items() if not seen.codes} == {"special", "directory"}
    assert looked.files["header"].offsets
    assert all(seen.seconds < SECONDS for seen in looked.files.values())
    assert looked.broken == []
