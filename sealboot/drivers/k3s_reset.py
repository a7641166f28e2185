"""k3s taken off its hosts again: agents at once, then the servers from the last to the first.

A unit of our own has no uninstaller of k3s' own, so this is one; where
install.sh made the unit, the uninstaller that it left runs first. Pods outlive
their service (`KillMode=process`), so their shims are ended with everything
below them; what they mounted is unmounted; and nothing is deleted while
something is still mounted there, because that would delete a volume's data.

What is not of our making is not touched: before the service is stopped, each
host has to show that its k3s was set up by us, with its data where the
inventory says. What shows it is removed last, so that a run which was cut off
is taken up again. The cluster that goes on without these hosts forgets them:
each server leaves etcd before it is stopped, one at a time.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from sealboot.drivers.k3s_config import API_PORT, CONFIG_DIR, SERVICES, address_of, bracketed, node_name
from sealboot.drivers.k3s_install import uninstaller, unit_path
from sealboot.drivers.k3s_options import K3sOptions
from sealboot.drivers.k3s_reset_scripts import BEGUN, CLEAN, ELSEWHERE, INSIDE, LINKS, OURS, forget, forgotten
from sealboot.model.host import Host, Inventory
from sealboot.model.plan import Wave
from sealboot.model.steps import PathExists, Remove, Run, Service, ServiceIs, Step, Succeeds

#: Where no server has told anything.
NOBODY: Final[Mapping[str, str]] = MappingProxyType({})


def waves(
    options: K3sOptions, inventory: Inventory, hosts: Sequence[Host], told: Mapping[str, str] = NOBODY
) -> tuple[Wave, ...]:
    """What takes k3s off these hosts, with all that it kept; `told` is what each said of the members of etcd."""
    agents = tuple(s for h in hosts if h.role == "agent" for s in _steps(options, h))
    servers = [h for h in reversed(hosts) if h.role == "server"]
    stays = staying(inventory, hosts)
    turns = (
        (ours, *([_leave(options, h, h, stays)] if stays else ()), *rest)
        for h in servers
        for ours, *rest in (_steps(options, h),)
    )
    stages = (
        Wave("reset-agents", "Take k3s off the agents", agents),
        Wave("leave", "Take the agents out of the cluster", tuple(_forget(options, hosts, stays, told))),
        Wave("reset-servers", "Take k3s off the servers", tuple(s for turn in turns for s in turn), 1),
    )
    return tuple(wave for wave in stages if wave.steps)


def staying(inventory: Inventory, hosts: Sequence[Host]) -> tuple[Host, ...]:
    """The servers that go on with the cluster."""
    going = {host.name for host in hosts}
    return tuple(host for host in inventory.by_role("server") if host.name not in going)


def _keeper(hosts: Sequence[Host], told: Mapping[str, str]) -> Host | None:
    """The server of this run that speaks for the cluster: one that has answered, else the one that goes last."""
    servers = [host for host in hosts if host.role == "server"]
    return next((host for host in servers if told.get(host.name, "").strip()), next(iter(servers), None))


def _forget(
    options: K3sOptions, hosts: Sequence[Host], stays: Sequence[Host], told: Mapping[str, str]
) -> Iterator[Step]:
    """Agents are gone by now, and have no rights to delete their own nodes."""
    keeper = _keeper(hosts, told)
    if keeper is not None and stays:
        yield from (_leave(options, keeper, host, stays) for host in hosts if host.role == "agent")


def _leave(options: K3sOptions, by: Host, host: Host, stays: Sequence[Host]) -> Step:
    """A server deletes its own node before it stops: etcd goes on without the member, and does not miss its vote.

    It asks a server that goes on, whose API does not end with the member; right before it is stopped itself,
    because k3s joins again when it is started with its node deleted (k3s `pkg/etcd/etcd.go`).
    """
    name, binary, data = node_name(host), options.binary(by), options.data(by)
    urls = [f"https://{bracketed(address_of(other))}:{API_PORT}" for other in stays]
    return Run(
        id=f"leave/{by.name}/{name}",
        host=by.name,
        title=f"delete node {name}",
        timeout=180.0,
        check=Succeeds(forgotten(binary, data, name, urls), timeout=60.0),
        script=forget(binary, data, name, urls),
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
