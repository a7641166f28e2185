"""Take a cluster down without editing its inventory: the same inventory, desired to be gone."""

from __future__ import annotations

from dataclasses import replace

from sealboot.drivers.base import HasKubeconfig
from sealboot.drivers.options import validate
from sealboot.model.diagnostic import Diagnostic
from sealboot.model.names import fold
from sealboot.workflow.prepare import Prepared

#: The option by which a driver is told that the cluster is to be gone, and its value for that.
_OPTION, _ABSENT = "state", "absent"


def absent(prepared: Prepared) -> Prepared | tuple[Diagnostic, ...]:
    """What `options: {state: absent}` in the inventory would make of it; SB683 for drivers without that."""
    driver, inventory = prepared.driver, prepared.inventory
    if _OPTION not in driver.Options.model_fields:
        return (
            Diagnostic(
                "SB683",
                f"the driver `{inventory.driver}` does not know what takes its cluster down",
                at=inventory.origins.get("cluster.driver"),
                hints=(
                    "what phases did is undone by phases in an inventory of their own: apply that",
                    "Talos is taken off a machine by `talosctl reset`",
                ),
            ),
        )
    wanted = replace(inventory, options={**inventory.options, _OPTION: _ABSENT})
    options = validate(driver, wanted)
    if isinstance(options, tuple):
        return options
    slots = driver.slots(wanted, options)
    return replace(prepared, inventory=wanted, options=options, slots=slots)


def orphans(prepared: Prepared) -> Diagnostic | None:
    """SB684 when the selected hosts take down what the others cannot do without.

    That is the server that began the cluster, the last one, or as many that the rest has no majority:
    a driver cannot tell from the selected hosts alone, because it writes steps only for those.
    """
    driver, inventory = prepared.driver, prepared.inventory
    going = {host.name for host in prepared.selected}
    staying = [host.name for host in inventory.hosts if host.name not in going]
    if not staying or not isinstance(driver, HasKubeconfig):
        return None
    servers = [way.host for way in driver.kubeconfig(inventory, prepared.options)]
    left = [name for name in servers if name not in going]
    if len(left) == len(servers):
        return None
    if not left:
        what = "every server of the cluster"
    elif servers[0] in going:
        what = f"{servers[0]}, which began the cluster"
    elif 2 * len(left) <= len(servers):
        what = f"{len(servers) - len(left)} of {len(servers)} servers, which leaves no majority"
    else:
        return None
    return Diagnostic(
        "SB684",
        f"this would take down {what}, and leave {fold(staying)}",
        evidence=(("to go", fold(sorted(going))), ("to stay", fold(staying))),
        hints=("without --limit the whole cluster is taken down", "--force does just this all the same"),
    )
