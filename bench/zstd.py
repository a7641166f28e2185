"""Inflating zstd as sealboot does it (compression.zstd, backports.zstd) against the same with zstandard.

pip install zstandard; python bench/zstd.py [--megabytes 200] [--rounds 5] [--files /usr/lib]

Processor time of a process of its own, the fastest of some rounds, and the most memory it had.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sealboot.artifacts.zstd import zstd

_MEASURE = """
import sys, time
what, path = sys.argv[1:]
made, file = 0, open(path, "rb")
if what == "zstandard":
    import zstandard
    start = time.process_time()
    engine = zstandard.ZstdDecompressor(max_window_size=1 << 27)
    reader = engine.stream_reader(file, read_across_frames=True)
    while piece := reader.read(1 << 18):
        made += len(piece)
else:
    from sealboot.artifacts.compress import Limits, Meter, inflate
    from sealboot.model.artifact import Kind
    start = time.process_time()
    for piece in inflate(iter(lambda: file.read(1 << 18), b""), Kind.ZSTD, Meter(Limits())):
        made += len(piece)
taken = time.process_time() - start
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(taken, int(peak.split()[1]) / 1024, made)
"""
_OPTION = zstd.CompressionParameter


def _content(folder: Path, size: int) -> bytes:
    found = bytearray()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            found += path.read_bytes()
            if len(found) >= size:
                break
    return bytes(found[:size])


def _streams(data: bytes) -> Iterator[tuple[str, bytes]]:
    def frames(each: int, part: bytes) -> bytes:
        return b"".join(zstd.compress(part[at : at + each]) for at in range(0, len(part), each))

    yield "one frame, as `zstd` makes it", zstd.compress(data)
    far: dict[int, int] = {_OPTION.window_log: 27, _OPTION.enable_long_distance_matching: 1}
    yield "one frame, `zstd --long=27`", zstd.compress(data, options=far)
    yield "frames of 1 MiB, as `pzstd` makes them", frames(1 << 20, data)
    yield "frames of 4 KiB", frames(1 << 12, data)
    yield "frames of 100 bytes, as nobody makes them", frames(100, data[: len(data) // 10])


def _measure(what: str, path: Path) -> tuple[float, float, int]:
    command = [sys.executable, "-c", _MEASURE, what, str(path)]
    seconds, memory, made = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(seconds), float(memory), int(made)


def main() -> None:
    """Pack once, measure both in turn, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--files", type=Path, default=Path("/usr/lib"))
    chosen = parser.parse_args()
    data = _content(chosen.files, chosen.megabytes << 20)
    print("| Stream | zstandard | sealboot | Ratio | Memory |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stream.zst"
        for name, packed in _streams(data):
            path.write_bytes(packed)
            both: dict[str, list[tuple[float, float, int]]] = {"zstandard": [], "sealboot": []}
            for _ in range(chosen.rounds):
                for what, seen in both.items():
                    seen.append(_measure(what, path))
            old, new = min(both["zstandard"]), min(both["sealboot"])
            assert old[2] == new[2]
            ratio = f"{new[0] / old[0]:.2f} | {old[1]:.0f} / {new[1]:.0f} MiB |"
            print(f"| {name} | {old[0]:.2f} s | {new[0]:.2f} s | {ratio}", flush=True)


if __name__ == "__main__":
    main()
