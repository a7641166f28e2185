"""What only k3s makes a problem of: clusters that cannot begin, names that collide, paths that scripts misread."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from sealboot.drivers import k3s_hosts, k3s_registries, k3s_running
from sealboot.drivers.base import Context
from sealboot.drivers.k3s_config import node_name
from sealboot.drivers.k3s_options import K3sOptions
from sealboot.drivers.kinds import plain_path
from sealboot.drivers.kubelet import NODE_NAME
from sealboot.drivers.options import origin_of
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.host import Host, Inventory
from sealboot.model.paths import SYSTEM_DIRECTORIES

#: What Kubernetes takes for a node's name (RFC 1123, DNS subdomain).


def findings(ctx: Context, options: K3sOptions) -> Iterator[Diagnostic]:
    """Everything that stands against this cluster, the cluster's own shape first."""
    yield from _shape(ctx.inventory, options)
    yield from _names(ctx.inventory)
    yield from k3s_registries.findings(ctx, options)
    yield from paths(ctx, options)
    yield from k3s_running.findings(ctx, options)
    yield from k3s_hosts.findings(ctx, options)


def paths(ctx: Context, options: K3sOptions) -> Iterator[Diagnostic]:
    """SB642: a path that cannot stand in a unit, in YAML and in a script that removes what is below it."""
    for host in ctx.inventory.hosts:
        for name, path in (("data", options.data(host)), ("binary", options.binary(host))):
            if not plain_path(path) or (name == "data" and path in SYSTEM_DIRECTORIES):
                yield Diagnostic(
                    "SB642",
                    f"{path or '/'!r} is no place for k3s on {host.name}",
                    host=host.name,
                    at=host.origin(f"paths.{name}"),
                    hints=("use a directory of its own, whose path has letters, digits and `._@+-` alone",),
                )


def _shape(inventory: Inventory, options: K3sOptions) -> Iterator[Diagnostic]:
    servers = inventory.by_role("server")
    if not servers:
        yield Diagnostic(
            "SB630",
            "no host has the role `server`",
            at=origin_of(inventory, "hosts"),
            hints=("give at least one host `role: server`",),
        )
    if len(servers) > 1 and options.datastore == "sqlite":
        yield Diagnostic(
            "SB630",
            f"{len(servers)} servers cannot share an SQLite datastore",
            at=origin_of(inventory, "options.datastore"),
            hints=("write `datastore: etcd`, or keep one server",),
        )
    if servers and len(servers) % 2 == 0 and options.datastore == "etcd":
        yield Diagnostic(
            "SB631",
            f"{len(servers)} servers bear the loss of no more servers than {len(servers) - 1} do",
            Severity.WARNING,
            at=origin_of(inventory, "hosts"),
            evidence=(("votes needed", f"{len(servers) // 2 + 1} of {len(servers)}"),),
            hints=("use an odd number of servers",),
        )


def _names(inventory: Inventory) -> Iterator[Diagnostic]:
    """SB632: two hosts would be one node, or a name is none for Kubernetes."""
    known: defaultdict[str, list[Host]] = defaultdict(list)
    for host in inventory.hosts:
        known[node_name(host)].append(host)
    for name, hosts in known.items():
        text = ""
        if len(hosts) > 1:
            text = f"{len(hosts)} hosts would be one node called {name}"
        elif not NODE_NAME.fullmatch(name):
            text = f"{name!r} is no name that Kubernetes takes for a node"
        if text:
            yield Diagnostic(
                "SB632",
                text,
                host=hosts[0].name,
                also=tuple(host.name for host in hosts[1:]),
                at=hosts[0].origin("vars.node_name"),
                hints=("give the host another name with `vars: {node_name: NAME}`",),
            )
