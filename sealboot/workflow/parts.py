"""The names of waves and parts that `--only` takes, as far as they can be told without any host."""

from __future__ import annotations

from sealboot.drivers.base import Context
from sealboot.model.arch import Arch
from sealboot.model.artifact import Artifact, Kind
from sealboot.model.facts import Facts
from sealboot.workflow.prepare import Prepared


def parts_of(prepared: Prepared) -> tuple[str, ...]:
    """The waves that the driver would write for hosts on which nothing is yet, every slot of theirs filled.

    For proposals only. Raises whatever a driver raises that wants to know more.
    """
    hosts = prepared.inventory.hosts
    facts = {h.name: Facts(h.name, "x86_64", Arch.AMD64, Arch.AMD64, 64, "little") for h in hosts}
    file = Artifact("file", Kind.ELF, 1, "0" * 64)
    chosen = {
        (host.name, slot.name): file
        for host in hosts
        for slot in prepared.slots
        if slot.needed_by(host, facts[host.name])
    }
    context = Context(prepared.inventory, prepared.options, hosts, facts, chosen)
    waves = prepared.driver.waves(context)
    return tuple(dict.fromkeys(name for wave in waves for name in (wave.part or wave.id, wave.id)))
