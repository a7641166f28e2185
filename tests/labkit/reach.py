"""Reaches lab machines through sealboot's own transport, in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from labkit.lab import Lab
from labkit.machines import Node
from sealboot.drivers.base import Wants
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.facts import Facts
from sealboot.model.host import Host, SshSettings
from sealboot.model.secret import Secret, SecretRef
from sealboot.probe.gather import gather
from sealboot.transport.connect import SshConnector


def no_secret(ref: SecretRef) -> Secret:
    """Refuse: the lab's machines take a key, and nothing ever needs asking."""
    raise LookupError(f"no lab machine needs {ref}")


def host_of(node: Node) -> Host:
    """The inventory's view of a lab machine."""
    settings = SshSettings(user=node.user, port=node.port, identity_files=(str(node.key_file),))
    return Host(name=node.name, address=node.address, role="node", ssh=settings)


def connector(lab: Lab, nodes: Sequence[Node], folder: Path) -> SshConnector:
    """A connector that knows `nodes` and their host keys; `folder` receives the known_hosts."""
    return SshConnector(
        {node.name: host_of(node) for node in nodes},
        known_hosts=lab.known_hosts(folder / "known_hosts", nodes),
        user_known_hosts=(),
        secrets=no_secret,
        agent_path="",
        home=folder,
    )


async def facts_of(lab: Lab, nodes: Sequence[Node], folder: Path) -> dict[str, Facts]:
    """Probe every machine at once, as sealboot does; the facts by node name."""
    connections = connector(lab, nodes, folder)

    async def one(node: Node) -> Facts:
        session = await connections.connect(node.name)
        assert not isinstance(session, Diagnostic), session
        facts = await gather(session, Wants(), timeout=60)
        assert not isinstance(facts, Diagnostic), facts
        return facts

    try:
        found = await asyncio.gather(*(one(node) for node in nodes))
    finally:
        await connections.close()
    return {facts.host: facts for facts in found}
