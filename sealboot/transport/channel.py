"""One running remote shell: the bytes to and from it, and waiting for what it says.

`Pipe` is what a session offers for one shell (an SSH channel, or a local
process); `Conversation` is what arrives from it. Everything above (`run`,
`put`, `hold`, sudo) is written once, over these two.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from sealboot.transport.shell import Framed, new_nonce

#: Seconds for the exit status to follow the end marker, before the channel is shut from this side.
STATUS_GRACE = 5.0


class Readable(Protocol):
    """A file to send, read at offsets."""

    @property
    def size(self) -> int:
        """Its size in bytes when it was opened."""
        ...

    def read_into(self, offset: int, gaps: list[memoryview]) -> int:
        """Fill the gaps from `offset`, and say how many bytes there were."""
        ...


class Pipe(Protocol):
    """The sending side of one shell. No method blocks or raises, whatever the host does."""

    def write(self, data: bytes | memoryview) -> None:
        """Queue bytes for its standard input."""
        ...

    def feed(self, source: Readable, offset: int) -> int | None:
        """Send what it takes of a file from `offset` without queueing; `None` where `write` is the way.

        Once this returned zero the conversation is not writable until it takes more.
        """
        ...

    def write_eof(self) -> None:
        """End its standard input, once everything queued is sent."""
        ...

    def backlog(self) -> int:
        """Bytes that are queued here and not yet sent."""
        ...

    def close(self) -> None:
        """End it: standard input closes, a termination signal is sent, nothing more is read."""
        ...


class Conversation:
    """What one shell said: two framed streams, an exit status, and the end of the channel."""

    def __init__(self, limit: int) -> None:
        self.nonce = new_nonce()
        self.out = Framed(self.nonce, limit)
        self.err = Framed(self.nonce, limit)
        self.exit_status: int | None = None
        self.closed = False
        self.lost: str | None = None  # why the connection broke under the channel
        self.writable = True
        self._waiters: list[asyncio.Future[None]] = []

    def received(self, data: bytes, *, error: bool) -> None:
        """Bytes of standard output or standard error arrived."""
        (self.err if error else self.out).feed(data)
        self._wake()

    def exited(self, status: int) -> None:
        """The remote side reported the exit status of the shell."""
        self.exit_status = status
        self._wake()

    def ended(self, lost: str | None) -> None:
        """The channel is closed for good; `lost` says why when the connection broke."""
        self.closed = True
        self.lost = self.lost or lost
        self.writable = True
        self._wake()

    def reopened(self) -> None:
        """Forget the end of a channel that the server refused to open: another is tried."""
        self.closed = False

    def set_writable(self, writable: bool) -> None:
        """Whether more should be written now (flow control)."""
        self.writable = writable
        self._wake()

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def until(self, ready: Callable[[], bool]) -> None:
        """Wait until `ready()` holds; it is asked again whenever anything arrived."""
        while not ready():
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    @property
    def overflow(self) -> bool:
        """Whether a stream said more than it may."""
        return self.out.overflow or self.err.overflow

    @property
    def framed(self) -> bool:
        """Whether both end markers arrived."""
        return self.out.status is not None and self.err.status is not None

    @property
    def echoed(self) -> bool:
        """Whether what answers repeats its input, as a forced `cat` does."""
        return not self.out.begun and f"sb_n={self.nonce}".encode() in self.out.noise

    @property
    def begun(self) -> bool:
        """Whether the script has started."""
        return self.out.begun

    @property
    def over(self) -> bool:
        """Whether nothing more is worth waiting for."""
        complete = self.framed and self.exit_status is not None
        return complete or self.closed or self.overflow or self.echoed

    async def finish(self) -> None:
        """Wait until the conversation is over.

        A server that holds the exit status back after the end marker (dropbear
        does while a background job keeps the output open) is not waited for
        longer than `STATUS_GRACE`.
        """
        await self.until(lambda: self.over or self.framed)
        if not self.over:
            try:
                async with asyncio.timeout(STATUS_GRACE):
                    await self.until(lambda: self.over)
            except TimeoutError:
                self.lost = "the script ended, but the server never reported its exit status"
