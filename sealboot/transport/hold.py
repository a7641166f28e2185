"""A script that is held open on the host: a lock lives exactly as long as its channel."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from sealboot.transport.channel import Conversation, Pipe

#: Seconds for a held script to end by itself once its standard input is closed.
RELEASE_LIMIT = 5.0


class HeldScript:
    """A running script behind `Hold`: releasing closes its standard input. `done` frees the channel."""

    def __init__(self, talk: Conversation, pipe: Pipe, done: Callable[[], Awaitable[None]]) -> None:
        self._talk = talk
        self._pipe = pipe
        self._done = done
        self._released = False

    @property
    def alive(self) -> bool:
        """Whether it still runs, as far as is known."""
        return not (self._released or self._talk.over or self._talk.framed)

    async def release(self) -> None:
        """Close its standard input, wait briefly for its end, then end it. Safe to call twice."""
        if self._released:
            return
        self._released = True
        try:
            self._pipe.write_eof()
            async with asyncio.timeout(RELEASE_LIMIT):
                await self._talk.finish()
        except TimeoutError:
            pass  # closing the channel below is all that is left
        finally:
            await self._done()


def said_line(talk: Conversation, line: str) -> bool:
    """Whether the script printed exactly this line."""
    wanted = line.encode()
    return any(row == wanted for row in talk.out.data.split(b"\n")[:-1])
