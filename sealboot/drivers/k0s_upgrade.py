"""Members that change: controllers one by one, workers in batches, each emptied before its program changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sealboot.drivers import k0s_drain
from sealboot.drivers.k0s_drain import Turn
from sealboot.drivers.k0s_node import Node, join, run
from sealboot.drivers.k0s_options import K0sOptions
from sealboot.model.plan import Wave
from sealboot.model.steps import Run, Step, Succeeds


def change(node: Node) -> Iterator[Step]:
    """A controller's turn; one that is a node as well empties itself, since it may."""
    if not node.first:
        yield from join(node)
    if node.emptied:
        yield drain(node, (node,), f"drain/{node.name}/self")
    yield from run(node)


def batches(options: K0sOptions, leader: Node | None, workers: Sequence[Node]) -> Iterator[Wave]:
    """Waves for workers that are members: those of one batch are emptied together, change together.

    A worker has one step in its wave, so that one which has begun comes to its end even where the
    failure of another stops the run.
    """
    size = options.at_once(len(options.workers(workers[0].ctx.inventory)) if workers else 1)
    kept = tuple(step for node in workers for step in (*join(node), *(() if node.replaced else run(node))))
    yield Wave("settled", "Keep workers as they should be", kept, size)
    replaced = tuple(node for node in workers if node.replaced)
    count = -(-len(replaced) // size)
    for number in range(count):
        batch = replaced[number * size : (number + 1) * size]
        label = f" {number + 1} of {count}" if count > 1 else ""
        emptied = tuple(node for node in batch if node.emptied)
        if leader is not None and emptied:
            step = drain(leader, emptied, f"drain/{leader.name}/{number + 1}")
            yield Wave(f"drain-{number + 1}", f"Empty workers{label}", (step,))
        yield Wave(
            f"upgrade-{number + 1}",
            f"Upgrade workers{label}",
            tuple(step for node in batch for step in run(node)),
        )


def drain(leader: Node, nodes: Sequence[Node], name: str) -> Step:
    """Cordon and drain; how it ended for each node is told to the node, which goes by it."""
    options = leader.options.drain
    listed = " ".join(node.node for node in nodes)
    turns = [Turn(node.node, node.artifact.sha256) for node in nodes]
    return Run(
        id=name,
        host=leader.name,
        title=f"cordon and drain {listed}",
        timeout=options.timeout + 240.0,
        script=k0s_drain.drain(leader.binary, leader.data, options, turns),
        detached=True,
    )


def schedulable(leader: Node, members: Sequence[Node]) -> Iterator[Step]:
    """No node stays cordoned by an upgrade that is over."""
    names = [node.node for node in members if node.node]
    if names:
        yield Run(
            id=f"schedulable/{leader.name}/nodes",
            host=leader.name,
            title="make upgraded nodes schedulable",
            timeout=300.0,
            check=Succeeds(k0s_drain.none_left(leader.binary, leader.data, names), timeout=120.0),
            script=k0s_drain.release(leader.binary, leader.data, names),
        )
