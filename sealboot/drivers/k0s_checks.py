"""What only k0s makes a problem of: clusters that cannot begin, names and addresses that collide, odd hosts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from sealboot.checks import cgroups, ports, route
from sealboot.checks.init import no_init
from sealboot.drivers import k0s_running
from sealboot.drivers.base import Context
from sealboot.drivers.k0s_config import (
    API_PORT,
    JOIN_PORT,
    address_of,
    addresses,
    node_name,
    takes_old_cgroups,
    unit_of,
)
from sealboot.drivers.k0s_node import SLOT, release_of
from sealboot.drivers.k0s_options import CONTROLLERS, NODES, K0sOptions, flags_of
from sealboot.drivers.kinds import plain_path
from sealboot.drivers.kubelet import NODE_NAME
from sealboot.drivers.options import origin_of
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.facts import Facts
from sealboot.model.host import Host, Inventory
from sealboot.model.paths import SYSTEM_DIRECTORIES


def findings(ctx: Context, options: K0sOptions) -> Iterator[Diagnostic]:
    """Everything that stands against this cluster, the cluster's own shape first."""
    yield from shape(ctx.inventory, options)
    yield from _names(ctx, options)
    yield from paths(ctx, options)
    yield from k0s_running.findings(ctx, options)
    for host in ctx.reached:
        if not options.leaving(host):
            yield from _host(host, ctx.facts[host.name], options)
            yield from _cgroups(ctx, options, host)


def paths(ctx: Context, options: K0sOptions) -> Iterator[Diagnostic]:
    """SB653: a path that cannot stand in a unit, in YAML and in a script that removes what is below it."""
    for host in ctx.inventory.hosts:
        for name, path in (("data", options.data(host)), ("binary", options.binary(host))):
            if not plain_path(path) or (name == "data" and path in SYSTEM_DIRECTORIES):
                yield Diagnostic(
                    "SB653",
                    f"{path or '/'!r} is no place for k0s on {host.name}",
                    host=host.name,
                    at=host.origin(f"paths.{name}"),
                    hints=("use a directory of its own, whose path has letters, digits and `._@+-` alone",),
                )


def ports_of(options: K0sOptions, host: Host) -> tuple[ports.Port, ...]:
    """The ports of this host that its k0s will listen on."""
    wanted: list[ports.Port] = []
    if host.role in CONTROLLERS:
        wanted += [("tcp", API_PORT), ("tcp", JOIN_PORT), ("tcp", 8132)]
        if options.storage(host.role) == "etcd":
            wanted += [("tcp", 2379), ("tcp", 2380)]
    if host.role in NODES:
        wanted.append(("tcp", 10250))
    return tuple(wanted)


def shape(inventory: Inventory, options: K0sOptions) -> Iterator[Diagnostic]:
    """SB650 and SB651: whether these roles make a cluster."""
    staying = tuple(host for host in inventory.hosts if not options.leaving(host))
    controllers = options.controllers(inventory)
    single = [host for host in staying if host.role == "single"]
    if staying and not controllers:
        yield Diagnostic(
            "SB650",
            "no host is a controller",
            at=origin_of(inventory, "hosts"),
            hints=("give at least one host `role: controller`, `controller+worker` or `single`",),
        )
    if single and len(staying) > 1:
        yield Diagnostic(
            "SB650",
            f"{single[0].name} is a cluster of its own (`single`), and there are {len(staying) - 1} more hosts",
            host=single[0].name,
            at=single[0].origin("role"),
            hints=("write `role: controller+worker`: that one can be joined",),
        )
    if controllers and len(controllers) % 2 == 0 and options.storage("controller") == "etcd":
        count = len(controllers)
        yield Diagnostic(
            "SB651",
            f"{count} controllers bear the loss of no more controllers than {count - 1} do",
            Severity.WARNING,
            at=origin_of(inventory, "hosts"),
            evidence=(("votes needed", f"{count // 2 + 1} of {count}"),),
            hints=("use an odd number of controllers",),
        )


def _names(ctx: Context, options: K0sOptions) -> Iterator[Diagnostic]:
    """SB652: two hosts would be one node or have one address, or a name is none for Kubernetes."""
    names: defaultdict[str, list[Host]] = defaultdict(list)
    places: defaultdict[str, list[Host]] = defaultdict(list)
    for host in ctx.inventory.hosts:
        if options.leaving(host):
            continue
        facts = ctx.facts.get(host.name)
        names[node_name(host, facts)].append(host)
        if address_of(host, facts):
            places[address_of(host, facts)].append(host)
    for name, hosts in names.items():
        text = ""
        if len(hosts) > 1:
            text = f"{len(hosts)} hosts are called {name}: they would be one node"
        elif hosts[0].role in NODES and not NODE_NAME.fullmatch(name):
            text = f"{name!r} is no name that Kubernetes takes for a node"
        if text:
            hint = "give the host another hostname, or another name with `vars: {node_name: NAME}`"
            yield _collision(text, hosts, "vars.node_name", hint)
    for place, hosts in places.items():
        if len(hosts) > 1:
            text = f"{len(hosts)} hosts have the address {place}"
            yield _collision(text, hosts, "vars.ip", "give each its own with `vars: {ip: ADDRESS}`")


def _collision(text: str, hosts: list[Host], setting: str, hint: str) -> Diagnostic:
    also = tuple(host.name for host in hosts[1:])
    return Diagnostic(
        "SB652", text, host=hosts[0].name, also=also, at=hosts[0].origin(setting), hints=(hint,)
    )


def _host(host: Host, facts: Facts, options: K0sOptions) -> Iterator[Diagnostic]:
    yield from no_init(host, facts, "k0s")
    if host.role in NODES and facts.observed.get("k0s.memory", "").strip() == "no":
        yield Diagnostic(
            "SB660",
            f"the kernel of {host.name} has its memory control group off, and the kubelet does not start",
            host=host.name,
            at=host.origin(),
            hints=("add `cgroup_memory=1 cgroup_enable=memory` to the kernel's command line and reboot",),
        )
    units = facts.observed.get("k0s.units", "").split()
    other = "k0sworker" if unit_of(host.role) == "k0scontroller" else "k0scontroller"
    if other in units:
        yield Diagnostic(
            "SB654",
            f"{host.name} is to be k0s {host.role} and has the service {other} of the other role",
            host=host.name,
            at=host.origin("role"),
            evidence=(("service", other),),
            hints=(
                "k0s cannot change the role of a host: take it off first (`vars: {state: absent}`)",
                "or correct the host's role",
            ),
        )
    elif not units:
        yield from ports.taken_ports(host, facts, ports_of(options, host))
        yield from route.no_default_route(host, facts)
    yield from _address(host, facts)
    yield from _flags(host)


def _cgroups(ctx: Context, options: K0sOptions, host: Host) -> Iterator[Diagnostic]:
    """SB314; a plain controller runs no kubelet."""
    if host.role not in NODES:
        return
    release = release_of(ctx.chosen.get((host.name, SLOT))) or ctx.inventory.release or ""
    yield from cgroups.old_cgroups(
        host,
        ctx.facts[host.name],
        release,
        accepted=takes_old_cgroups(options, host, release),
        way="or let its kubelet start all the same: `install_flags` with `--kubelet-extra-args=--fail-cgroupv1=false`"
        " and, from k0s 1.36.1 on, `--ignore-pre-flight-checks`",
    )


def _address(host: Host, facts: Facts) -> Iterator[Diagnostic]:
    """SB659: which of its addresses the others are to use is not known, or is not its own."""
    own, chosen = addresses(facts), address_of(host, facts)
    if (chosen and (not own or chosen in own)) or (host.role not in CONTROLLERS and "ip" not in host.vars):
        return
    said = f"{chosen} is no address of {host.name}" if chosen else f"{host.name} has several addresses"
    if not chosen and not own:
        said = f"the address of {host.name} for other nodes is not known"
    yield Diagnostic(
        "SB659",
        said,
        host=host.name,
        at=host.origin("vars.ip" if "ip" in host.vars else "address"),
        evidence=(("its addresses", ", ".join(own) or "not told"),),
        hints=("name the one that the other nodes reach it at: `vars: {ip: ADDRESS}`",),
    )


def _flags(host: Host) -> Iterator[Diagnostic]:
    """SB663: a host's own flags that `k0s install` cannot get from here."""
    try:
        flags_of(host.vars.get("install_flags", ""))
    except ValueError as error:
        yield Diagnostic(
            "SB663",
            f"install_flags of {host.name}: {error}",
            host=host.name,
            at=host.origin("vars.install_flags"),
        )
