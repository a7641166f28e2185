"""Hosts that cannot be k3s nodes, or would be other nodes than they seem; and what the probe asks for that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sealboot.checks.cgroups import old_cgroups
from sealboot.checks.init import no_init
from sealboot.checks.ports import Port, taken_ports
from sealboot.checks.route import no_default_route
from sealboot.drivers.base import Context
from sealboot.drivers.k3s_config import API_PORT, SERVICES
from sealboot.drivers.k3s_node import SLOT, version_of
from sealboot.drivers.k3s_options import K3sOptions
from sealboot.model.arch import Arch
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.facts import Facts
from sealboot.model.host import Host

#: The architectures that k3s is published for (its release's own list of assets).
_RELEASED = frozenset({Arch.AMD64, Arch.ARM64, Arch.ARM})
#: What the published 32-bit program is built for: on less it dies of an illegal instruction.
_ARM_LEVEL: Final = 7
#: The services of k3s that this host has, whoever put them there.
UNITS: Final = """for name in k3s k3s-agent; do
  for file in "/etc/systemd/system/$name.service" "/etc/init.d/$name"; do
    [ -e "$file" ] && { echo "$name"; break; }
  done
done
exit 0
"""
#: `no` where neither of the files that k3s looks at has name servers that a pod could reach.
RESOLVER: Final = """for file in /etc/resolv.conf /run/systemd/resolve/resolv.conf; do
  [ -r "$file" ] || continue
  some=no
  while read -r key place _; do
    [ "$key" = nameserver ] || continue
    some=yes
    case $place in
      127.*|0.0.0.0|169.254.*|22[4-9].*|23[0-9].*|::|::1|[fF][eE][89aAbB]*|[fF][fF]*) some=no; break ;;
    esac
  done <"$file"
  [ $some = no ] || { echo yes; exit 0; }
done
echo no
exit 0
"""
#: `missing` where SELinux enforces and the policy of k3s is not installed.
SELINUX: Final = """[ "$(cat /sys/fs/selinux/enforce 2>/dev/null)" = 1 ] || exit 0
for file in /usr/share/selinux/packages/k3s.pp*; do [ ! -e "$file" ] || exit 0; done
echo missing
"""


def ports(options: K3sOptions, host: Host) -> tuple[Port, ...]:
    """The ports of this host that its k3s will listen on."""
    settings = options.settings(host)
    wanted: list[Port] = [("tcp", 10250)]
    if host.role == "server":
        wanted.append(("tcp", API_PORT))
        if options.datastore == "etcd":
            wanted += [("tcp", 2379), ("tcp", 2380)]
    if settings.get("flannel-backend", "vxlan") == "vxlan":
        wanted.append(("udp", 8472))
    if options.embedded_registry == "true":
        wanted.append(("tcp", 5001))
    return tuple(wanted)


def findings(ctx: Context, options: K3sOptions) -> Iterator[Diagnostic]:
    """What stands against each host that was reached."""
    for host in ctx.reached:
        facts = ctx.facts[host.name]
        yield from _machine(ctx, host, facts)
        yield from _program(ctx, options, host, facts)
        yield from _system(host, facts)
        yield from _cgroups(ctx, options, host, facts)
        yield from no_default_route(host, facts)
        yield from _resolver(options, host, facts)
        if not facts.observed.get("k3s.units", "").strip():
            yield from taken_ports(host, facts, ports(options, host))


def _machine(ctx: Context, host: Host, facts: Facts) -> Iterator[Diagnostic]:
    """SB643: k3s publishes nothing for this machine; its installer knows some of them all the same."""
    kernel, chosen = facts.kernel_arch, ctx.chosen.get((host.name, SLOT))
    have = facts.cpu.arm_level if kernel is Arch.ARM else None
    if have is not None and have < _ARM_LEVEL:
        built = chosen.elf.arm_level if chosen is not None and chosen.elf is not None else None
        fits = built is not None and built <= have
        machine = f"ARMv{have}"
    elif kernel is not None and kernel not in _RELEASED:
        fits, machine = chosen is not None, kernel.both_names
    else:
        return
    yield Diagnostic(
        "SB643",
        f"there is no release of k3s for {machine}, which {host.name} is",
        Severity.NOTE if fits else Severity.ERROR,
        host=host.name,
        at=host.origin(),
        evidence=(("uname -m", facts.kernel_machine), *((("file", chosen.path),) if chosen else ())),
        hints=()
        if fits
        else ("build k3s for it yourself, with all that is in it, or take the host out of the inventory",),
    )


def _program(ctx: Context, options: K3sOptions, host: Host, facts: Facts) -> Iterator[Diagnostic]:
    """SB644: containers run as the architecture of k3s, not of the kernel; images are chosen by the kernel's."""
    chosen = ctx.chosen.get((host.name, SLOT))
    arch = chosen.elf.arch if chosen is not None and chosen.elf is not None else None
    kernel = facts.kernel_arch
    if chosen is None or arch is None or kernel is None or arch is kernel:
        return
    slots = options.image_slots(ctx.inventory)
    yield Diagnostic(
        "SB644",
        f"k3s for {arch.both_names} makes {host.name} a node of that architecture, and its kernel is"
        f" {kernel.both_names}",
        Severity.ERROR if slots else Severity.WARNING,
        host=host.name,
        artifact=chosen.path,
        at=host.origin(),
        evidence=(
            ("images must be", f"linux/{arch}"),
            *((("images sent", f"linux/{kernel}"),) if slots else ()),
        ),
        hints=(f"put k3s for {kernel.value} beside the others: it comes first where it fits",),
    )


def _system(host: Host, facts: Facts) -> Iterator[Diagnostic]:
    yield from no_init(host, facts, "k3s")
    if facts.observed.get("k3s.memory", "").strip() == "no":
        yield Diagnostic(
            "SB633",
            f"the kernel of {host.name} has its memory control group off, and the kubelet does not start",
            host=host.name,
            at=host.origin(),
            hints=("add `cgroup_memory=1 cgroup_enable=memory` to the kernel's command line and reboot",),
        )
    other = next(name for role, name in SERVICES.items() if role != host.role)
    if other in facts.observed.get("k3s.units", "").split():
        yield Diagnostic(
            "SB634",
            f"{host.name} is to be k3s {host.role} and has the service {other} of the other role",
            host=host.name,
            at=host.origin("role"),
            evidence=(("service", other),),
            hints=("uninstall it first: both would run after a reboot", "or correct the host's role"),
        )
    if facts.observed.get("k3s.selinux", "").strip() == "missing":
        yield Diagnostic(
            "SB648",
            f"SELinux is enforcing on {host.name}, and the policy of k3s is not installed",
            Severity.WARNING,
            host=host.name,
            at=host.origin(),
            hints=("install the package k3s-selinux of the same release line on the host",),
        )


def _cgroups(ctx: Context, options: K3sOptions, host: Host, facts: Facts) -> Iterator[Diagnostic]:
    """SB314; an argument of the kubelet's is the way out that k3s leaves."""
    arguments = options.listed(host, "kubelet-arg")
    accepted = any(argument.lstrip("-") == "fail-cgroupv1=false" for argument in arguments)
    release = version_of(ctx.chosen.get((host.name, SLOT))) or ctx.inventory.release or ""
    way = "or let its kubelet start all the same: `options: {config: {kubelet-arg: [fail-cgroupv1=false]}}`"
    yield from old_cgroups(host, facts, release, accepted=accepted, way=way)


def _resolver(options: K3sOptions, host: Host, facts: Facts) -> Iterator[Diagnostic]:
    """SB647: k3s then writes a resolv.conf for pods itself, with a name server on the internet."""
    settings = options.settings(host)
    if facts.observed.get("k3s.resolver", "").strip() != "no" or "resolv-conf" in settings:
        return
    yield Diagnostic(
        "SB647",
        f"{host.name} has no name server that pods could reach, and k3s would give them 8.8.8.8",
        Severity.WARNING,
        host=host.name,
        at=host.origin(),
        hints=("name a file with your own: `options: {config: {resolv-conf: /etc/rancher/resolv.conf}}`",),
    )
