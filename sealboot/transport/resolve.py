"""Names to addresses, without ever touching asyncio's shared thread pool.

`getaddrinfo` cannot be interrupted: two dozen stuck names in the default pool
make every other host fail too, and its threads delay the end of the process.
Each look-up here has a daemon thread of its own and a deadline.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

#: Look-ups that wait for an answer at one time.
CONCURRENT = 64
#: Seconds a name may take.
DEADLINE = 10.0

AddressInfo: TypeAlias = tuple[int, int, int, str, Any]
Lookup: TypeAlias = Callable[[str, int], Sequence[AddressInfo]]

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.IGNORECASE)
_NUMERIC = re.compile(r"(0x[0-9a-f]*|[0-9]+)", re.IGNORECASE)
_MAX_NAME = 253


@dataclass(frozen=True, slots=True)
class Address:
    """Where to connect to: an address family and what `connect(2)` wants."""

    family: int
    sockaddr: tuple[Any, ...]

    @property
    def ip(self) -> str:
        """The address as text."""
        return str(self.sockaddr[0])


@dataclass(frozen=True, slots=True)
class NoAddress:
    """Why a name has no address."""

    reason: str


def getaddrinfo(name: str, port: int) -> Sequence[AddressInfo]:
    """The system's resolver, for TCP."""
    return socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)


def literal(text: str, port: int) -> Address | None:
    """The address that an IP literal stands for; `None` for a name.

    Only canonical forms count: `127.1`, `0x7f.1` and `2130706433` are refused
    as names later, since whoever reads an inventory would not see an address.
    """
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return Address(socket.AF_INET, (str(address), port))
    scope = 0
    if address.scope_id:
        with suppress(OSError, ValueError):
            scope = (
                int(address.scope_id)
                if address.scope_id.isdigit()
                else socket.if_nametoindex(address.scope_id)
            )
    return Address(socket.AF_INET6, (str(address).partition("%")[0], port, 0, scope))


def hostname(text: str) -> str | NoAddress:
    """A host name in its ASCII form, or why it is none (RFC 1123 section 2.1, RFC 3492 for the rest)."""
    try:
        ascii_name = text if text.isascii() else text.encode("idna").decode()
    except UnicodeError:
        return NoAddress("not a host name: it cannot be written in IDNA form")
    labels = ascii_name.removesuffix(".").split(".")
    if len(ascii_name) > _MAX_NAME or not all(_LABEL.fullmatch(label) for label in labels):
        return NoAddress("not a host name: letters, digits, hyphens and dots only")
    if _NUMERIC.fullmatch(labels[-1]):
        return NoAddress("not a host name, and no complete IP address either")
    return ascii_name


class Resolver:
    """Looks each name up once per run."""

    def __init__(self, *, deadline: float = DEADLINE, lookup: Lookup = getaddrinfo) -> None:
        self._deadline = deadline
        self._lookup = lookup
        self._slots = asyncio.Semaphore(CONCURRENT)
        self._cache: dict[tuple[str, int], asyncio.Task[tuple[Address, ...] | NoAddress]] = {}

    async def resolve(self, text: str, port: int) -> tuple[Address, ...] | NoAddress:
        """The addresses of a name or literal, in the resolver's order; never raises."""
        direct = literal(text, port)
        if direct is not None:
            return (direct,)
        name = hostname(text)
        if isinstance(name, NoAddress):
            return name
        task = self._cache.get((name, port))
        if task is None:
            task = self._cache[name, port] = asyncio.create_task(self._find(name, port))
        # Shielded: another host may wait for the same name after this caller gave up.
        return await asyncio.shield(task)

    async def _find(self, name: str, port: int) -> tuple[Address, ...] | NoAddress:
        async with self._slots:
            try:
                async with asyncio.timeout(self._deadline):
                    found = await self._in_thread(name, port)
            except TimeoutError:
                return NoAddress(f"no answer from the resolver in {self._deadline:g} s")
            except (OSError, UnicodeError, ValueError) as error:
                return NoAddress(getattr(error, "strerror", None) or str(error))
        addresses = dict.fromkeys(Address(family, tuple(at)) for family, _, _, _, at in found)
        return tuple(addresses) or NoAddress("the name exists but has no address")

    async def _in_thread(self, name: str, port: int) -> Sequence[AddressInfo]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Sequence[AddressInfo]] = loop.create_future()

        def deliver(found: Sequence[AddressInfo] | Exception) -> None:
            if answer.done():
                return
            if isinstance(found, Exception):
                answer.set_exception(found)
            else:
                answer.set_result(found)

        def work() -> None:
            try:
                found: Sequence[AddressInfo] | Exception = self._lookup(name, port)
            except (OSError, UnicodeError, ValueError) as error:
                found = error
            with suppress(RuntimeError):  # the loop ended meanwhile: nobody waits any more
                loop.call_soon_threadsafe(deliver, found)

        threading.Thread(target=work, name=f"resolve {name}", daemon=True).start()
        return await answer

    def close(self) -> None:
        """Forget what is still being looked up."""
        for task in self._cache.values():
            task.cancel()
        self._cache.clear()
