"""The processor: instruction set levels that the machine field does not tell apart."""

from __future__ import annotations

from sealboot.fit.case import Case, Reason, describe_file
from sealboot.fit.loading import release_of
from sealboot.model.arch import Arch
from sealboot.model.diagnostic import Severity

#: What Debian's armhf and most publishers build 32-bit ARM programs for.
_USUAL_ARM = 7
#: Since this Linux RISC-V's /proc/cpuinfo names every extension of the profiles that Go builds for.
_NAMES_EXTENSIONS = (6, 8, 0)


def x86_level(case: Case) -> Reason | None:
    """SB106: the file's property note needs x86-64-v2, v3 or v4, the processor is below.

    glibc's loader refuses such a file; a static one dies of an illegal instruction.
    """
    wanted, have = case.elf.x86_level, case.facts.cpu.x86_level
    if case.arch is not Arch.AMD64 or not case.native or wanted is None or have is None or have >= wanted:
        return None
    return Reason(
        "SB106",
        f"binary needs a newer processor than {case.facts.host} has",
        f"{describe_file(case.artifact)}-v{wanted}",
        f"x86-64-v{have} ({case.facts.cpu.model or 'unknown model'})",
        (f"use a build for x86-64-v{have} or below",),
    )


def features(case: Case) -> Reason | None:
    """SB106: the file uses instructions that came later, and the processor has not got them.

    RISC-V kernels came to name extensions one by one: what an older one does
    not name may be there, so that is a doubt.
    """
    have = case.facts.cpu.flags
    missing = ", ".join(feature for feature in case.elf.cpu_features if feature not in have)
    if not case.native or not have or not missing:
        return None
    told = case.arch is not Arch.RISCV64 or (release_of(case.facts) or (0, 0, 0)) >= _NAMES_EXTENSIONS
    return Reason(
        "SB106",
        f"binary needs a newer processor than {case.facts.host} has"
        if told
        else f"whether {case.facts.host} has the processor that the binary needs is not known",
        f"{describe_file(case.artifact)}, uses {missing}",
        f"{'no' if told else 'the kernel does not name'} {missing} ({case.facts.cpu.model or 'unknown model'})",
        (f"use a build for every {case.arch.field_name} processor",),
        Severity.ERROR if told else Severity.WARNING,
    )


def arm_level(case: Case) -> Reason | None:
    """SB110: built for a later ARM level than the processor has, or for the other float ABI."""
    if case.arch is not Arch.ARM:
        return None
    wanted, have = case.elf.arm_level, case.facts.cpu.arm_level
    if wanted is not None and have is not None and have < wanted:
        return Reason(
            "SB110",
            f"binary needs ARMv{wanted}, {case.facts.host} is older",
            f"{describe_file(case.artifact)} v{wanted}",
            f"ARMv{have} processor",
            (f"use a build for arm/v{have}",),
        )
    return _float_abi(case) or _hidden_level(case)


def _hidden_level(case: Case) -> Reason | None:
    """A doubt where nothing, or nothing certain, tells the level: most programs are built for ARMv7."""
    have, elf = case.facts.cpu.arm_level, case.elf
    if have is None or have >= _USUAL_ARM or (elf.arm_level is not None and elf.arm_claim is None):
        return None
    hint = f"its smoke test will tell; a build for arm/v{have} is certain"
    if case.artifact.packed:
        what, hint = "packed with UPX", "unpack it first, to see what it was built for: `upx -d FILE`"
    elif elf.arm_claim is not None:
        what = f"build attributes of ARMv{elf.arm_claim}, code without its instructions"
    else:
        what = "does not say which ARM it is for"
    return Reason(
        "SB110",
        f"whether {case.facts.host} is new enough for the binary is not known",
        f"{describe_file(case.artifact)}, {what}",
        f"ARMv{have} processor",
        (hint,),
        Severity.WARNING,
    )


def _float_abi(case: Case) -> Reason | None:
    """Only a dynamic file meets the host's libraries; a static one brings its own ABI."""
    file, host = case.elf.hard_float, case.facts.hard_float
    if case.elf.static or file is None or host is None or file is host or not case.own_userland:
        return None
    return Reason(
        "SB110",
        f"binary uses the other float ABI than {case.facts.host}",
        f"{describe_file(case.artifact)}, {_float(file)}",
        f"{_float(host)} userland",
        ("use a static build, or the one for " + ("armhf" if host else "armel"),),
    )


def _float(hard: bool) -> str:
    return "hard float" if hard else "soft float"
