"""One question to the lock of every selected host."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sealboot.cli import runtime
from sealboot.cli.options import Remote
from sealboot.engine.shell import NodePaths, node_paths
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.host import Host
from sealboot.render.view import View
from sealboot.transport.base import Session
from sealboot.workflow.prepare import Prepared

T = TypeVar("T")


async def each_host(
    options: Remote,
    prepared: Prepared,
    view: View,
    ask: Callable[[Session, NodePaths], Awaitable[T | Diagnostic]],
) -> list[tuple[str, T | Diagnostic]]:
    """Connect to all hosts at once and ask; the answers in inventory order."""
    async with runtime.connected(options, prepared, view) as (connector, _, _):

        async def one(host: Host) -> tuple[str, T | Diagnostic]:
            session = await connector.connect(host.name)
            if isinstance(session, Diagnostic):
                return host.name, session
            return host.name, await ask(session, node_paths(prepared.inventory.name, host))

        return list(await asyncio.gather(*(one(host) for host in prepared.selected)))
