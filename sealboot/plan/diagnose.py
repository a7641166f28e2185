"""Why a program on a host did not do what it should: from its exit status, told apart by facts.

Shells word the same failure differently, and bash says of a truncated native
file what it says of a foreign one. So the status opens the question, the file
and the host answer it, and text decides only what nothing else can.
"""

from __future__ import annotations

from sealboot.model.artifact import Artifact
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.facts import Facts

#: A shell reports "found, but not executable" and "not found" so (POSIX, 2.8.2), and 128 + n for signal n.
_NOT_EXECUTABLE, NOT_FOUND, _SIGNALS = 126, 127, 128
_SIGNAL_NAMES = {4: "SIGILL", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 9: "SIGKILL", 11: "SIGSEGV"}
_SAID = 200  # characters of a host's text that are quoted


def diagnose(
    exit_status: int,
    stdout: str,
    stderr: str,
    facts: Facts | None = None,
    artifact: Artifact | None = None,
    *,
    answer_expected: bool = False,
) -> Diagnostic | None:
    """The finding behind an exit status, or `None` when the status is the program's own affair.

    SB602 cannot-start: the kernel refused the file. SB613 program-not-found.
    SB614 program-crashed: ended by a signal. SB615 program-silent: exit
    status 0 and nothing said where an answer was expected (`answer_expected`).
    """
    if exit_status == _NOT_EXECUTABLE or (exit_status in {2, NOT_FOUND} and _foreign(facts, artifact)):
        code, summary, hints = "SB602", *_refused(stderr, facts, artifact)
    elif exit_status == NOT_FOUND and not names_own_reason(stderr):
        code, summary, hints = "SB613", *_not_found(facts, artifact)
    elif exit_status > _SIGNALS:
        code, summary, hints = "SB614", *_crashed(exit_status - _SIGNALS, facts, artifact)
    elif exit_status == 0 and answer_expected and not (stdout.strip() or stderr.strip()):
        code, summary, hints = "SB615", *_silent(artifact)
    else:
        return None
    return Diagnostic(
        code,
        summary,
        host=facts.host if facts else None,
        artifact=artifact.path if artifact else None,
        evidence=_evidence(exit_status, stderr or stdout, facts, artifact),
        hints=hints,
    )


def names_own_reason(said: str) -> bool:
    """Whether a program that ended with 127 said something else than that a file was not found.

    busybox does (`NAME: applet not found`), and a shell's function may.
    """
    lowered = said.strip().lower()
    missing = "not found" in lowered.replace("applet not found", "") or "no such file" in lowered
    return bool(lowered) and not missing


def _foreign(facts: Facts | None, artifact: Artifact | None) -> bool:
    """Whether the host's kernel has no way to run the file's architecture."""
    if facts is None or artifact is None or artifact.elf is None:
        return False
    arch = artifact.elf.arch
    return arch is None or (arch != facts.kernel_arch and arch not in facts.native | facts.emulates)


def _refused(stderr: str, facts: Facts | None, artifact: Artifact | None) -> tuple[str, tuple[str, ...]]:
    if _foreign(facts, artifact):
        return "the file is for another processor than the host's", (
            "give the slot a file for this architecture",
        )
    if artifact is not None and (artifact.size == 0 or artifact.diagnostics):
        return "the file itself is damaged", (f"look at it with `sealboot inspect {artifact.path}`",)
    if "ermission denied" in stderr:
        return "the host does not let programs run from that place", (
            "look at the mount options (noexec) and the security policy there",
        )
    return "the kernel refused to start the program", ("compare the file's hash on the host with the plan's",)


def _not_found(facts: Facts | None, artifact: Artifact | None) -> tuple[str, tuple[str, ...]]:
    loader = artifact.elf.interpreter if artifact is not None and artifact.elf is not None else None
    if loader is not None and facts is not None and loader not in facts.libc.loaders:
        return f"the program needs the loader {loader}, which the host does not have", (
            "use a static build, or one for this host's C library",
        )
    return "a program of the step does not exist on the host", (
        "an earlier step may have to install it, or its path is wrong",
    )


def _crashed(signal: int, facts: Facts | None, artifact: Artifact | None) -> tuple[str, tuple[str, ...]]:
    name = _SIGNAL_NAMES.get(signal, f"signal {signal}")
    if name == "SIGKILL":
        return "the program was killed (SIGKILL)", ("look for the out-of-memory killer in `dmesg`",)
    if name == "SIGILL":
        return "the program used an instruction that the processor does not have (SIGILL)", (
            "use a build for an older level of this architecture",
        )
    page = facts.page_size if facts else None
    if artifact is not None and page is not None and page > 4096:
        return f"the program crashed ({name}); the host has pages of {page >> 10} KiB", (
            "builds aligned for 4 KiB pages do not run there",
        )
    return f"the program crashed ({name}) although the file suits the host", (
        "the build itself may be broken: try another release of it",
    )


def _silent(artifact: Artifact | None) -> tuple[str, tuple[str, ...]]:
    if artifact is not None and artifact.size == 0:
        return "the file is empty, and a shell runs an empty file with success", ("replace the file",)
    return "the program ended well and said nothing, where an answer was expected", (
        "run it by hand on the host",
    )


def _evidence(
    exit_status: int, said: str, facts: Facts | None, artifact: Artifact | None
) -> tuple[tuple[str, str], ...]:
    rows = [("exit", str(exit_status))]
    if artifact is not None and artifact.elf is not None:
        arch = artifact.elf.arch
        rows.append(("file", arch.both_names if arch else f"ELF machine {artifact.elf.machine:#x}"))
    if facts is not None:
        rows.append(("host", facts.kernel_arch.both_names if facts.kernel_arch else facts.kernel_machine))
    if said.strip():
        rows.append(("said", said.strip()[:_SAID]))
    return tuple(rows)
