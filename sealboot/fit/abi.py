"""Second ABIs of one machine number: which half of a kernel, and which of two incompatible worlds, a file is for.

Sources: Linux `arch/mips/include/asm/elf.h` (`elf_check_arch` refuses
EF_MIPS_ABI2 in a 32-bit kernel); the LoongArch ELF psABI, "e_flags", where
the object file ABI version tells the kernel ABI of 4.19 from that of 5.19.
"""

from __future__ import annotations

from sealboot.fit.case import Case, Reason, describe_file, describe_host
from sealboot.fit.loading import release_of
from sealboot.model.arch import Arch

_EF_MIPS_ABI2 = 0x20
_EF_LOONGARCH_OBJABI = 0xC0
#: The first Linux with the kernel ABI of the new world.
_NEW_WORLD = (5, 19, 0)


def other_abi(case: Case) -> Reason | None:
    """SB116: the machine is right, and its kernel has another ABI than the file was built for."""
    if not case.native:
        return None
    if case.arch in {Arch.MIPS, Arch.MIPSLE} and case.elf.flags & _EF_MIPS_ABI2:
        return _n32(case)
    return _world(case) if case.arch is Arch.LOONG64 else None


def _n32(case: Case) -> Reason | None:
    kernel = case.facts.kernel_arch
    if kernel in {Arch.MIPS64, Arch.MIPS64LE}:
        return None
    return _reason(case, "in the N32 ABI", "use the o32 build: N32 takes a 64-bit kernel")


def _world(case: Case) -> Reason | None:
    release = release_of(case.facts)
    if release is None:
        return None
    new, host_new = bool(case.elf.flags & _EF_LOONGARCH_OBJABI), release >= _NEW_WORLD
    if new is host_new:
        return None
    file, wanted = ("new", "old") if new else ("old", "new")
    return _reason(case, f"for the {file} world", f"use a build for the {wanted} world of LoongArch")


def _reason(case: Case, what: str, hint: str) -> Reason:
    return Reason(
        "SB116",
        f"binary cannot run on {case.facts.host}: its kernel has another ABI",
        f"{describe_file(case.artifact)} {what}, flags {case.elf.flags:#x}",
        f"{describe_host(case.facts)}, Linux {case.facts.kernel_release}",
        (hint,),
    )
