"""Will this machine boot that kernel? By architecture and page size: a pure function of file and facts.

What no file and no probe can tell stays out: whether the firmware is UEFI,
whether Secure Boot trusts a signature, whether drivers are there.
"""

from __future__ import annotations

from sealboot.fit.case import Reason, describe_file, describe_host
from sealboot.model.arch import Arch
from sealboot.model.artifact import Artifact, Kernel, Kind
from sealboot.model.diagnostic import Diagnostic, Location, Severity
from sealboot.model.facts import Facts
from sealboot.model.verdict import Outcome, Verdict

#: Architecture of the running kernel -> kernels that its processor starts as well. A 64-bit ARM
#: processor is not here: most server ones have no 32-bit kernel mode, and UEFI hands over in 64 bits.
_ALSO: dict[Arch, frozenset[Arch]] = {
    Arch.AMD64: frozenset({Arch.I386}),
    Arch.PPC64LE: frozenset({Arch.PPC64}),
    Arch.PPC64: frozenset({Arch.PPC64LE}),
    Arch.MIPS64LE: frozenset({Arch.MIPSLE}),
    Arch.MIPS64: frozenset({Arch.MIPS}),
}
_BOOTS = frozenset({Kind.KERNEL, Kind.UKI})


def judge_boot(artifact: Artifact, facts: Facts, *, at: Location | None = None) -> Verdict:
    """Predict whether the machine of `facts` boots the kernel or UKI in `artifact`.

    The order of reasons: unreadable, damaged or inconsistent (the file's own
    errors: SB401, SB405, SB408, SB409), nothing that boots (SB112), a kernel
    for another processor (SB114). Doubts are warnings: an architecture that
    is unknown on either side, a 32-bit system on a 64-bit processor, the
    other byte order (SB114), another page size than now (SB105).
    """
    reason = _own_error(artifact, facts) or _no_kernel(artifact, facts)
    kernel = artifact.kernel
    if reason is not None or kernel is None:
        return _verdict(artifact, facts, at, [reason] if reason else [])
    found = [made for made in (_processor(artifact, kernel, facts), _pages(artifact, kernel, facts)) if made]
    return _verdict(artifact, facts, at, found)


def _own_error(artifact: Artifact, facts: Facts) -> Reason | None:
    error = next((d for d in artifact.diagnostics if d.severity is Severity.ERROR), None)
    if error is None:
        return None
    return Reason(error.code, error.summary, describe_file(artifact), describe_host(facts), error.hints)


def _no_kernel(artifact: Artifact, facts: Facts) -> Reason | None:
    if artifact.kind in _BOOTS and artifact.kernel is not None:
        return None
    return Reason(
        "SB112",
        f"{artifact.path} is nothing that boots by itself",
        describe_file(artifact),
        describe_host(facts),
        ("name a kernel or a unified kernel image",),
    )


def _processor(artifact: Artifact, kernel: Kernel, facts: Facts) -> Reason | None:
    """SB114: what the processor starts. Under emulation it is the real one that boots."""
    now = facts.beneath or facts.kernel_arch
    wanted = kernel.arch
    file, host = describe_file(artifact), describe_host(facts)
    if now is None or wanted is None:
        unknown = "the host's processor" if now is None else "the kernel's architecture"
        summary = f"{unknown} is unknown: nobody can say whether {facts.host} boots it"
        return Reason("SB114", summary, file, host, severity=Severity.WARNING)
    if wanted is now and kernel.endian != wanted.info.endian:
        summary = f"kernel boots on {facts.host} in the other byte order: no program there now runs on it"
        return Reason("SB114", summary, f"{file}, {kernel.endian}-endian", host, severity=Severity.WARNING)
    if wanted is now or wanted in _ALSO.get(now, frozenset()):
        return None
    if _wider(now, wanted, facts):
        summary = (
            f"{facts.host} runs a 32-bit kernel on a 64-bit processor: boot it by firmware, not by kexec"
        )
        return Reason("SB114", summary, file, host, severity=Severity.WARNING)
    return Reason(
        "SB114",
        f"kernel cannot boot on {facts.host}: it is for another processor",
        file,
        host,
        (f"use the image built for {now.both_names}",),
    )


def _wider(now: Arch, wanted: Arch, facts: Facts) -> bool:
    if (now, wanted) == (Arch.I386, Arch.AMD64):
        return "lm" in facts.cpu.flags
    return (now, wanted) == (Arch.ARM, Arch.ARM64) and (facts.cpu.arm_level or 0) >= 8


def _pages(artifact: Artifact, kernel: Kernel, facts: Facts) -> Reason | None:
    """SB105, a doubt: not every processor has every page size, and not every program either."""
    if kernel.page_size is None or facts.page_size is None or kernel.page_size == facts.page_size:
        return None
    return Reason(
        "SB105",
        f"kernel has other pages than {facts.host} has now: not every processor and program takes them",
        f"{describe_file(artifact)}, pages of {kernel.page_size} bytes",
        f"pages of {facts.page_size} bytes",
        ("programs must be linked with `-Wl,-z,max-page-size=65536` to run on every page size",),
        Severity.WARNING,
    )


def _verdict(artifact: Artifact, facts: Facts, at: Location | None, reasons: list[Reason]) -> Verdict:
    found = tuple(
        Diagnostic(
            code=reason.code,
            summary=reason.summary,
            severity=reason.severity,
            host=facts.host,
            artifact=artifact.path,
            at=at,
            evidence=(("file", reason.file), ("host", reason.host)),
            hints=reason.hints,
        )
        for reason in sorted(reasons, key=lambda reason: reason.severity is not Severity.ERROR)
    )
    error = next((d.code for d in found if d.severity is Severity.ERROR), None)
    outcome = Outcome.CANNOT if error else Outcome.RUNS
    return Verdict(facts.host, artifact.path, outcome, error is None, error, found)
