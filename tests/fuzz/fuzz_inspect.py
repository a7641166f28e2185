"""A campaign against `inspect`: mutated files of every kind in the corpus, under a memory limit.

`python tests/fuzz/fuzz_inspect.py SECONDS [SEED]` runs one and prints its seed and what it found;
`test_fuzz_inspect.py` runs short ones. Needs nothing but this checkout.
"""

from __future__ import annotations

import importlib
import random
import resource
import struct
import sys
import time
import traceback
from pathlib import Path
from tempfile import TemporaryDirectory

from sealboot.artifacts.inspect import inspect
from sealboot.lab.tinyelf import make
from sealboot.model.arch import Arch
from sealboot.model.report import InspectReport
from sealboot.render import jsondoc
from sealboot.render.view import make_view

#: Address space that the inspector may use, in bytes, and seconds that one file may take.
MEMORY = 1 << 30
SLOWEST = 2.0


def seeds() -> list[bytes]:
    """Whole files of many kinds to begin with."""
    real = [
        Path(p)
        for p in ("/bin/true", "/bin/busybox", "/usr/bin/qemu-arm-static", "/lib/x86_64-linux-gnu/libc.so.6")
    ]
    made = [make(arch, "x\n") for arch in (Arch.AMD64, Arch.ARM64)]
    heads = [
        b"MZ"
        + bytes(58)
        + struct.pack("<I", 64)
        + b"PE\0\0"
        + struct.pack("<HHIIIHH", 0x8664, 3, 0, 0, 0, 240, 2)
        + bytes(400),
        b"\x1f\x8b\x08" + bytes(64),
        b"\x28\xb5\x2f\xfd" + bytes(64),
        b"#!/bin/sh\n",
        b"PK\x03\x04" + bytes(100),
        b"\xfd7zXZ\0" + bytes(64),
    ]
    return made + heads + boot_images() + [p.read_bytes()[: 4 << 20] for p in real if p.exists()]


def boot_images() -> list[bytes]:
    """UKIs, kernels, zboot wrappers and initrds, from the kit that the unit tests use."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    kit = importlib.import_module("boot_kit")
    early = kit.cpio([("kernel/x86/microcode/GenuineIntel.bin", b"u" * 100)])
    profile = [(".profile", b"ID=reset\n"), (".cmdline", b"wipe"), (".pcrsig", b"{}")]
    return [
        kit.uki(),
        kit.sign(kit.uki(0x8664, kit.bzimage(), more=profile)),
        kit.uki(kernel=kit.zboot(kit.arm64_image(), method="zstd22")),
        *(kit.zboot(kit.arm64_image(), method=method) for method in kit.METHODS),
        kit.bzimage(),
        kit.arm64_image(),
        kit.zimage(),
        early + kit.METHODS["gzip"](kit.cpio([("init", b"x")])),
    ]


def mutated(rng: random.Random, data: bytes) -> bytes:
    """A few hostile changes, most of them where headers and tables are."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 12)):
        if not out:
            break
        near = rng.choice((64, 64, 512, 4096, len(out)))
        at = rng.randrange(min(near, len(out)))
        match rng.randrange(6):
            case 0:
                out[at] = rng.randrange(256)
            case 1:
                size = rng.choice((1, 2, 4, 8))
                value = rng.choice(
                    (0, 1, 0x7F, 0x80, 0xFF, 1 << 31, (1 << 32) - 1, 1 << 63, (1 << 64) - 1, len(out))
                )
                out[at : at + size] = (value % (1 << 8 * size)).to_bytes(size, rng.choice(("little", "big")))
            case 2:
                del out[rng.randrange(len(out)) :]
            case 3:
                out[at:at] = rng.randbytes(rng.randrange(64))
            case 4:
                out[at : at + rng.randrange(256)] = bytes([rng.choice((0, 0xFF, 0x41))]) * rng.randrange(256)
            case _:
                other = rng.randrange(len(out))
                out[at : at + 64] = out[other : other + 64]
    return bytes(out)


def campaign(seconds: float, seed: int) -> tuple[int, list[str]]:
    """Mutate and inspect until the time is over: how many files, and what went wrong with which."""
    rng = random.Random(seed)  # noqa: S311 (no secret)
    wrong: list[str] = []
    count = 0
    until = time.monotonic() + seconds
    pool = seeds()
    with TemporaryDirectory() as folder:
        while time.monotonic() < until:
            count += 1
            path = Path(folder) / "file"
            path.write_bytes(mutated(rng, rng.choice(pool)))
            began = time.monotonic()
            try:
                report = InspectReport((inspect(path),))
                jsondoc.dump(jsondoc.inspected(report))
                make_view("plain").inspected(report)
            except Exception:  # noqa: BLE001 (that is what is looked for)
                wrong.append(f"seed {seed}, file {count}: {traceback.format_exc(limit=-3)}")
            if time.monotonic() - began > SLOWEST:
                wrong.append(f"seed {seed}, file {count}: {time.monotonic() - began:.1f} s")
    return count, wrong


def main() -> int:
    """Run one campaign from the command line."""
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 32)  # noqa: S311
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    count, wrong = campaign(float(sys.argv[1]), seed)
    sys.stderr.write(f"seed {seed}: {count} files, {len(wrong)} findings\n" + "\n".join(wrong[:20]) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
