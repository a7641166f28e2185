"""How what went wrong on a host is said: diagnostics of the 5xx family, and exit statuses in words."""

from __future__ import annotations

from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.plan.diagnose import NOT_FOUND, names_own_reason
from sealboot.transport.base import Result

#: Lines of a script's output that a diagnostic quotes.
QUOTED_LINES = 50

_STATUS = {
    126: "found but not executable here: wrong format, a noexec mount, or no permission",
    127: "not found: the file itself, or the program loader or library it needs",
    132: "killed by an illegal instruction (SIGILL): built for a newer processor",
    134: "aborted itself (SIGABRT)",
    135: "killed by a bus error (SIGBUS)",
    137: "killed (SIGKILL): often the kernel, out of memory",
    139: "crashed (SIGSEGV)",
    143: "was told to end (SIGTERM)",
}


def status_words(status: int | None, said: str = "") -> str:
    """An exit status with its meaning where the field agrees on one.

    Programs use 127 for reasons of their own as well: where `said` (what the program said) tells one,
    the words are weaker.
    """
    if status is None:
        return "no exit status"
    if status == NOT_FOUND and names_own_reason(said):
        return f"exit status {status}, often a command that was not found"
    meaning = _STATUS.get(status)
    return f"exit status {status}" + (f": {meaning}" if meaning else "")


def ending_words(result: Result) -> str:
    """How a script ended, in words."""
    match result.ending:
        case "exited":
            return status_words(result.exit_status, result.error_text)
        case "lost":
            return "the connection was lost"
        case "timeout":
            return f"no end within {result.seconds:.0f} s"
        case "overflow":
            return "it wrote more output than is read"
        case "no-become":
            return "the become user could not be reached"
        case _:
            return "the account gives no shell"


def tail(text: str, lines: int = QUOTED_LINES) -> str:
    """The last lines of an output."""
    return "\n".join(text.rstrip().splitlines()[-lines:])


def quotes(result: Result) -> tuple[tuple[str, str], ...]:
    """The end of what a script said, as evidence; `render` makes it safe to print."""
    said = (("error", tail(result.error_text)), ("output", tail(result.text)))
    return tuple((label, text) for label, text in said if text)


def unanswered(host: str, what: str, result: Result) -> Diagnostic:
    """A host did not get to the end of something the engine asked.

    The session's own finding where it has one (lost, no shell, no become),
    SB507 for a deadline, else SB501.
    """
    if result.diagnostic is not None:
        return result.diagnostic
    code = "SB507" if result.ending == "timeout" else "SB501"
    return Diagnostic(
        code,
        f"{host} did not finish {what}: {ending_words(result)}",
        host=host,
        evidence=quotes(result),
    )


def step_failed(
    host: str,
    title: str,
    why: str,
    *,
    evidence: tuple[tuple[str, str], ...] = (),
    hints: tuple[str, ...] = (),
) -> Diagnostic:
    """A step failed (SB501)."""
    return Diagnostic("SB501", f"{title}: {why}", host=host, evidence=evidence, hints=hints)


def note(
    code: str, summary: str, host: str | None = None, *, severity: Severity = Severity.NOTE
) -> Diagnostic:
    """A finding that stops nothing."""
    return Diagnostic(code, summary, severity=severity, host=host)
