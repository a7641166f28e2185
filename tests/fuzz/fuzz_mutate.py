"""Hostile changes to good inputs, for where no coverage-guided engine is installed."""

from __future__ import annotations

import random

_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 1 << 15, 1 << 31, (1 << 32) - 1, 1 << 63, (1 << 64) - 1)


def mutated(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """A few changes, most of them where headers and tables are; `other` is a second good input to splice from."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 12)):
        if not out:
            break
        near = rng.choice((64, 64, 512, 4096, len(out)))
        at = rng.randrange(min(near, len(out)))
        match rng.randrange(8):
            case 0:
                out[at] = rng.randrange(256)
            case 1:
                size = rng.choice((1, 2, 4, 8))
                value = rng.choice((*_NUMBERS, len(out)))
                out[at : at + size] = (value % (1 << 8 * size)).to_bytes(size, rng.choice(("little", "big")))
            case 2:
                del out[rng.randrange(len(out)) :]
            case 3:
                out[at:at] = rng.randbytes(rng.randrange(64))
            case 4:
                out[at : at + rng.randrange(256)] = bytes([rng.choice((0, 0xFF, 0x41))]) * rng.randrange(256)
            case 5:
                start = rng.randrange(len(other) or 1)
                out[at:at] = other[start : start + rng.randrange(200)]
            case 6:
                end = at + rng.randrange(100)
                out[at:at] = out[at:end] * rng.choice((1, 2, 40))
            case _:
                start = rng.randrange(len(out))
                out[at : at + 64] = out[start : start + 64]
    return bytes(out)
