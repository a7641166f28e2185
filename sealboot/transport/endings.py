"""What a conversation amounts to: the `Result`, and the diagnostics that go with the bad endings."""

from __future__ import annotations

from sealboot.model.diagnostic import Diagnostic
from sealboot.transport.base import Ending, Result
from sealboot.transport.channel import Conversation

#: Bytes of what a host said that a diagnostic quotes.
QUOTED = 400


def quoted(said: bytes) -> str:
    """The first words of what a host said, on few lines; still hostile text, for `render` to print."""
    text = said.strip().decode("utf-8", "backslashreplace")
    return text if len(text) <= QUOTED else text[:QUOTED] + "…"


def no_shell(host: str, said: bytes, exit_status: int | None) -> Diagnostic:
    """SB205: something answered the login, but it was no POSIX shell."""
    status = "none" if exit_status is None else str(exit_status)
    return Diagnostic(
        "SB205",
        f"the account on {host} gives no usable shell",
        host=host,
        evidence=(("said", quoted(said) or "(nothing)"), ("exit status", status)),
        notes=("no command of sealboot was run on this host",),
        hints=(
            "use an account whose login shell is a real one, without a forced command (ForceCommand, command=)",
        ),
    )


def connection_lost(host: str, reason: str) -> Diagnostic:
    """SB506: the connection is gone, so whatever ran then ended in a way that nobody knows."""
    return Diagnostic(
        "SB506",
        f"the connection to {host} was lost",
        host=host,
        evidence=(("reason", reason or "the host closed it"),),
        hints=("run the same command again: finished work is recognised and not repeated",),
    )


def conclude(host: str, talk: Conversation, *, timed_out: bool, seconds: float) -> Result:
    """Read the ending off a conversation that is over (or whose deadline passed)."""
    ending = _ending(talk, timed_out=timed_out)
    stdout, stderr = talk.out.data, talk.err.data
    diagnostic: Diagnostic | None = None
    if ending == "no-shell":
        stdout, stderr = talk.out.noise, talk.err.noise
        diagnostic = no_shell(host, stdout.strip() or stderr, talk.exit_status)
    elif ending == "lost":
        diagnostic = connection_lost(host, talk.lost or "the remote shell ended without its end marker")
    status = talk.out.status if ending == "exited" else None
    return Result(ending, status, stdout, stderr, seconds, diagnostic)


def _ending(talk: Conversation, *, timed_out: bool) -> Ending:
    complete = talk.framed and talk.exit_status is not None
    if complete and talk.lost is None and talk.exit_status == talk.out.status == talk.err.status:
        return "exited"
    if not talk.begun and (talk.echoed or talk.overflow):
        return "no-shell"
    if talk.overflow:
        return "overflow"
    if talk.lost is not None:
        return "lost"
    if timed_out:  # closed or not: after the deadline the channel is shut from this side
        return "timeout"
    return "lost" if talk.begun or talk.exit_status is None else "no-shell"
