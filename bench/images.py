"""How long an image archive takes to check against inflating it with the same library, and in how much memory.

python bench/images.py [--megabytes 600] [--rounds 5] [--files /usr/lib] [--form layers|gzip]
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sealboot.artifacts.zstd import zstd

_MEASURE = """
import sys, time
path, what = sys.argv[1:]
if what == "inflate":
    from sealboot.artifacts.zstd import zstd
    start = time.perf_counter()
    with zstd.open(path, "rb") as file:
        while file.read(1 << 18):
            pass
else:
    from pathlib import Path
    from sealboot.artifacts import inspect
    start = time.perf_counter()
    found = inspect(Path(path))
    assert found.platforms == ("linux/arm64",), found
taken = time.perf_counter() - start
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(taken, int(peak.split()[1]) / 1024)
"""
_LAYER = 75 << 20


def _content(folder: Path) -> Iterator[bytes]:
    """What is in the files of a folder, again and again: as compressible as software is."""
    while True:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.is_symlink() and os.access(path, os.R_OK):
                yield path.read_bytes()


def _layers(folder: Path, total: int, *, packed: bool) -> Iterator[bytes]:
    """Layers of `_LAYER` bytes, compressed or not, `total` bytes of them."""
    content, made = _content(folder), 0
    while made < total:
        parts: list[bytes] = []
        size = 0
        while size < _LAYER:
            parts.append(next(content))
            size += len(parts[-1])
        layer = b"".join(parts)[:_LAYER]
        layer = gzip.compress(layer, 1, mtime=0) if packed else layer
        made += len(layer)
        yield layer


def _build(path: Path, folder: Path, total: int, *, packed: bool) -> int:
    """Write the archive: an image for each layer. Returns the size of the tar."""
    index = []
    with (
        path.open("wb") as file,
        zstd.ZstdFile(file, "wb", level=3) as stream,
        tarfile.open(fileobj=stream, mode="w|") as archive,
    ):

        def put(data: bytes, name: str = "") -> dict[str, object]:
            digest = hashlib.sha256(data).hexdigest()
            info = tarfile.TarInfo(name or f"blobs/sha256/{digest}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
            return {"digest": f"sha256:{digest}", "size": len(data)}

        for number, layer in enumerate(_layers(folder, total, packed=packed)):
            config = {"os": "linux", "architecture": "arm64", "number": number}
            manifest = {"config": put(json.dumps(config).encode()), "layers": [put(layer)]}
            name = {"io.containerd.image.name": f"registry.example/image:{number}"}
            index.append({**put(json.dumps(manifest).encode()), "annotations": name})
        put(b'{"imageLayoutVersion":"1.0.0"}', "oci-layout")
        put(json.dumps({"schemaVersion": 2, "manifests": index}).encode(), "index.json")
        return archive.offset


def _measure(path: Path, what: str) -> tuple[float, float]:
    command = [sys.executable, "-c", _MEASURE, str(path), what]
    seconds, memory = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(seconds), float(memory)


def main() -> None:
    """Build one archive, measure both in turn, print the medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--files", type=Path, default=Path("/usr/lib"))
    parser.add_argument("--form", choices=["layers", "gzip"], default="layers")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.tar.zst"
        size = _build(path, chosen.files, chosen.megabytes << 20, packed=chosen.form == "gzip")
        print(f"{path.stat().st_size >> 20} MiB of zstd, {size >> 20} MiB of tar, {chosen.form}")
        kinds = ("inflate", "inspect")
        rounds = [{kind: _measure(path, kind) for kind in kinds} for _ in range(chosen.rounds + 1)][1:]
    # The fastest of many rounds is what the machine takes when nobody else works on it.
    for name, choose in (("median", statistics.median), ("fastest", min)):
        times = {kind: choose(r[kind][0] for r in rounds) for kind in kinds}
        shown = ", ".join(f"{kind} {times[kind]:.2f} s" for kind in kinds)
        print(f"{name:<8} {shown}, ratio {times['inspect'] / times['inflate']:.2f}")
    for kind in kinds:
        print(f"{kind:<8} {max(r[kind][1] for r in rounds):5.0f} MiB at most")


if __name__ == "__main__":
    main()
