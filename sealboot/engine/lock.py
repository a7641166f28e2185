"""One apply at a time on a host: a lock that the connection holds and that frees itself (promise P9).

On the host a process holds `flock` on a file and waits on its standard input.
When the controller dies, however it dies, the channel closes, the process
reads end of file and the kernel frees the lock. Detached jobs hold locks of
their own that the next run meets: as long as one runs that is not a step of
the new plan, the host counts as busy.

Where no `flock` exists the lock is a hard link to a file that names a process
(id, start time, boot id). Whether that process lives is exact on its own
host, so no clock has to be believed, unlike with a heartbeat.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sealboot.engine.failures import ending_words, quotes
from sealboot.engine.lockscript import HOLD, RELEASE, STATUS
from sealboot.engine.shell import NodePaths, nonce
from sealboot.model.diagnostic import Diagnostic
from sealboot.transport.base import Hold, Result, Session

#: Seconds until the holding script must have answered.
ANSWER_TIMEOUT = 30.0
#: How often, and after how many seconds, a run asks for its own lock again on a new connection.
RETAKE_TRIES = 20
RETAKE_PAUSE = 0.1
#: Exit status of the script where somebody else holds the lock (EX_TEMPFAIL of sysexits.h).
BUSY = 75

_RUN_ID = re.compile(r"[0-9A-Za-z_.-]{1,64}")


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a host: all of it text that the host or another operator chose.

    `job` is the title of a detached step that still runs, where that is what
    keeps the host busy.
    """

    run: str = ""
    who: str = ""
    command: str = ""
    since: str = ""
    from_address: str = ""
    pid: str = ""
    job: str = ""

    @property
    def words(self) -> str:
        """`ops@desk, run 7f3a, since …`."""
        parts = [self.who or "somebody"]
        if self.from_address:
            parts.append(f"from {self.from_address}")
        parts += [f"{label} {text}" for label, text in self._labelled() if text]
        return ", ".join(parts)

    def _labelled(self) -> tuple[tuple[str, str], ...]:
        return (
            ("run", self.run),
            ("command", self.command),
            ("since", self.since),
            ("detached step", self.job),
        )


@dataclass(frozen=True, slots=True)
class Claim:
    """What this run says about itself beside the lock. `who` is `user@machine, pid N`."""

    run: str
    who: str
    command: str

    @property
    def text(self) -> str:
        """The holder's file, without what only the host knows."""
        return "\n".join(
            f"{name}={' '.join(value.split())}"
            for name, value in (("run", self.run), ("who", self.who), ("command", self.command))
        )


async def take(
    session: Session, paths: NodePaths, claim: Claim, adopted: Iterable[str] = ()
) -> Hold | Holder | Diagnostic:
    """Try once to take the host's lock.

    `adopted` are the keys of detached jobs that belong to this run's plan: if
    one of them still runs it does not make the host busy. Returns the hold,
    the present holder, or why the host cannot be locked (SB516).
    """
    ready = f"locked-{nonce()}"
    held = await session.hold(
        HOLD,
        args=(paths.lock, paths.state, claim.text, ready, *adopted),
        become=True,
        ready=ready,
        timeout=ANSWER_TIMEOUT,
    )
    if not isinstance(held, Result):
        return held
    if held.ending == "exited" and held.exit_status == BUSY:
        return _holder(held.text)
    return _not_lockable(session, held)


async def retake(
    session: Session, paths: NodePaths, claim: Claim, adopted: Iterable[str] = ()
) -> Hold | Holder | Diagnostic:
    """Take the lock again on a new connection of the same run.

    The old connection's holder may not have noticed its end yet; it carries
    this run's id, so it is ours to release.
    """
    adopted = tuple(adopted)
    held = await take(session, paths, claim, adopted)
    for _ in range(RETAKE_TRIES):
        # Without a run id: the holder is just ending, or has not said yet who it is.
        if not isinstance(held, Holder) or held.job or held.run not in {claim.run, ""}:
            return held
        if held.run:
            await release(session, paths, claim.run)
        await asyncio.sleep(RETAKE_PAUSE)
        held = await take(session, paths, claim, adopted)
    return held


async def status(session: Session, paths: NodePaths) -> Holder | Diagnostic | None:
    """Who holds the host; `None` when it is free. Reads only."""
    result = await session.run(STATUS, args=(paths.lock, paths.state), become=True, timeout=ANSWER_TIMEOUT)
    if not result.ok:
        return _not_lockable(session, result)
    found = _parse(result.text)
    return _holder(result.text) if found.get("state") == "held" else None


async def release(session: Session, paths: NodePaths, run_id: str) -> Diagnostic | None:
    """Free a host that `run_id` holds, by ending the process that holds it.

    The id must be the holder's own (as `lock status` shows it), so that
    nobody frees a lock that another run took meanwhile: SB517 otherwise.
    """
    if not _RUN_ID.fullmatch(run_id):
        return _not_yours(session.host, run_id, "that is no run id")
    result = await session.run(RELEASE, args=(paths.lock, run_id), become=True, timeout=ANSWER_TIMEOUT)
    if result.ok:
        return None
    if result.ending != "exited":
        return _not_lockable(session, result)
    why = {
        3: "another run holds it, or nobody does",
        4: "its holder's file names no process",
        5: "the holding process does not end",
    }
    return _not_yours(session.host, run_id, why.get(result.exit_status or 0, ending_words(result)))


def busy(host: str, holder: Holder) -> Diagnostic:
    """SB505: somebody else works on this host."""
    rows = (("holder", holder.words),) + ((("pid on host", holder.pid),) if holder.pid else ())
    return Diagnostic(
        "SB505",
        f"{host} is locked by another run",
        host=host,
        evidence=rows,
        hints=(
            "wait for it with --lock-timeout",
            f"if that run is dead: sealboot lock release {holder.run or 'RUN'}",
        ),
    )


def _not_lockable(session: Session, result: Result) -> Diagnostic:
    if result.diagnostic is not None:
        return result.diagnostic
    return Diagnostic(
        "SB516",
        f"the lock on {session.host} cannot be used: {ending_words(result)}",
        host=session.host,
        evidence=quotes(result),
        hints=("the state directory must be writable: see paths.state",),
    )


def _not_yours(host: str, run_id: str, why: str) -> Diagnostic:
    return Diagnostic("SB517", f"the lock on {host} was not released for run {run_id}: {why}", host=host)


def _parse(text: str) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for line in text.splitlines()[:50]:
        name, equals, value = line.partition("=")
        if equals:
            found.setdefault(name, value[:200])
    return found


def _holder(text: str) -> Holder:
    found = _parse(text)
    return Holder(
        run=found.get("run", ""),
        who=found.get("who", ""),
        command=found.get("command", ""),
        since=found.get("since", ""),
        from_address=found.get("from", ""),
        pid=found.get("pid", "").partition(" ")[0],
        job=found.get("job", ""),
    )
