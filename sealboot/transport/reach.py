"""Attempts to get through to one endpoint: how many, how many at once, and by when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import nullcontext

import asyncssh

from sealboot.transport.client import Client
from sealboot.transport.dial import RETRIES, Gates, dial, pause
from sealboot.transport.endpoint import Endpoint
from sealboot.transport.errors import Failure, Stage, unreachable
from sealboot.transport.handshake import Way, attempt
from sealboot.transport.resolve import NoAddress, Resolver, hostname, literal

#: Logins in progress through one jump host at one time.
PER_JUMP = 32


class Reach:
    """Name resolution, TCP and handshake with their limits."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._gates = Gates()
        self._jumps = Gates(PER_JUMP)

    async def attempts(
        self,
        endpoint: Endpoint,
        tunnel: asyncssh.SSHClientConnection | None,
        client: Callable[[], Client],
        *,
        algorithms: tuple[str, ...] | None = None,
        certificates: bool = True,
    ) -> asyncssh.SSHClientConnection | Failure:
        """One attempt, and at most two more where the connection was refused or broke off before any login.

        All of them share one deadline, so that a dead host costs its
        `connect_timeout` once. Logins and host keys are never tried again.
        """
        place = (endpoint.address, endpoint.port, id(tunnel) if tunnel else None)
        async with self._jumps.at(id(tunnel)) if tunnel else nullcontext(), self._gates.at(*place):
            loop = asyncio.get_running_loop()
            # Waiting for one's turn is not the host's fault: its time begins here.
            deadline = loop.time() + endpoint.timeout
            number = 0
            while True:
                outcome = await self._attempt(
                    endpoint, tunnel, client(), deadline, algorithms=algorithms, certificates=certificates
                )
                number += 1
                if not isinstance(outcome, Failure) or not outcome.retry or number > RETRIES:
                    return outcome
                wait = pause(number)
                if loop.time() + wait >= deadline:
                    return outcome
                await asyncio.sleep(wait)

    async def _attempt(
        self,
        endpoint: Endpoint,
        tunnel: asyncssh.SSHClientConnection | None,
        client: Client,
        deadline: float,
        *,
        algorithms: tuple[str, ...] | None,
        certificates: bool,
    ) -> asyncssh.SSHClientConnection | Failure:
        way = await self._way(endpoint, tunnel, deadline)
        if isinstance(way, Failure):
            return way
        return await attempt(
            endpoint, client, way, deadline=deadline, algorithms=algorithms, certificates=certificates
        )

    async def _way(
        self, endpoint: Endpoint, tunnel: asyncssh.SSHClientConnection | None, deadline: float
    ) -> Way | Failure:
        if tunnel is not None:
            name = hostname(endpoint.address) if literal(endpoint.address, endpoint.port) is None else ""
            return _no_name(endpoint, name) if isinstance(name, NoAddress) else Way(tunnel=tunnel)
        left = max(0.0, deadline - asyncio.get_running_loop().time())
        try:
            # Not `wait_for`: before Python 3.12 it could swallow a cancellation that met a result.
            async with asyncio.timeout(left):
                addresses = await self._resolver.resolve(endpoint.address, endpoint.port)
        except TimeoutError:
            return _no_name(endpoint, NoAddress(f"no answer within {endpoint.timeout:g} s"))
        if isinstance(addresses, NoAddress):
            return _no_name(endpoint, addresses)
        sock = await dial(endpoint, addresses, deadline)
        return sock if isinstance(sock, Failure) else Way(sock=sock)

    def close(self) -> None:
        """Stop resolving."""
        self._resolver.close()


def _no_name(endpoint: Endpoint, why: NoAddress) -> Failure:
    return unreachable(
        endpoint,
        Stage.NAME,
        f"cannot be resolved: {endpoint.address}: {why.reason}",
        hint=f"try `getent hosts {endpoint.address}`, or write the IP address into the inventory",
    )
