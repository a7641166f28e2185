"""What the kernel really is and what it executes, weighed from sources that may contradict each other.

Sources, most trusted first: `/proc/sys/kernel/arch` (the kernel's own
UTS_MACHINE, Linux 6.1 and later, blind to personalities and to emulators), the
ELF header of the running shell (proof that such programs run here), the
sysctls that only one architecture has, and `uname -m` (which a personality or
a user-mode emulator changes). Nothing is ever assumed: what no source tells
stays `None`.
"""

from __future__ import annotations

from dataclasses import dataclass

from sealboot.model.arch import Arch, arch_from_uname
from sealboot.model.facts import BinfmtHandler
from sealboot.probe.binfmt import Rule, judged
from sealboot.probe.elfhead import Head

#: The 32-bit half of each 64-bit kernel that can have one.
COMPAT = {
    Arch.AMD64: Arch.I386,
    Arch.ARM64: Arch.ARM,
    Arch.MIPS64: Arch.MIPS,
    Arch.MIPS64LE: Arch.MIPSLE,
}
_BIG_MIPS = {Arch.MIPS64LE: Arch.MIPS64, Arch.MIPSLE: Arch.MIPS}


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the script found, before it is weighed."""

    uname: str
    sysctl_arch: str  # /proc/sys/kernel/arch, empty before Linux 6.1
    shell: Head | None
    abi: frozenset[str]  # names of the sysctls that exist, and ia32_emulation=…
    linux32: str  # what uname -m says under a 32-bit personality
    config: frozenset[str]  # lines of the kernel's configuration
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Machine:
    """The outcome: see `Facts` for the meaning of each."""

    kernel_arch: Arch | None
    native: frozenset[Arch]
    handlers: tuple[BinfmtHandler, ...]
    personality_32: bool
    beneath: Arch | None
    conflicts: tuple[str, ...]


def weigh(evidence: Evidence) -> Machine:
    """Decide what the kernel is, what it runs by itself and through whom it runs the rest."""
    named = uname_arch(evidence.uname, evidence.shell)
    real, conflicts = _kernel(evidence, named)
    shell = evidence.shell.arch if evidence.shell else None
    own = _own(real, evidence, shell)
    handlers = tuple(judged(rule, own) for rule in evidence.rules)
    refused = frozenset(h.arch for h in handlers if h.refuses and h.arch is not None)
    native = own - refused
    beneath = None
    emulated = real is not None and shell is not None and shell not in own
    if real is not None and emulated and shell == named and real in refused:
        # Nothing of the real kernel's own kind runs, everything comes from one emulator: whatever is
        # shipped here must be of the emulated kind, exactly as on a machine of that kind.
        conflicts = (*conflicts, _emulated_machine(real, shell, handlers))
        return Machine(shell, frozenset({shell} if shell else ()), handlers, False, real, conflicts)
    if emulated and shell is not None and not any(h.arch is shell and not h.refuses for h in handlers):
        handlers = (*handlers, BinfmtHandler("(not visible)", "", "", shell))
    if emulated and shell is not None:
        beneath = real
        conflicts = (*conflicts, f"the shell is {shell.both_names} and runs through an emulator")
    personality = real is not None and named is not None and COMPAT.get(real) is named
    if personality and real is not None:
        conflicts = (
            *conflicts,
            f"uname says {evidence.uname}, the kernel is {real.both_names}: a 32-bit personality",
        )
    return Machine(real, native, handlers, personality, beneath, conflicts)


def uname_arch(uname: str, shell: Head | None) -> Arch | None:
    """`uname -m` as an architecture; where it leaves the byte order open (MIPS) the shell's decides."""
    arch = arch_from_uname(uname)
    if arch in _BIG_MIPS or arch in _BIG_MIPS.values():
        if shell is None or arch is None:
            return None
        return _BIG_MIPS.get(arch, arch) if shell.endian == "big" else arch
    return arch


def _kernel(evidence: Evidence, named: Arch | None) -> tuple[Arch | None, tuple[str, ...]]:
    """The real kernel, and in words which sources disagree about more than its 32-bit half."""
    shell = evidence.shell.arch if evidence.shell else None
    told = uname_arch(evidence.sysctl_arch, evidence.shell) if evidence.sysctl_arch else None
    if told is not None:
        apart = named is not None and named not in {told, COMPAT.get(told)}
        return told, (
            (f"uname says {evidence.uname}, /proc/sys/kernel/arch says {evidence.sysctl_arch}",)
            if apart
            else ()
        )
    implied = _by_sysctl(evidence.abi)
    if implied is not None and named is not None and named not in {implied, COMPAT.get(implied)}:
        return implied, (f"uname says {evidence.uname}, the kernel has the sysctls of {implied.both_names}",)
    if evidence.uname == "armv8l":
        return Arch.ARM64, ()  # only the 32-bit personality of an arm64 kernel prints this
    if implied is not None:
        return implied, ()
    if shell is not None and COMPAT.get(shell) is named and named is not None:
        return shell, ()  # a 64-bit program runs, so the kernel is a 64-bit one
    return named, ()


def _by_sysctl(abi: frozenset[str]) -> Arch | None:
    if "vsyscall32" in abi:
        return Arch.AMD64
    return Arch.ARM64 if "tagged_addr_disabled" in abi else None


def _own(real: Arch | None, evidence: Evidence, shell: Arch | None) -> frozenset[Arch]:
    """What the kernel's own ELF loader takes, before binfmt rules override it."""
    if real is None:
        return frozenset()
    half = COMPAT.get(real)
    if half is None:
        return frozenset({real})
    proven = shell is half and not any(rule.arch is half for rule in evidence.rules)
    # Of MIPS kernels a running program is the only proof: o32 is an option of theirs (MIPS32_O32).
    offered = (real is Arch.AMD64 and _ia32(evidence)) or (real is Arch.ARM64 and _aarch32(evidence))
    return frozenset({real, half}) if proven or offered else frozenset({real})


def _ia32(evidence: Evidence) -> bool:
    """IA-32 emulation: built in (only then the sysctl exists) and not switched off at boot (Linux 6.7)."""
    if "vsyscall32" not in evidence.abi and "CONFIG_IA32_EMULATION=y" not in evidence.config:
        return False
    words = {w.partition("=")[2] for w in evidence.abi if w.startswith("ia32_emulation=")}
    if words:
        return bool(words & {"1", "y", "Y", "on", "true"})
    return "CONFIG_IA32_EMULATION_DEFAULT_DISABLED=y" not in evidence.config


def _aarch32(evidence: Evidence) -> bool:
    """AArch32 at EL0 asks for a kernel with CONFIG_COMPAT *and* a processor that still has it.

    The processor answers through the kernel: `personality(PER_LINUX32)` fails
    on arm64 without 32-bit EL0, and the deprecated-instruction sysctls are
    registered only with it.
    """
    kernel = bool(evidence.abi & {"mmap_rnd_compat_bits", "cp15_barrier", "swp", "setend"})
    kernel = kernel or "CONFIG_COMPAT=y" in evidence.config
    processor = bool(evidence.abi & {"cp15_barrier", "swp", "setend"}) or evidence.linux32.startswith("arm")
    return kernel and processor


def _emulated_machine(real: Arch, shell: Arch | None, handlers: tuple[BinfmtHandler, ...]) -> str:
    kind = shell.both_names if shell else "unknown"
    by = next((h.name for h in handlers if h.arch is shell and not h.refuses), "an emulator")
    return f"the kernel is {real.both_names}, but it refuses such programs and runs {kind} through {by}"
