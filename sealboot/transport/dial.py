"""TCP connections, and how many logins may be in progress at one place at a time."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Sequence

from sealboot.transport.endpoint import Endpoint
from sealboot.transport.errors import Failure, dial_failure
from sealboot.transport.resolve import Address

#: Logins in progress at one (address, port). OpenSSH begins to drop at 10 (MaxStartups 10:30:100)
#: and dropbear at 5 per source address; a server counts those it is still closing.
PER_SERVER = 4
#: Attempts after the first one, for a refused or broken-off connection only.
RETRIES = 2
#: Seconds before the first further attempt; doubled for the next, and spread by half.
PAUSE = 0.25


class Gates:
    """Semaphores, one for each place, made when first asked for."""

    def __init__(self, width: int = PER_SERVER) -> None:
        self._width = width
        self._gates: dict[tuple[object, ...], asyncio.Semaphore] = {}

    def at(self, *place: object) -> asyncio.Semaphore:
        """The semaphore of a place (an address and port, and the way to it)."""
        gate = self._gates.get(place)
        if gate is None:
            gate = self._gates[place] = asyncio.Semaphore(self._width)
        return gate


def pause(attempt: int) -> float:
    """Seconds to wait before attempt `attempt` (from 1); random, so that many hosts do not return together."""
    return PAUSE * (1 << (attempt - 1)) * random.uniform(0.75, 1.25)  # noqa: S311 (jitter, no secret)


async def dial(endpoint: Endpoint, addresses: Sequence[Address], deadline: float) -> socket.socket | Failure:
    """A connected, non-blocking socket to the first address that answers before `deadline` (loop time)."""
    loop = asyncio.get_running_loop()
    failure: Failure | None = None
    for index, address in enumerate(addresses):
        # A dead first address must not use up the time of the second.
        share = max(0.0, deadline - loop.time()) / (len(addresses) - index)
        sock = socket.socket(address.family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            async with asyncio.timeout(share):
                await loop.sock_connect(sock, address.sockaddr)
        except OSError as error:  # a timeout is one too
            sock.close()
            failure = dial_failure(endpoint, address.ip, error)
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    return failure or dial_failure(endpoint, endpoint.address, TimeoutError())
