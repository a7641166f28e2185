"""The controller itself as a host: `/bin/sh` in a child process, over the same shell protocol."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import signal
from typing import cast

from sealboot.model.diagnostic import Diagnostic
from sealboot.model.host import Host
from sealboot.model.secret import Secret, SecretRef, SecretSource
from sealboot.transport.base import Result
from sealboot.transport.channel import Conversation, Readable
from sealboot.transport.endings import connection_lost, no_shell
from sealboot.transport.shell import LOADER
from sealboot.transport.shellsession import ShellSession

#: Seconds for ended processes to be gone before they are killed.
CLOSE_LIMIT = 2.0


def no_secrets(reference: SecretRef) -> Secret:
    """A source that has nothing; raises `LookupError`."""
    raise LookupError(f"no secret source for {reference}")


class LocalSession(ShellSession):
    """See `Session`. `login_shell` is run as a server would run it: `SHELL -c LOADER`."""

    def __init__(
        self,
        host: Host,
        *,
        secrets: SecretSource = no_secrets,
        login_user: str | None = None,
        login_shell: tuple[str, ...] = ("/bin/sh",),
    ) -> None:
        super().__init__(host, login_user or getpass.getuser(), secrets)
        self._shell_command = login_shell
        self._pipes: set[LocalPipe] = set()
        self._closed: Diagnostic | None = None

    @property
    def lost(self) -> Diagnostic | None:
        """A closed session is a lost one."""
        return self._closed

    async def _open(self, talk: Conversation) -> LocalPipe | Result:
        try:
            transport, _ = await asyncio.get_running_loop().subprocess_exec(
                lambda: _Receiver(talk), *self._shell_command, "-c", LOADER, start_new_session=True
            )
        except OSError as error:
            said = str(error).encode("utf-8", "backslashreplace")
            return Result("no-shell", None, said, diagnostic=no_shell(self.host, said, None))
        pipe = LocalPipe(transport, talk, self._pipes)
        self._pipes.add(pipe)
        return pipe

    async def close(self) -> None:
        """End every child process; never raises, waits briefly."""
        self._closed = self._closed or connection_lost(self.host, "closed by sealboot")
        pipes = tuple(self._pipes)
        for pipe in pipes:
            pipe.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_LIMIT):
                await asyncio.gather(*(pipe.wait() for pipe in pipes if pipe in self._pipes))
        for pipe in tuple(self._pipes):
            pipe.drop()


class _Receiver(asyncio.SubprocessProtocol):
    """Hands what a child process says to its conversation."""

    def __init__(self, talk: Conversation) -> None:
        self._talk = talk
        self._transport: asyncio.SubprocessTransport | None = None
        self._open = {1, 2}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.SubprocessTransport, transport)
        stdin = cast(asyncio.WriteTransport, self._transport.get_pipe_transport(0))
        stdin.set_write_buffer_limits(0, 0)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self._talk.received(data, error=fd == 2)

    def pipe_connection_lost(self, fd: int, _exc: Exception | None) -> None:
        self._open.discard(fd)
        self._settle()

    def process_exited(self) -> None:
        status = None if self._transport is None else self._transport.get_returncode()
        if status is not None and status >= 0:
            self._talk.exited(status)
        self._settle()

    def _settle(self) -> None:
        """All has been said once both outputs are closed and the process is gone."""
        if not self._open and self._transport is not None and self._transport.get_returncode() is not None:
            self._talk.ended(None)

    def pause_writing(self) -> None:
        self._talk.set_writable(False)

    def resume_writing(self) -> None:
        self._talk.set_writable(True)


class LocalPipe:
    """The sending side of one child process."""

    def __init__(
        self, transport: asyncio.SubprocessTransport, talk: Conversation, open_pipes: set[LocalPipe]
    ) -> None:
        self._transport = transport
        self._talk = talk
        self._open_pipes = open_pipes

    @property
    def _stdin(self) -> asyncio.WriteTransport:
        return cast(asyncio.WriteTransport, self._transport.get_pipe_transport(0))

    def write(self, data: bytes | memoryview) -> None:
        """Queue bytes for standard input; dropped when the process closed it."""
        if not self._stdin.is_closing():
            self._stdin.write(data)

    def feed(self, source: Readable, offset: int) -> None:
        """There is no quicker way than `write`."""
        del source, offset

    def write_eof(self) -> None:
        """Close standard input once everything queued is written."""
        if not self._stdin.is_closing():
            self._stdin.write_eof()

    def backlog(self) -> int:
        """Bytes that wait for the process to read."""
        return 0 if self._stdin.is_closing() else self._stdin.get_write_buffer_size()

    def close(self) -> None:
        """End the process group, unless it ended by itself, and drop the pipes."""
        if not self._talk.over and self._transport.get_returncode() is None:
            # Already gone, or become's child, whose own watcher sees standard input close.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._transport.get_pid(), signal.SIGTERM)
        if self._transport.get_returncode() is None:
            # Only the pipes: closing the whole transport would race with asyncio for the exit status.
            for number in range(3):
                pipe = self._transport.get_pipe_transport(number)
                if pipe is not None:
                    pipe.close()
        else:
            self.drop()

    async def wait(self) -> None:
        """Wait until the process is gone."""
        await self._talk.until(lambda: self._talk.closed)

    def drop(self) -> None:
        """Forget the process; kills it where it still runs."""
        self._open_pipes.discard(self)
        self._transport.close()
