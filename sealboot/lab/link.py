"""A network link of a given speed in front of a loopback port: what a machine of the lab is reached through.

It stands at the TCP level because it must be felt as a network is: what it has
not carried yet waits in the sender's socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket

#: Bytes that one read takes, and about as much as a socket of the link holds back.
_PIECE = 1 << 16


class Link:
    """Carries connections to a port of this computer, at most `speed` bytes per second towards it."""

    def __init__(self, target: int, speed: float) -> None:
        self._target = target
        self._speed = speed
        self._free = 0.0  # when the link has carried all that it took so far
        self._server: asyncio.Server | None = None
        self._carrying: set[asyncio.Task[None]] = set()

    async def open(self) -> int:
        """Listen on a port of its own; returns which."""
        entry = socket.socket()
        entry.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _PIECE)
        entry.bind(("127.0.0.1", 0))
        self._server = await asyncio.start_server(self._accept, sock=entry, limit=_PIECE)
        port = entry.getsockname()[1]
        return int(port)

    async def close(self) -> None:
        """Cut every connection and listen no longer."""
        if self._server is not None:
            self._server.close()
        carrying = tuple(self._carrying)
        for task in carrying:
            task.cancel()
        await asyncio.gather(*carrying, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._carry(reader, writer))
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = [writer]
        try:
            back, forth = await asyncio.open_connection("127.0.0.1", self._target, limit=_PIECE)
            ends.append(forth)
            await asyncio.gather(self._copy(reader, forth, self._speed), self._copy(back, writer, 0.0))
        except OSError:
            writer.close()  # the machine is gone
        except asyncio.CancelledError:
            for end in ends:
                end.transport.abort()
            raise
        finally:
            for end in ends:
                with contextlib.suppress(OSError):
                    await end.wait_closed()

    async def _copy(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, speed: float) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            while data := await source.read(_PIECE):
                if speed:
                    self._free = max(self._free, loop.time()) + len(data) / speed
                    await asyncio.sleep(self._free - loop.time())
                target.write(data)
                await target.drain()
        target.close()
