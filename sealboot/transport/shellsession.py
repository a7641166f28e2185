"""`run`, `put` and `hold` over any kind of shell channel; SSH and local sessions add the channel."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from sealboot.model.diagnostic import Diagnostic
from sealboot.model.host import Host
from sealboot.model.secret import Secret, SecretSource
from sealboot.transport import upload
from sealboot.transport.base import OUTPUT_LIMIT, Hold, Progress, PutResult, Result
from sealboot.transport.become import Become
from sealboot.transport.channel import Conversation, Pipe
from sealboot.transport.endings import conclude, connection_lost
from sealboot.transport.hold import HeldScript, said_line
from sealboot.transport.shell import prelude
from sealboot.transport.stream import Pieces

#: Channels at once on one connection: OpenSSH's MaxSessions is 10 by default, and a lock holds one.
CHANNELS = 8

#: Seconds to open a channel and start the shell of an upload or a held script.
START_LIMIT = 60.0


class ShellSession(ABC):
    """A session whose every call is one shell on one channel."""

    def __init__(self, host: Host, login_user: str, secrets: SecretSource) -> None:
        self._host = host
        self._become = Become(host, login_user, secrets)
        self._slots = asyncio.Semaphore(CHANNELS)

    @property
    def host(self) -> str:
        """The inventory name."""
        return self._host.name

    @property
    @abstractmethod
    def lost(self) -> Diagnostic | None:
        """Why the connection is gone; `None` while it lives."""

    @property
    def become_failure(self) -> Diagnostic | None:
        """Why the become user cannot be reached, once that was tried (SB303)."""
        return self._become.failure

    @abstractmethod
    async def _open(self, talk: Conversation) -> Pipe | Result:
        """Start `/bin/sh` behind a new channel that reports to `talk`; the result, if that fails."""

    @asynccontextmanager
    async def _shell(self, talk: Conversation, *, become: bool) -> AsyncIterator[Pipe | Result]:
        """A channel with a shell of the right user behind it, closed in every case."""
        become = become and self._become.needed
        async with self._slots:
            refused = self._become.refused() if become else None
            if refused is not None:
                yield _no_become(refused)
                return
            pipe = await self._open(talk)
            if isinstance(pipe, Result):
                yield pipe
                return
            try:
                failure = await self._become.ascend(talk, pipe) if become else None
                yield pipe if failure is None else _no_become(failure)
            finally:
                pipe.close()

    async def run(
        self,
        script: str,
        *,
        args: Sequence[str] = (),
        env: Mapping[str, str | Secret] | None = None,
        stdin: bytes = b"",
        become: bool = False,
        timeout: float,  # noqa: ASYNC109 (the deadline travels to the host as well)
        limit: int = OUTPUT_LIMIT,
    ) -> Result:
        """See `Session.run`. Raises `ValueError` for a NUL in any text, or a malformed variable name."""
        started = time.monotonic()
        if self.lost is not None:
            return self._gone()
        talk = Conversation(limit)
        text = prelude(
            script,
            nonce=talk.nonce,
            args=args,
            env=env,
            feed="channel" if stdin else "none",
            seconds=timeout,
        )
        timed_out = False
        try:
            async with asyncio.timeout(timeout), self._shell(talk, become=become) as pipe:
                if isinstance(pipe, Result):
                    return pipe
                pipe.write(text)
                if stdin:
                    await talk.until(lambda: talk.begun or talk.over)
                    pipe.write(stdin)
                    pipe.write_eof()
                await talk.finish()
        except TimeoutError:
            timed_out = True
        return self._conclude(talk, timed_out=timed_out, started=started)

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
        """See `Session.put`. Raises `OSError` when the local file cannot be read."""
        if self.lost is not None:
            return PutResult(self._gone(), "", 0)
        content = upload.Source(source)
        try:
            return await self._put(content, dest, mode, become=become, stall=stall, progress=progress)
        finally:
            content.close()

    async def _put(
        self,
        content: upload.Source,
        dest: str,
        mode: int,
        *,
        become: bool,
        stall: float,
        progress: Progress | None,
    ) -> PutResult:
        args = (dest, f"{mode:04o}", str(content.size))
        result, sent = await self._send(
            content, upload.SCRIPT, args, become=become, stall=stall, progress=progress
        )
        if result.exit_status == upload.NO_HASH:
            return await self._read_back(result, dest, content.size, sent, become=become)
        return upload.outcome(result, upload.digest(result), sent)

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
        """See `Session.stream`."""
        if self.lost is not None:
            return self._gone()
        content = Pieces(pieces, size)
        result, _ = await self._send(content, script, args, become=become, stall=stall, progress=progress)
        return result

    async def _send(
        self,
        content: upload.Sendable,
        script: str,
        args: Sequence[str],
        *,
        become: bool,
        stall: float,
        progress: Progress | None,
    ) -> tuple[Result, int]:
        """Run a script that reads the content on its standard input: how it ended, and the bytes that left."""
        started = time.monotonic()
        talk = Conversation(OUTPUT_LIMIT)
        text = prelude(script, nonce=talk.nonce, args=args, feed="channel")
        sent, stalled = 0, True
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(max(stall, START_LIMIT)):
                    pipe = await stack.enter_async_context(self._shell(talk, become=become))
                    if isinstance(pipe, Result):
                        return pipe, 0
                    pipe.write(text)
                    await talk.until(lambda: talk.begun or talk.over)
                sent, stalled = await upload.send(talk, pipe, content, stall=stall, progress=progress)
            except TimeoutError:
                stalled = True
        return self._conclude(talk, timed_out=stalled, started=started), sent

    async def _read_back(self, result: Result, dest: str, size: int, sent: int, *, become: bool) -> PutResult:
        """Hash a file here where the host has no tool for it: it comes back in bounded pieces."""
        hasher = upload.ReadBack(size)
        while hasher.offset < size:
            part = await self.run(
                upload.READ_PART,
                args=(dest, str(hasher.block)),
                become=become,
                timeout=START_LIMIT * 2,
                limit=upload.PART,
            )
            if not hasher.take(part):
                return PutResult(part, "", sent)
        done = Result("exited", 0, b"", result.stderr, result.seconds)
        return PutResult(done, hasher.digest(), sent)

    async def hold(
        self,
        script: str,
        *,
        args: Sequence[str] = (),
        become: bool = False,
        ready: str,
        timeout: float,  # noqa: ASYNC109 (until it is ready; a lock lives as long as it is held)
    ) -> Hold | Result:
        """See `Session.hold`."""
        started = time.monotonic()
        if self.lost is not None:
            return self._gone()
        talk = Conversation(OUTPUT_LIMIT)
        text = prelude(script, nonce=talk.nonce, args=args, feed="channel")
        timed_out = False
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(timeout):
                    pipe = await stack.enter_async_context(self._shell(talk, become=become))
                    if isinstance(pipe, Result):
                        return pipe
                    pipe.write(text)
                    await talk.until(lambda: said_line(talk, ready) or talk.over or talk.framed)
                    if not said_line(talk, ready) or talk.over or talk.framed:
                        await talk.finish()
                        return self._conclude(talk, timed_out=False, started=started)
                    # From here on the channel belongs to the hold, its slot included.
                    kept = stack.pop_all()
                    return HeldScript(talk, pipe, kept.aclose)
            except TimeoutError:
                timed_out = True
        return self._conclude(talk, timed_out=timed_out, started=started)

    @abstractmethod
    async def close(self) -> None:
        """End the connection; never raises, never waits for a hung host."""

    def _gone(self) -> Result:
        return Result("lost", None, diagnostic=self.lost or connection_lost(self.host, ""))

    def _conclude(self, talk: Conversation, *, timed_out: bool, started: float) -> Result:
        return conclude(self.host, talk, timed_out=timed_out, seconds=time.monotonic() - started)


def _no_become(why: Diagnostic) -> Result:
    return Result("no-become", None, stderr=why.summary.encode("utf-8", "backslashreplace"), diagnostic=why)
