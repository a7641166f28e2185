"""What the event loop may say when a connection drops: nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from sealboot.transport.errors import EXPECTED


class LoopGuard:
    """Keeps the loop from printing tracebacks of asyncssh's own tasks when a connection drops.

    Only what a lost connection raises is swallowed; anything else goes to the
    handler that was there before.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._previous: Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object] | None = None

    def install(self) -> None:
        """Begin, on the running loop; a second call changes nothing."""
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
            self._previous = loop.get_exception_handler()
            loop.set_exception_handler(self._handle)

    def remove(self) -> None:
        """Give the loop its former handler back."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.set_exception_handler(self._previous)
        self._loop = None

    def _handle(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if isinstance(context.get("exception"), EXPECTED) and "never retrieved" in context.get("message", ""):
            return
        if self._previous is not None:
            self._previous(loop, context)
        else:
            loop.default_exception_handler(context)
