"""Sentences in a program that tell what its code asks of a host."""

from __future__ import annotations

from dataclasses import replace

import elf_corpus
import pytest

from sealboot.artifacts.elf import parse
from sealboot.artifacts.reader import Memory
from sealboot.artifacts.texts import with_texts
from sealboot.model.arch import Arch
from sealboot.model.artifact import Elf


def looked_at(arch: Arch, text: bytes, **changes: object) -> Elf:
    data = elf_corpus.static(arch, "x") + text
    elf = parse(Memory(data)).elf
    assert elf is not None
    return with_texts(Memory(data), replace(elf, end=len(data), **changes))  # type: ignore[arg-type]


def test_a_start_code_that_reads_the_abi_note() -> None:
    old = b"FATAL: kernel too old\n"
    assert looked_at(Arch.AMD64, old, min_kernel=(2, 6, 32)).checks_kernel
    assert not looked_at(Arch.AMD64, b"", min_kernel=(2, 6, 32)).checks_kernel
    assert not looked_at(Arch.AMD64, old).checks_kernel  # nothing to compare with
    assert not looked_at(Arch.AMD64, old, min_kernel=(2, 6, 32), interpreter="/lib/ld.so").checks_kernel


@pytest.mark.parametrize(
    ("arch", "expected"), [(Arch.ARM64, "jemalloc"), (Arch.ARM, "jemalloc"), (Arch.AMD64, "")]
)
def test_an_allocator_for_pages_of_one_size(arch: Arch, expected: str) -> None:
    assert looked_at(arch, b"<jemalloc>: Unsupported system page size\n").allocator == expected
    assert looked_at(arch, b"<jemalloc>: something else\n").allocator == ""
