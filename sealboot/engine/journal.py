"""What was begun and what was done on a host, kept on the host.

The journal is never believed about the state of the machine: checks are asked
again. It is needed for what no check can tell: that a run was cut off, where,
and which steps without a check are still owed because something they come
after was changed by a run that did not live to do them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from sealboot.engine.failures import note, unanswered
from sealboot.engine.shell import PRELUDE, NodePaths, node_paths
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.host import Host
from sealboot.model.steps import Step
from sealboot.transport.base import Session

#: Where a cluster's host has its journal.
Places: TypeAlias = Callable[[str, Host], NodePaths]

Mark: TypeAlias = Literal["started", "done", "failed", "finished"]

#: Seconds for one line, the flush to the disk included.
WRITE_TIMEOUT = 60.0
#: Bytes of a journal that are read back; a run that was cut off has far fewer.
READ_LIMIT = 1 << 19

# The empty line first ends a line that a power cut left half written.
_APPEND = (
    PRELUDE
    + r"""
mkdir -p "${1%/*}" && printf '\n%s\n' "$2" >>"$1" && sb_sync "$1"
"""
)
# The line of a run that came to its end replaces everything before it, and what was kept of failures goes.
_REPLACE = (
    PRELUDE
    + r"""
printf '%s\n' "$2" | sb_record "$1" || exit
rm -rf "$3" || :
"""
)
_READ = """
[ -e "$1" ] || exit 0
tail -c "$2" "$1"
"""
_MARKS: dict[str, Mark] = {"started": "started", "done": "done", "failed": "failed", "finished": "finished"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: which run, which step, what became of it, and when by the controller's clock (UTC)."""

    run: str
    step: str
    mark: Mark
    at: str = ""


@dataclass(frozen=True, slots=True)
class History:
    """What the journal of one host tells about runs that did not come to their end."""

    entries: tuple[Entry, ...] = ()

    @property
    def cut_off(self) -> Entry | None:
        """The last entry of a run that did not finish; `None` after a run that did."""
        return self.entries[-1] if self.entries and self.entries[-1].mark != "finished" else None

    def owes(self, step: Step) -> bool:
        """Whether something `step` comes after acted in a past run, and `step` was not done since."""
        last_done = max((n for n, e in enumerate(self.entries) if _is(e, step.id, "done")), default=-1)
        return any(
            e.step in step.only_after and e.mark in {"started", "done"} for e in self.entries[last_done + 1 :]
        )


def _is(entry: Entry, step: str, mark: Mark) -> bool:
    return entry.step == step and entry.mark == mark


async def read(session: Session, paths: NodePaths) -> History | Diagnostic:
    """Read the journal. A line that is no entry is passed over: it tells nothing."""
    result = await session.run(
        _READ, args=(paths.journal, str(READ_LIMIT)), become=True, timeout=WRITE_TIMEOUT, limit=2 * READ_LIMIT
    )
    if not result.ok:
        return unanswered(session.host, "reading its journal", result)
    entries = [entry for line in result.text.splitlines() if (entry := _entry(line)) is not None]
    ends = [n for n, entry in enumerate(entries) if entry.mark == "finished"]
    return History(tuple(entries[ends[-1] + 1 :] if ends else entries))


async def write(session: Session, paths: NodePaths, entry: Entry) -> Diagnostic | None:
    """Add one line and flush it to the disk."""
    script = _REPLACE if entry.mark == "finished" else _APPEND
    line = json.dumps({"run": entry.run, "step": entry.step, "mark": entry.mark, "at": entry.at})
    told = (paths.journal, line, paths.logs)
    result = await session.run(script, args=told, become=True, timeout=WRITE_TIMEOUT)
    if result.ending == "lost" and session.lost is None:
        # A server may fail to report how a script ended (seen with dropbear); the same line twice does no harm.
        result = await session.run(script, args=told, become=True, timeout=WRITE_TIMEOUT)
    if result.ok:
        return None
    return unanswered(session.host, "writing its journal", result)


async def unfinished(
    sessions: Mapping[str, Session], cluster: str, hosts: Mapping[str, Host], paths: Places = node_paths
) -> tuple[Diagnostic, ...]:
    """SB512 for every host whose last run was cut off: it may owe steps that no check can show.

    A plan without changes must still be applied where this finds something. Reads only. `paths` says
    where a host's journal lies for the session that is given.
    """
    names = tuple(name for name in sessions if name in hosts)
    found = await asyncio.gather(*(read(sessions[n], paths(cluster, hosts[n])) for n in names))
    return tuple(
        resumed(name, history.cut_off)
        for name, history in zip(names, found, strict=True)
        if isinstance(history, History) and history.cut_off is not None
    )


def resumed(host: str, entry: Entry) -> Diagnostic:
    """SB512, a note: the run before this one was cut off."""
    at = f" at {entry.at}" if entry.at else ""
    return note("SB512", f"previous run {entry.run} stopped at step {entry.step} ({entry.mark}){at}", host)


def _entry(line: str) -> Entry | None:
    try:
        tree = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(tree, dict):
        return None
    mark = _MARKS.get(str(tree.get("mark")))
    run, step, at = (tree.get(name) for name in ("run", "step", "at"))
    if mark is None or not isinstance(run, str) or not isinstance(step, str):
        return None
    return Entry(run[:64], step[:200], mark, at[:40] if isinstance(at, str) else "")
