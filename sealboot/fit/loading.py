"""Segments and the kernel's version: whether this host can map the file, and is new enough for it."""

from __future__ import annotations

import re
from itertools import pairwise

from sealboot.fit.case import Case, Reason, describe_file
from sealboot.model.arch import Arch
from sealboot.model.artifact import Segment
from sealboot.model.diagnostic import Severity
from sealboot.model.facts import Facts

_PT_LOAD, _PF_X = 1, 1
#: No Linux has smaller pages; used only while a host's page size is unknown.
_SMALLEST_PAGE = 4096
_RELEASE = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")


def page_size(case: Case) -> Reason | None:
    """SB105: segments linked for smaller pages than this host has.

    The kernel maps whole pages, so offset and address must agree modulo the
    page size; where they do, two segments that share a page leave the later
    one's bytes and rights. The earlier one dies of a right that is lost, or of
    zeroed memory that the file's bytes cover; rights that are gained harm nobody,
    nor does losing the right to execute what is no code.
    """
    page = case.facts.page_size or _SMALLEST_PAGE
    loads = [s for s in case.elf.segments if s.type == _PT_LOAD and s.filesz]
    skewed = any((s.offset - s.vaddr) % page for s in loads)
    if not skewed and not _collide(loads, page, case.elf.code_end):
        return _packed_for_small_pages(case, page) or _small_allocator(case, page)
    align = min((s.align for s in loads), default=0)
    return Reason(
        "SB105",
        f"binary cannot be loaded on {case.facts.host}: its segments do not fit the page size",
        f"{describe_file(case.artifact)}, segments aligned to {align} bytes",
        f"pages of {page} bytes",
        ("build with `-Wl,-z,max-page-size=65536`, or boot a kernel with 4 KiB pages",),
    )


def _collide(loads: list[Segment], page: int, code_end: int | None) -> bool:
    ordered = sorted(loads, key=lambda s: s.vaddr)
    return any(
        low.align < page
        and (_rights_lost(low, high, page, code_end) or low.memsz > low.filesz)
        and high.vaddr // page <= (low.vaddr + low.memsz - 1) // page
        for low, high in pairwise(ordered)
        if low.memsz
    )


def _rights_lost(low: Segment, high: Segment, page: int, code_end: int | None) -> int:
    """The rights that `low` has and `high` has not, as far as they are used in the page they share."""
    lost = low.flags & ~high.flags
    shared = high.vaddr // page * page
    return lost & ~_PF_X if code_end is not None and code_end <= shared else lost


def _packed_for_small_pages(case: Case, page: int) -> Reason | None:
    """What UPX puts before a 32-bit ARM program takes pages for 4 KiB, and asks no kernel."""
    if not case.artifact.packed or case.arch is not Arch.ARM or page <= _SMALLEST_PAGE:
        return None
    return Reason(
        "SB105",
        f"packed binary cannot unpack itself on {case.facts.host}: the packer's code is for pages of 4 KiB",
        f"{describe_file(case.artifact)}, packed with UPX",
        f"pages of {page} bytes",
        ("unpack it first: `upx -d FILE`", "or boot a kernel with 4 KiB pages"),
    )


def _small_allocator(case: Case, page: int) -> Reason | None:
    """A doubt: jemalloc is built for pages up to a size, and which one the file does not say."""
    if not case.elf.allocator or page <= _SMALLEST_PAGE:
        return None
    return Reason(
        "SB105",
        f"whether the allocator of the binary is built for the pages of {case.facts.host} is not known",
        f"{describe_file(case.artifact)}, with {case.elf.allocator}",
        f"pages of {page} bytes",
        ("its smoke test will tell; jemalloc built with `--with-lg-page=16` runs on all",),
        Severity.WARNING,
    )


def kernel_version(case: Case) -> Reason | None:
    """SB109: the ABI note asks for a newer kernel, and the program's own start code reads it.

    No kernel does, nor does anything in a dynamic program's own file; static
    programs of glibc did, until that check was taken out of it.
    """
    wanted, have = case.elf.min_kernel, release_of(case.facts)
    if wanted is None or have is None or have >= wanted or not case.elf.checks_kernel:
        return None
    text = ".".join(map(str, wanted))
    return Reason(
        "SB109",
        f"binary needs a newer kernel than {case.facts.host} has",
        f"built for Linux {text} or newer",
        f"Linux {case.facts.kernel_release}",
        (f"upgrade the kernel to {text}, or use a build for older kernels",),
    )


def release_of(facts: Facts) -> tuple[int, int, int] | None:
    """`6.1.0-18-arm64` as (6, 1, 0)."""
    match = _RELEASE.match(facts.kernel_release)
    return (int(match[1]), int(match[2]), int(match[3] or 0)) if match else None
