"""What a step needs to be done: the session, the host's places, the secrets, and where progress goes."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from sealboot.engine.failures import ending_words, quotes, step_failed
from sealboot.engine.shell import NodePaths
from sealboot.engine.unpacked import Unpacked
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.facts import Facts
from sealboot.model.secret import Redactor, Secret
from sealboot.model.steps import Step
from sealboot.transport.base import Knock, Progress, Result, Session

#: lost: the connection broke while the step ran, so nobody knows yet. unknown: nobody can know.
StepResult: TypeAlias = Literal["changed", "same", "failed", "lost", "unknown"]

#: Connects to a host again after its connection was lost.
Reconnect: TypeAlias = Callable[[str], Awaitable[Session | Diagnostic]]

_PLACE = re.compile(r"\{\{ *secret\.([A-Za-z0-9_.-]+) *\}\}")


@dataclass(frozen=True, slots=True)
class StepEnd:
    """How one step ended on its host."""

    result: StepResult
    diagnostic: Diagnostic | None = None


class SecretStore:
    """The secrets of one run by name, in memory only; every one of them is taught to the redactor."""

    __slots__ = ("_given", "_known", "_redactor")

    def __init__(self, redactor: Redactor, known: Mapping[str, Secret] | None = None) -> None:
        self._redactor = redactor
        self._known: dict[str, Secret] = {}
        for name, secret in (known or {}).items():
            self.put(name, secret)
        self._given = frozenset(self._known)

    def put(self, name: str, secret: Secret) -> None:
        """Keep a secret and mask it in all texts from now on."""
        self._redactor.learn(secret)
        self._known[name] = secret

    def given(self, name: str) -> Secret | None:
        """The operator's own secret of that name: no host's answer takes its place."""
        return self._known[name] if name in self._given else None

    def get(self, name: str) -> Secret | None:
        """The secret of that name, if it is known yet."""
        return self._known.get(name)

    def fill(self, text: str, names: tuple[str, ...]) -> str | tuple[str, ...]:
        """`text` with `{{ secret.NAME }}` replaced for each of `names`; or the names that are not known.

        Only the named ones are replaced: a file that merely quotes the notation stays as it is.
        """
        missing = tuple(name for name in names if name not in self._known)
        if missing:
            return missing

        def value(match: re.Match[str]) -> str:
            return self._known[match[1]].reveal() if match[1] in names else match[0]

        return _PLACE.sub(value, text)


#: Seconds by which the clock of a file system may be coarse.
CLOCK_STEP = 2.0


class Sources:
    """Digests of files on the controller, read once for each state of a file.

    `planned` are digests that were taken after `since` (seconds since the
    epoch): a file whose inode did not change from well before then on is the
    one that was read, and is not read again. Plans name files as the inventory
    does: relative to its folder, which is `base`, whatever the working
    directory is.
    """

    __slots__ = ("_base", "_digests", "_locks", "_planned", "_since", "inside")

    def __init__(
        self, planned: Mapping[str, str] | None = None, since: float = 0.0, base: Path | None = None
    ) -> None:
        self._base = base or Path()
        #: The same for what is in compressed files.
        self.inside = Unpacked()
        self._planned = planned or {}
        self._since = since
        self._digests: dict[tuple[str, int, int, int], str] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    def path(self, source: str) -> Path:
        """Where the file that a step calls so is."""
        return self._base / source

    async def digest(self, source: str) -> str | OSError:
        """The SHA-256 of the file as it is now; re-read only if its size, time or inode changed."""
        async with self._locks.setdefault(source, asyncio.Lock()):
            try:
                return await asyncio.to_thread(self._digest, source)
            except OSError as error:
                return error

    def _digest(self, source: str) -> str:
        path = self.path(source)
        seen = path.stat()
        planned = self._planned.get(source)
        # The change time moves with every write, and unlike the other times nobody can set it back.
        if planned is not None and seen.st_ctime < self._since - CLOCK_STEP:
            return planned
        state = (str(path), seen.st_size, seen.st_mtime_ns, seen.st_ino)
        if state not in self._digests:
            with path.open("rb") as file:
                self._digests[state] = hashlib.file_digest(file, "sha256").hexdigest()
        return self._digests[state]


@dataclass(slots=True)
class Work:
    """One host's part of a run. `session` is replaced when the connection is made anew."""

    session: Session
    paths: NodePaths
    run: str
    secrets: SecretStore
    sources: Sources
    uploads: asyncio.Semaphore
    progress: Callable[[Step, int, int], None]
    boot_id: str = ""
    #: What the probe learned, where it is known.
    facts: Facts | None = None
    #: The text that says who runs a detached step, kept beside it.
    claim: str = ""
    #: Other ways to the host, for the step that ends this one.
    reconnect: Reconnect | None = None
    knock: Knock | None = None
    #: Artifact bytes that left for the host so far, those of a transfer that is cut off included.
    sent: int = 0

    def counted(self, step: Step, total: int | None = None) -> Progress:
        """For one transfer: counts what leaves, and tells it as progress of `total` bytes where that is known."""
        before = self.sent

        def moved(done: int) -> None:
            self.sent = before + done
            if total is not None:
                self.progress(step, min(done, total), total)

        return moved

    @property
    def host(self) -> str:
        """The inventory name."""
        return self.session.host

    def ended(self, step: Step, result: Result, why: str = "", *, hints: tuple[str, ...] = ()) -> StepEnd:
        """The end of a step whose script did not succeed: lost, out of time (SB507) or failed (SB501)."""
        if result.ending == "lost":
            return StepEnd("lost", result.diagnostic or self.session.lost)
        if result.diagnostic is not None:
            return StepEnd("failed", result.diagnostic)
        if result.ending == "timeout":
            late = Diagnostic(
                "SB507",
                f"{step.title}: no end within {step.timeout:g} s",
                host=self.host,
                evidence=quotes(result),
                hints=("the host was told to stop it; give the step more time if it needs it", *hints),
            )
            return StepEnd("failed", late)
        said = why or ending_words(result)
        return StepEnd(
            "failed", step_failed(self.host, step.title, said, evidence=quotes(result), hints=hints)
        )
