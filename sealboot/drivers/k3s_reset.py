"""k3s taken off its hosts again: agents at once, then the servers from the last to the first.

A unit of our own has no uninstaller of k3s' own, so this is one; where
install.sh made the unit, the uninstaller that it left runs first. Pods outlive
their service (`KillMode=process`), so their shims are ended with everything
below them; what they mounted is unmounted; and nothing is deleted while
something is still mounted there, because that would delete a volume's data.

What is not of our making is not touched: before the service is stopped, each
host has to show that its k3s was set up by us, with its data where the
inventory says. What shows it is removed last, so that a run which was cut off
is taken up again. The cluster that goes on without these hosts forgets them.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from sealboot.drivers.k3s_config import CONFIG_DIR, SERVICES, node_name
from sealboot.drivers.k3s_install import uninstaller, unit_path
from sealboot.drivers.k3s_options import K3sOptions
from sealboot.drivers.k3s_reset_scripts import BEGUN, CLEAN, ELSEWHERE, INSIDE, LINKS, OURS, forget, forgotten
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.host import Host, Inventory
from sealboot.model.plan import Wave
from sealboot.model.steps import PathExists, Remove, Run, Service, ServiceIs, Step, Succeeds


def waves(options: K3sOptions, inventory: Inventory, hosts: Sequence[Host]) -> tuple[Wave, ...]:
    """What takes k3s off these hosts, with all that it kept."""
    agents = tuple(s for h in hosts if h.role == "agent" for s in _steps(options, h))
    servers = tuple(s for h in reversed(hosts) if h.role == "server" for s in _steps(options, h))
    stages = (
        Wave("reset-agents", "Take k3s off the agents", agents),
        Wave("leave", "Take the nodes out of the cluster", tuple(_leave(options, inventory, hosts))),
        Wave("reset-servers", "Take k3s off the servers", servers, 1),
    )
    return tuple(wave for wave in stages if wave.steps)


def _survives(inventory: Inventory, hosts: Sequence[Host]) -> Host | None:
    """A server that goes on with the cluster, if there is one."""
    going = {host.name for host in hosts}
    return next((host for host in inventory.by_role("server") if host.name not in going), None)


def _keeper(hosts: Sequence[Host]) -> Host | None:
    """The server of this run that goes last: until then it knows the cluster."""
    return next((host for host in hosts if host.role == "server"), None)


def _leave(options: K3sOptions, inventory: Inventory, hosts: Sequence[Host]) -> Iterator[Step]:
    """Agents are gone by now. A server is forgotten before it stops: etcd cannot spare a voter to do it later."""
    keeper = _keeper(hosts)
    if keeper is None or _survives(inventory, hosts) is None:
        return
    for host in hosts:
        if host.name == keeper.name:
            continue
        name = node_name(host)
        yield Run(
            id=f"leave/{keeper.name}/{name}",
            host=keeper.name,
            title=f"delete node {name}",
            timeout=180.0,
            check=Succeeds(forgotten(options.binary(keeper), name), timeout=60.0),
            script=forget(options.binary(keeper), name),
        )


def remains(options: K3sOptions, inventory: Inventory, hosts: Sequence[Host]) -> Iterator[Diagnostic]:
    """SB649: the cluster goes on and keeps these nodes in its list, because no server of the run can delete them."""
    other, keeper = _survives(inventory, hosts), _keeper(hosts)
    left = [host for host in hosts if keeper is None or host.name == keeper.name]
    if other is None or not left:
        return
    names = " ".join(node_name(host) for host in left)
    yield Diagnostic(
        "SB649",
        f"the cluster goes on and will still list {names.replace(' ', ', ')}",
        Severity.NOTE,
        host=left[0].name,
        also=tuple(host.name for host in left[1:]),
        at=left[0].origin(),
        hints=(f"afterwards, on {other.name}: `{options.binary(other)} kubectl delete node {names}`",),
    )


def _steps(options: K3sOptions, host: Host) -> tuple[Step, ...]:
    name, service, data = host.name, SERVICES[host.role], options.data(host)
    units = _units(service)
    other = next(label for role, label in SERVICES.items() if role != host.role)
    made_by = uninstaller(options.binary(host), host.role)
    places = " ".join((*(f"{data}/{part}" for part in INSIDE), *ELSEWHERE))
    known = {"DATA": data, "PLACES": places, "UNITS": " ".join(units), "UNINSTALL": made_by}
    ours = _set(**known, OTHERS=" ".join(_units(other))) + OURS
    gone = " && ".join(
        f"[ ! -e {shlex.quote(path)} ]" for path in (CONFIG_DIR, f"{data}/agent/images", BEGUN, *units)
    )
    return (
        Run(
            id=f"reset/{name}/ours",
            host=name,
            title="make sure that its k3s is of our making",
            timeout=60.0,
            check=Succeeds(ours),
            script=ours,
        ),
        Service(
            id=f"reset/{name}/service",
            host=name,
            title=f"stop {service}",
            timeout=120.0,
            check=ServiceIs(service, active=False, enabled=False),
            name=service,
            state="stopped",
            enabled=False,
        ),
        Run(
            id=f"reset/{name}/clean",
            host=name,
            title="end pods, unmount, and remove what k3s kept",
            timeout=600.0,
            check=Succeeds(f"{gone}\n"),
            script=CLEAN,
            env={**known, "ENVIRONMENT": f"{units[0]}.env", "LINKS": " ".join(LINKS)},
        ),
        Remove(
            id=f"reset/{name}/program",
            host=name,
            title=f"remove {options.binary(host)}",
            timeout=60.0,
            check=PathExists(options.binary(host), present=False),
            path=options.binary(host),
        ),
    )


def _units(service: str) -> tuple[str, ...]:
    return tuple(unit_path(service, openrc=openrc) for openrc in (False, True))


def _set(**values: str) -> str:
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())
