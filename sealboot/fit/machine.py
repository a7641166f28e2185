"""Content and machine: what the kernel decides from the first bytes, before anything is loaded.

Source of the rules: Linux `fs/binfmt_elf.c`, `elf_check_arch` and
`compat_elf_check_arch` of each architecture (`arch/*/include/asm/elf.h`).
"""

from __future__ import annotations

from sealboot.fit.case import (
    ET_DYN,
    ET_EXEC,
    Case,
    Reason,
    describe_file,
    describe_host,
    describe_kind,
    machine_name,
    native_of,
)
from sealboot.fit.content import advice
from sealboot.fit.script import no_place
from sealboot.model.arch import Arch
from sealboot.model.artifact import Artifact, Elf, Kind
from sealboot.model.facts import Facts

#: Kernels whose `elf_check_arch` asks for the class byte; the others never look at it, and none at the data byte.
_CHECK_CLASS = frozenset({Arch.RISCV64, Arch.S390X, Arch.MIPS, Arch.MIPSLE, Arch.MIPS64, Arch.MIPS64LE})
_EF_ARM_EABI_MASK = 0xFF000000
_UNREADABLE = frozenset({"SB408", "SB409"})


def unreadable_content(artifact: Artifact, facts: Facts) -> Reason | None:
    """The reader's own error, an SB112 for what is no program, or an SB401 for an ELF without a header."""
    for finding in artifact.diagnostics:
        if finding.code in _UNREADABLE and artifact.elf is None:
            return Reason(finding.code, finding.summary, describe_kind(artifact), describe_host(facts))
    if artifact.kind is Kind.SCRIPT:
        return no_place(artifact, facts)
    if artifact.kind is not Kind.ELF:
        return _no_program(artifact, facts, describe_kind(artifact), advice(artifact, facts))
    elf = artifact.elf
    if elf is None:
        what = next((d.summary for d in artifact.diagnostics if d.code == "SB401"), "damaged")
        return Reason(
            "SB401", f"file is damaged: {what}", describe_file(artifact), describe_host(facts), _AGAIN
        )
    if elf.type not in {ET_EXEC, ET_DYN}:
        return _no_program(artifact, facts, describe_file(artifact), ("name the linked program",))
    return None


_AGAIN = ("download or build the file again and compare its SHA-256",)


def _no_program(artifact: Artifact, facts: Facts, what: str, hints: tuple[str, ...]) -> Reason:
    return Reason("SB112", f"{artifact.path} is not a program", what, describe_host(facts), hints)


def damaged(artifact: Artifact, elf: Elf, facts: Facts) -> Reason | None:
    """SB401 for what every kernel refuses or what dies at once; SB112 for a shared library."""
    if elf.defect:
        return Reason(
            "SB401",
            f"{artifact.path} is damaged",
            f"{describe_file(artifact)}: {elf.defect}",
            describe_host(facts),
            _AGAIN,
        )
    if not elf.entry:
        return _no_program(artifact, facts, f"{describe_file(artifact)} without an entry point", ())
    return None


def other_system(artifact: Artifact, elf: Elf, facts: Facts) -> Reason | None:
    """SB115: a program of another operating system. Linux would start it, and its first system call is another one.

    Not where the loader that it names is on the host: Android is a Linux, and some hosts have layers for others.
    """
    if not elf.system or (elf.interpreter is not None and elf.interpreter in facts.libc.loaders):
        return None
    kernel = facts.kernel_arch
    return Reason(
        "SB115",
        f"{artifact.path} is a program for {elf.system}, and {facts.host} runs Linux",
        describe_file(artifact),
        describe_host(facts),
        (f"use the Linux build for {kernel.both_names}" if kernel else "use the Linux build",),
    )


def taken_for(elf: Elf, facts: Facts) -> Arch | None:
    """The architecture this host will take the file for, or `None` when it knows none.

    Where class or data byte contradict the layout, a kernel that does not
    look at them starts the file all the same. An emulator does look: where a
    host's own architecture is emulated, only the kernel beneath is so lax.
    """
    if elf.arch is not None:
        return elf.arch
    arch = elf.laid_out_as
    if arch is None or arch not in native_of(facts) or facts.beneath not in {None, arch}:
        return None
    return None if arch in _CHECK_CLASS and elf.bits != arch.info.bits else arch


def foreign(artifact: Artifact, elf: Elf, facts: Facts) -> Reason:
    """SB101: the machine is not this host's. Says so in the words of the particular mismatch."""
    name = machine_name(elf)
    kernel = facts.kernel_arch
    hint = f"use the file built for {kernel.both_names}" if kernel else "sealboot does not know this machine"
    summary = f"binary cannot run on {facts.host}"
    if elf.arch is not None and kernel is not None and elf.arch.info.bits < kernel.info.bits:
        relation = {(Arch.I386, Arch.AMD64), (Arch.ARM, Arch.ARM64)}
        if (elf.arch, kernel) in relation:
            summary += f": its kernel has no support for 32-bit {name} programs"
    return Reason("SB101", summary, describe_file(artifact), describe_host(facts), (hint,))


def old_arm_abi(case: Case) -> Reason | None:
    """SB110: an arm64 kernel refuses 32-bit files from before the EABI."""
    elf = case.elf
    if case.arch is not Arch.ARM or case.facts.kernel_arch is not Arch.ARM64 or not case.native:
        return None
    if elf.flags & _EF_ARM_EABI_MASK:
        return None
    return Reason(
        "SB110",
        f"binary cannot run on {case.facts.host}: its ABI is older than EABI",
        f"{describe_file(case.artifact)}, flags {elf.flags:#x}",
        describe_host(case.facts),
        ("build it for EABI 5 (armel or armhf)",),
    )
