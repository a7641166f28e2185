"""A scripted session for tests of everything that changes hosts without one.

Public, so that a driver kept elsewhere can be tested with it. It is strict: a
call that no expectation matches raises `UnexpectedCallError` with what was
asked, and `verify` fails for expectations that were never met. A fake that
answered unknown commands with success would hide the bug it is there to find.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from sealboot.model.diagnostic import Diagnostic
from sealboot.model.secret import Secret
from sealboot.transport.base import OUTPUT_LIMIT, Greeting, Hold, Progress, PutResult, Result, Session
from sealboot.transport.endings import connection_lost

CallKind: TypeAlias = Literal["run", "put", "stream", "hold"]


class UnexpectedCallError(AssertionError):
    """A fake was asked something that the test did not script."""


@dataclass(frozen=True, slots=True)
class Call:
    """One recorded call. For `put`, `script` is the destination and `stdin` the content."""

    kind: CallKind
    script: str
    args: tuple[str, ...] = ()
    env: Mapping[str, str | Secret] = field(default_factory=dict)
    stdin: bytes = b""
    become: bool = False
    mode: int | None = None
    timeout: float | None = None

    def __str__(self) -> str:
        """The call in a few words, for the failure message of a test."""
        return f"{self.kind} {self.script!r} args={self.args!r} become={self.become}"


#: A part of the script (text), a pattern searched in it, or any test of the call.
Matcher: TypeAlias = str | re.Pattern[str] | Callable[[Call], bool]
#: What is answered: a result, the standard output of a success, or a function of the call.
Answer: TypeAlias = Result | bytes | Callable[[Call], Result]


@dataclass(slots=True)
class _Expectation:
    kind: CallKind
    matcher: Matcher
    answer: Answer
    left: int | None
    met: int = 0

    def matches(self, call: Call) -> bool:
        if call.kind != self.kind or self.left == 0:
            return False
        if isinstance(self.matcher, str):
            return self.matcher in call.script
        if isinstance(self.matcher, re.Pattern):
            return self.matcher.search(call.script) is not None
        return self.matcher(call)


def ok(stdout: bytes = b"", stderr: bytes = b"") -> Result:
    """The result of a script that ended well."""
    return Result("exited", 0, stdout, stderr)


def failed(status: int, stderr: bytes = b"", stdout: bytes = b"") -> Result:
    """The result of a script that ended with this status."""
    return Result("exited", status, stdout, stderr)


class FakeSession:
    """See `Session`. `calls` are in the order of arrival, `files` what `put` wrote."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._expected: list[_Expectation] = []
        self._lost: Diagnostic | None = None
        self.calls: list[Call] = []
        self.files: dict[str, bytes] = {}
        self.holds: list[FakeHold] = []
        self.closed = False

    @property
    def host(self) -> str:
        """The inventory name."""
        return self._host

    @property
    def lost(self) -> Diagnostic | None:
        """Set by `lose`."""
        return self._lost

    def expect(
        self, matcher: Matcher, answer: Answer = b"", *, kind: CallKind = "run", times: int | None = 1
    ) -> FakeSession:
        """Script an answer; `times=None` means any number, none included. The first match wins."""
        self._expected.append(_Expectation(kind, matcher, answer, times))
        return self

    def lose(self, reason: str = "connection reset") -> None:
        """From now on the connection is gone: every call ends as `lost`, every hold is dead."""
        self._lost = connection_lost(self._host, reason)
        for hold in self.holds:
            hold.drop()

    def verify(self) -> None:
        """Fail when an expectation with a number was not met that often."""
        unmet = [e for e in self._expected if e.left]
        if unmet:
            wanted = "; ".join(f"{e.kind} {e.matcher!r} ({e.left} more)" for e in unmet)
            raise AssertionError(f"{self._host}: never asked: {wanted}")

    def _answer(self, call: Call) -> Result:
        self.calls.append(call)
        if self._lost is not None:
            return Result("lost", None, diagnostic=self._lost)
        for expected in self._expected:
            if expected.matches(call):
                expected.met += 1
                if expected.left is not None:
                    expected.left -= 1
                answer = expected.answer
                if isinstance(answer, bytes):
                    return ok(answer)
                return answer if isinstance(answer, Result) else answer(call)
        raise UnexpectedCallError(f"{self._host} was not told how to answer: {call}")

    async def run(
        self,
        script: str,
        *,
        args: Sequence[str] = (),
        env: Mapping[str, str | Secret] | None = None,
        stdin: bytes = b"",
        become: bool = False,
        timeout: float,  # noqa: ASYNC109 (the protocol's)
        limit: int = OUTPUT_LIMIT,
    ) -> Result:
        """Answer as scripted; output above the limit ends as `overflow`, as on a real host."""
        result = self._answer(Call("run", script, tuple(args), dict(env or {}), stdin, become, None, timeout))
        if len(result.stdout) > limit or len(result.stderr) > limit:
            return Result("overflow", None, result.stdout[:limit], result.stderr[:limit])
        return result

    async def put(
        self,
        source: Path | bytes,
        dest: str,
        *,
        mode: int = 0o600,
        become: bool = False,
        stall: float = 60.0,
        progress: Progress | None = None,
    ) -> PutResult:
        """Store the content in `files` unless the scripted answer is a failure or the file exists."""
        data = source if isinstance(source, bytes) else source.read_bytes()  # noqa: ASYNC240 (a fake may block)
        result = self._answer(Call("put", dest, (), {}, data, become, mode, stall))
        if result.ok and dest in self.files:
            result = failed(73, f"the file exists already: {dest}\n".encode())
        if not result.ok:
            return PutResult(result, "", 0)
        self.files[dest] = data
        if progress is not None:
            progress(len(data))
        return PutResult(result, hashlib.sha256(data).hexdigest(), len(data))

    async def stream(
        self,
        pieces: Iterator[bytes],
        size: int,
        script: str,
        *,
        args: Sequence[str] = (),
        become: bool = False,
        stall: float = 60.0,
        progress: Progress | None = None,
    ) -> Result:
        """Answer as scripted; the call's `stdin` is everything that was to be sent."""
        data = b"".join(pieces)
        if len(data) != size:
            raise UnexpectedCallError(f"{self._host} was to be sent {size} bytes, and there are {len(data)}")
        result = self._answer(Call("stream", script, tuple(args), {}, data, become, None, stall))
        if progress is not None and result.ok:
            progress(size)
        return result

    async def hold(
        self,
        script: str,
        *,
        args: Sequence[str] = (),
        become: bool = False,
        ready: str,
        timeout: float,  # noqa: ASYNC109 (the protocol's)
    ) -> Hold | Result:
        """A `FakeHold` when the scripted answer is a success that printed the ready line."""
        result = self._answer(Call("hold", script, tuple(args), {}, b"", become, None, timeout))
        if not result.ok or ready not in result.text.splitlines():
            return result
        hold = FakeHold()
        self.holds.append(hold)
        return hold

    async def close(self) -> None:
        """End the session; its holds are dead."""
        self.closed = True
        self.lose("closed by sealboot")


class FakeHold:
    """See `Hold`."""

    def __init__(self) -> None:
        self.released = False
        self._alive = True

    @property
    def alive(self) -> bool:
        """Whether it was neither released nor dropped."""
        return self._alive

    def drop(self) -> None:
        """The script is gone, as after a lost connection."""
        self._alive = False

    async def release(self) -> None:
        """Let it end."""
        self.released = True
        self._alive = False


class FakeConnector:
    """See `Connector`. Hands out what it was given; an unknown name raises `UnexpectedCallError`."""

    def __init__(self, sessions: Mapping[str, Session | Diagnostic] | Iterable[FakeSession]) -> None:
        if isinstance(sessions, Mapping):
            self._sessions: dict[str, Session | Diagnostic] = dict(sessions)
        else:
            self._sessions = {session.host: session for session in sessions}
        self.connected: list[str] = []
        self.closed = False
        #: What answers where SSH does not, by host and port; whoever is not here must not be asked.
        self.greetings: dict[tuple[str, int], Greeting | str] = {}

    async def connect(self, name: str) -> Session | Diagnostic:
        """The session or the diagnostic for this name."""
        self.connected.append(name)
        if name not in self._sessions:
            raise UnexpectedCallError(f"no session was scripted for {name}")
        return self._sessions[name]

    async def knock(self, name: str, port: int, alpn: tuple[str, ...] | None) -> Greeting | str:
        """The answer for this host and port."""
        del alpn
        if (name, port) not in self.greetings:
            raise UnexpectedCallError(f"no answer was scripted for port {port} of {name}")
        return self.greetings[name, port]

    async def close(self) -> None:
        """Close every session."""
        self.closed = True
        for session in self._sessions.values():
            if not isinstance(session, Diagnostic):
                await session.close()
