"""One SSH connection to one host, opened and verified by the connector, reused for everything."""

from __future__ import annotations

import asyncio
import contextlib

import asyncssh

from sealboot.model.diagnostic import Diagnostic
from sealboot.model.host import Host
from sealboot.model.secret import SecretSource
from sealboot.transport.base import Result
from sealboot.transport.bulk import Bulk
from sealboot.transport.channel import Conversation, Readable
from sealboot.transport.endings import connection_lost, no_shell
from sealboot.transport.shell import LOADER
from sealboot.transport.shellsession import ShellSession

#: Seconds for a polite goodbye before the socket is dropped.
CLOSE_LIMIT = 1.0

#: Seconds between two attempts to open a channel on a server that admits fewer than `CHANNELS`.
REOPEN_INTERVAL = 0.1

#: Seconds for which a server may refuse further channels before that counts as its answer.
REOPEN_LIMIT = 20.0

#: The same while none of ours is open, on a connection that has served channels: dropbear refuses one
#: in thousands when many end at once. On a connection that never served one the first refusal counts.
HICCUP_LIMIT = 3.0


class SshSession(ShellSession):
    """See `Session`. Never asks for a PTY, never for SFTP, never passes an SSH environment."""

    def __init__(
        self,
        host: Host,
        connection: asyncssh.SSHClientConnection,
        *,
        secrets: SecretSource,
        login_user: str,
    ) -> None:
        super().__init__(host, login_user, secrets)
        self._connection = connection
        self._lost: Diagnostic | None = None
        self._open_channels = 0
        self._served = False

    @property
    def lost(self) -> Diagnostic | None:
        """Why the connection is gone; `None` while it lives."""
        if self._lost is None and self._connection.is_closed():
            self._lost = connection_lost(self.host, "")
        return self._lost

    async def _open(self, talk: Conversation) -> SshPipe | Result:
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            try:
                return await self._create(talk)
            except asyncssh.ChannelOpenError as error:
                if self.lost is not None or self._connection.is_closed():
                    return self._broken(talk, str(error))
                if loop.time() - began >= self._patience():
                    return self._refused(error)
                await asyncio.sleep(REOPEN_INTERVAL)
            except (asyncssh.Error, OSError, ValueError) as error:
                return self._broken(talk, str(error))

    def _patience(self) -> float:
        """Seconds for which a refusal may yet change: nothing of the script has been sent, so asking again is safe."""
        if self._open_channels:  # MaxSessions is smaller than our own bound: another channel has to end first
            return REOPEN_LIMIT
        return HICCUP_LIMIT if self._served else 0.0

    async def _create(self, talk: Conversation) -> SshPipe:
        receiver = _Receiver(self, talk)
        try:
            channel, _ = await self._connection.create_session(
                lambda: receiver,
                LOADER,
                env=(),
                send_env=None,
                request_pty=False,
                x11_forwarding=False,
                encoding=None,
            )
        except asyncssh.ChannelOpenError:
            # The end of this channel is reported later, when another may serve the conversation.
            receiver.detach()
            raise
        # Zero: "writable" then means that everything queued has left.
        channel.set_write_buffer_limits(0, 0)
        return SshPipe(channel, talk)

    def _broken(self, talk: Conversation, reason: str) -> Result:
        self.note_lost(talk.lost or reason)
        return self._gone()

    def _refused(self, error: asyncssh.ChannelOpenError) -> Result:
        said = f"the server refused to open a session: {error.reason}".encode("utf-8", "backslashreplace")
        return Result("no-shell", None, said, diagnostic=no_shell(self.host, said, None))

    def note_lost(self, reason: str) -> None:
        """Remember why the connection broke, the first reason only."""
        if self._lost is None:
            self._lost = connection_lost(self.host, reason)

    def channel_opened(self, change: int) -> None:
        """Count the channels that the server holds open for us."""
        self._open_channels += change
        self._served = True

    async def close(self) -> None:
        """End the connection; never raises, never waits for a hung host longer than a second."""
        self.note_lost("closed by sealboot")
        try:
            self._connection.close()
            async with asyncio.timeout(CLOSE_LIMIT):
                await self._connection.wait_closed()
        except (asyncssh.Error, OSError, ValueError):  # TimeoutError is an OSError
            self._connection.abort()


class _Receiver(asyncssh.SSHClientSession[bytes]):
    """Hands what arrives on one channel to its conversation."""

    def __init__(self, owner: SshSession, talk: Conversation) -> None:
        self._owner = owner
        self._talk = talk
        self._attached = True

    def connection_made(self, _chan: asyncssh.SSHClientChannel[bytes]) -> None:
        self._owner.channel_opened(1)

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        self._talk.received(data, error=datatype == asyncssh.EXTENDED_DATA_STDERR)

    def eof_received(self) -> bool:
        return True  # keep our side open: standard input is how a script is told to end

    def exit_status_received(self, status: int) -> None:
        self._talk.exited(status)

    def pause_writing(self) -> None:
        self._talk.set_writable(False)

    def resume_writing(self) -> None:
        self._talk.set_writable(True)

    def connection_lost(self, exc: Exception | None) -> None:
        self._owner.channel_opened(-1)
        if exc is not None:
            self._owner.note_lost(str(exc))
        if self._attached:
            self._talk.ended(None if exc is None else str(exc) or type(exc).__name__)

    def detach(self) -> None:
        """Report nothing more: the server refused this channel."""
        self._attached = False
        self._talk.reopened()


class SshPipe:
    """The sending side of one exec channel."""

    def __init__(self, channel: asyncssh.SSHClientChannel[bytes], talk: Conversation) -> None:
        self._channel = channel
        self._talk = talk
        self._bulk: Bulk | None = None

    def feed(self, source: Readable, offset: int) -> int | None:
        """Send many packets at one go, where that is possible now."""
        if self._bulk is None:
            talk = self._talk
            self._bulk = Bulk(
                self._channel,
                hungry=lambda: talk.set_writable(False),
                ready=lambda: talk.set_writable(True),
            )
        return self._bulk.feed(source, offset)

    def write(self, data: bytes | memoryview) -> None:
        """Queue bytes; dropped when the channel is gone, which the conversation tells."""
        with contextlib.suppress(OSError, asyncssh.Error):
            self._channel.write(data)

    def write_eof(self) -> None:
        """End standard input once everything queued is sent."""
        self._ordinary()
        with contextlib.suppress(OSError, asyncssh.Error):
            self._channel.write_eof()

    def backlog(self) -> int:
        """Bytes that wait for the host's window."""
        return self._channel.get_write_buffer_size()

    def close(self) -> None:
        """Tell the command to end (where the server passes signals on) and drop the channel.

        Closing also closes the command's standard input, on which the script's
        own watcher ends everything that the signal does not reach.
        """
        self._ordinary()
        if not self._talk.over:
            with contextlib.suppress(OSError, asyncssh.Error):
                self._channel.terminate()
        self._channel.abort()

    def _ordinary(self) -> None:
        if self._bulk is not None:
            self._bulk.close()
            self._bulk = None
