"""What would leave a machine with neither system: asked before a byte is shipped, each with its own code."""

from __future__ import annotations

from collections.abc import Iterator

from sealboot.drivers import talos_image as image
from sealboot.drivers.base import Context
from sealboot.drivers.options import origin_of
from sealboot.drivers.talos_cluster import ON_CONTROLLER, TALOSCTL
from sealboot.drivers.talos_disk_checks import disk_findings
from sealboot.drivers.talos_facts import Machine
from sealboot.drivers.talos_kexec_checks import kexec_findings
from sealboot.drivers.talos_names import ARCHES, release_asset
from sealboot.drivers.talos_options import CONTROLPLANE, TalosOptions, words_of
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.facts import Facts
from sealboot.model.host import Host


def findings(ctx: Context, options: TalosOptions) -> Iterator[Diagnostic]:
    """Everything that stands against it: the cluster's shape and files first, then every machine."""
    yield from _shape(ctx)
    yield from _talosctl(ctx)
    yield from image.configurations(ctx, options)
    for host in ctx.reached:
        facts = ctx.facts[host.name]
        if facts.assumed:
            continue
        yield from _words(host)
        yield from _leaving(host, facts)
        machine = Machine.of(facts)
        yield from _network(options, host, machine)
        if options.route_of(host) == "disk":
            yield from disk_findings(ctx, host, facts, machine)
        else:
            yield from kexec_findings(ctx, options, host, facts, machine)


def _shape(ctx: Context) -> Iterator[Diagnostic]:
    """SB709: nothing to bootstrap, or a number of members that bears no loss."""
    machines = ctx.inventory.by_role(CONTROLPLANE)
    if not machines:
        yield Diagnostic(
            "SB709",
            f"no host has the role `{CONTROLPLANE}`",
            at=origin_of(ctx.inventory, "hosts"),
            hints=(f"give at least one host `role: {CONTROLPLANE}`",),
        )
    elif len(machines) % 2 == 0:
        yield Diagnostic(
            "SB709",
            f"{len(machines)} control plane machines bear the loss of no more than {len(machines) - 1} do",
            Severity.WARNING,
            at=origin_of(ctx.inventory, "hosts"),
            hints=("use an odd number of control plane machines",),
        )


def _talosctl(ctx: Context) -> Iterator[Diagnostic]:
    """SB708: nobody here can speak to Talos."""
    there = (ON_CONTROLLER, TALOSCTL) in ctx.chosen
    if there or ctx.controller is None or TALOSCTL in ctx.controller.tools:
        return
    arch = ctx.controller.kernel_arch
    name = release_asset("talosctl", arch) if arch is not None else "talosctl"
    yield Diagnostic(
        "SB708",
        f"no talosctl that runs here, on the controller ({arch.both_names if arch else 'unknown machine'})",
        at=origin_of(ctx.inventory, "artifacts.talosctl"),
        hints=(f"put {name} of the release into binaries/, or install talosctl in PATH",),
    )


def _words(host: Host) -> Iterator[Diagnostic]:
    """SB710 for what this host says of itself and nobody understands."""
    route = host.vars.get("route")
    if route not in {None, "kexec", "disk"}:
        yield Diagnostic(
            "SB710",
            f"{host.name}: {route!r} is no way to Talos",
            host=host.name,
            at=host.origin("vars.route"),
            hints=("write `route: kexec` or `route: disk`",),
        )
    if words_of(host.vars.get("kernel_args", "")) is None:
        yield Diagnostic(
            "SB710",
            f"{host.name}: its kernel arguments are no words of a kernel's command line",
            host=host.name,
            at=host.origin("vars.kernel_args"),
            hints=("write printable ASCII with balanced double quotes",),
        )


def _leaving(host: Host, facts: Facts) -> Iterator[Diagnostic]:
    """Whether this is a machine at all, of a kind that Talos has, and ours to give away."""
    if host.become.method == "none" and facts.uid != 0:
        yield Diagnostic(
            "SB690",
            f"{facts.user or 'the login user'} on {host.name} is not root, and may not become root",
            host=host.name,
            at=host.origin("become"),
            hints=("set `become: {method: sudo}`, or log in as root",),
        )
    if facts.contained:
        yield Diagnostic(
            "SB697",
            f"{host.name} is a container ({facts.virtualization}): its kernel and its disks belong to another machine",
            host=host.name,
            at=host.origin(),
            hints=("name the machine that the container runs on, or a virtual machine",),
        )
    arch = facts.kernel_arch
    if arch is not None and arch not in ARCHES:
        yield Diagnostic(
            "SB704",
            f"there is no Talos for {host.name}: it is {arch.both_names}",
            host=host.name,
            at=host.origin(),
            hints=(f"Talos is made for {' and '.join(a.both_names for a in ARCHES)}",),
        )


def _network(options: TalosOptions, host: Host, machine: Machine) -> Iterator[Diagnostic]:
    """SB702: the address that we reach it at is its own word, and Talos does not know it."""
    told = (*options.kernel_args, *(words_of(host.vars.get("kernel_args", "")) or ()))
    by_kexec = options.route_of(host) == "kexec"
    if not machine.static or (by_kexec and any(word.startswith("ip=") for word in told)):
        return
    address = machine.static[0].partition("/")[0]
    yield Diagnostic(
        "SB702",
        f"{host.name} has a static address, and Talos will ask for one by DHCP",
        Severity.ERROR if by_kexec else Severity.WARNING,
        host=host.name,
        at=host.origin("vars.kernel_args"),
        evidence=(("addresses", ", ".join(machine.static[:4])),),
        hints=(
            f"name it: `vars: {{kernel_args: 'ip={address}::GATEWAY:NETMASK::INTERFACE:off'}}`"
            if by_kexec
            else "make the image with `ip=` among its kernel arguments, or let DHCP give the address",
            f"or, if DHCP does give {address}: `ignore: [{{code: SB702, reason: ...}}]`",
        ),
    )
