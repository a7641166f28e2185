"""What is looked at and kept before the first server is touched: other clusters, and the datastore."""

from __future__ import annotations

from collections.abc import Iterator

from sealboot.drivers import k3s_scripts as scripts
from sealboot.drivers.k3s_config import API_PORT, address_of, bracketed
from sealboot.drivers.k3s_node import Node
from sealboot.model.steps import Run, Step, Succeeds


def alone(node: Node) -> Iterator[Step]:
    """Before the first server begins: no other server, probed by this run or not, may have a cluster already.

    Whoever accepts that (an ignored SB638) is believed.
    """
    inventory = node.ctx.inventory
    others = [address_of(h) for h in inventory.by_role("server") if h.name != node.host.name]
    places = [*others, *([node.options.endpoint] if node.options.endpoint else [])]
    accepted = any(entry.code == "SB638" for entry in node.host.ignore)
    if not places or accepted or not node.asks_https:
        return
    script = scripts.alone(node.data, [f"https://{bracketed(place)}:{API_PORT}/ping" for place in places])
    yield Run(
        id=f"alone/{node.host.name}/cluster",
        host=node.host.name,
        title="make sure that no other server has a cluster already",
        timeout=120.0,
        check=Succeeds(script, timeout=60.0),
        script=script,
    )


def snapshot(node: Node) -> Iterator[Step]:
    """Before another program takes over a datastore that lives: what it held, under the new program's name."""
    if node.options.datastore != "etcd":
        return
    kept = (node.binary, node.data, node.artifact.sha256, node.artifact.size)
    yield Run(
        id=f"snapshot/{node.host.name}/etcd",
        host=node.host.name,
        title="save a snapshot of etcd before the upgrade",
        timeout=300.0,
        check=Succeeds(scripts.needs_no_snapshot(*kept), timeout=120.0),
        script=scripts.save_snapshot(node.binary, node.artifact.sha256),
    )
