"""The processor, from the first block of `/proc/cpuinfo`."""

from __future__ import annotations

import re

from sealboot.model.arch import Arch
from sealboot.model.facts import Cpu

#: x86-64 psABI, table "Micro-Architecture Levels", in the words of Linux' /proc/cpuinfo
#: (pni is SSE3; abm stands for LZCNT; cx16 for CMPXCHG16B; xsave is what the kernel shows for OSXSAVE).
X86_LEVELS: tuple[frozenset[str], ...] = (
    frozenset(["lm", "cmov", "cx8", "fpu", "fxsr", "mmx", "syscall", "sse", "sse2"]),
    frozenset(["cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3"]),
    frozenset(["avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"]),
    frozenset(["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"]),
)

#: POWER generations in the words of GOPPC64: a processor has what all before it had.
_POWER = re.compile(r"POWER(\d{1,2})\b")
_FIRST_POWER = 8
#: `rv64imafdc_zicsr_zba`: single letters, then names.
_RISCV_ISA = re.compile(r"rv(?:32|64)([a-z]{1,40})((?:_[a-z0-9]{1,40})*)")

_MOST_FLAGS = 512
_FLAG = re.compile(r"[A-Za-z0-9_.+-]{1,40}")
_ARM_UNAME = re.compile(r"armv([5-8])")


def parse(text: str, kernel: Arch | None, uname: str, online: str) -> Cpu:
    """What the processor can do.

    An emulator may show its host's processor in place of its own, so flags are
    taken only where they are in the style of the kernel's architecture.
    """
    fields = _fields(text)
    x86 = kernel in {Arch.AMD64, Arch.I386}
    flags = _flags(fields, kernel)
    return Cpu(
        model=next(
            (fields[k][:128] for k in ("model name", "uarch", "cpu", "cpu model") if fields.get(k)), ""
        ),
        flags=flags,
        x86_level=x86_level(flags) if x86 and flags else None,
        arm_level=arm_level(kernel, uname, fields.get("CPU architecture", "")),
        count=online_count(online),
    )


def _flags(fields: dict[str, str], kernel: Arch | None) -> frozenset[str]:
    """What the processor has, by the kernel's names; of POWER the generations, of RISC-V the extensions."""
    if kernel in {Arch.PPC64LE, Arch.PPC64}:
        power = _POWER.match(fields.get("cpu", ""))
        newest = int(power[1]) if power else 0
        return frozenset(f"power{n}" for n in range(_FIRST_POWER, newest + 1))
    if kernel is Arch.RISCV64:
        isa = _RISCV_ISA.fullmatch(fields.get("isa", ""))
        return frozenset((*isa[1], *isa[2].split("_")[1 : _MOST_FLAGS + 1])) if isa else frozenset()
    label = "flags" if kernel in {Arch.AMD64, Arch.I386} else _features_label(fields, kernel)
    return frozenset(f for f in fields.get(label, "").split()[:_MOST_FLAGS] if _FLAG.fullmatch(f))


def _features_label(fields: dict[str, str], kernel: Arch | None) -> str:
    if kernel in {Arch.ARM, Arch.ARM64}:
        return "Features" if "CPU implementer" in fields else ""
    return "Features" if kernel is Arch.LOONG64 else "features" if kernel is Arch.S390X else ""


def _fields(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in text.split("\n")[:400]:
        key, colon, value = line.partition(":")
        if colon:
            found.setdefault(key.strip(), value.strip())
    return found


def x86_level(flags: frozenset[str]) -> int | None:
    """The highest psABI level whose features, and those of all below it, are there; `None` below level 1."""
    level = 0
    for needed in X86_LEVELS:
        if not needed <= flags:
            break
        level += 1
    return level or None


def arm_level(kernel: Arch | None, uname: str, told: str) -> int | None:
    """The ARM architecture version: 8 on arm64, else by `uname -m`, else by `CPU architecture`."""
    if kernel is Arch.ARM64:
        return 8
    if kernel is not Arch.ARM:
        return None
    match = _ARM_UNAME.match(uname)
    if match:
        return int(match[1])
    first = told[:1]
    return int(first) if first in {"5", "6", "7", "8"} else None


def online_count(text: str) -> int | None:
    """How many processors `0-3,8` names (Linux cpulist format)."""
    total = 0
    for part in text.strip().split(",")[:256]:
        match = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", part.strip())
        if match is None:
            return None
        total += max(0, int(match[2] or match[1]) - int(match[1]) + 1)
    return total or None
