"""The names of waves and parts that `--only` takes, as far as they can be told without any host."""

from __future__ import annotations

from typing import Final

from sealboot.drivers.base import Context, Slot
from sealboot.model.arch import Arch
from sealboot.model.archive import Image, ImageArchive
from sealboot.model.artifact import Artifact
from sealboot.model.facts import Facts
from sealboot.workflow.prepare import Prepared

_PLATFORMS: Final = ("linux/amd64",)


def parts_of(prepared: Prepared) -> tuple[str, ...]:
    """The waves that the driver would write for hosts on which nothing is yet, every slot of theirs filled.

    For proposals only. Raises whatever a driver raises that wants to know more.
    """
    hosts = prepared.inventory.hosts
    facts = {h.name: Facts(h.name, "x86_64", Arch.AMD64, Arch.AMD64, 64, "little") for h in hosts}
    chosen = {
        (host.name, slot.name): _file(slot)
        for host in hosts
        for slot in prepared.slots
        if slot.needed_by(host, facts[host.name])
    }
    context = Context(prepared.inventory, prepared.options, hosts, facts, chosen)
    waves = prepared.driver.waves(context)
    return tuple(dict.fromkeys(name for wave in waves for name in (wave.part or wave.id, wave.id)))


def _file(slot: Slot) -> Artifact:
    """What may fill the slot on an x86-64 host, an archive of one image where archives fill it."""
    image = Image("image", _PLATFORMS, configs=((_PLATFORMS[0], "sha256:" + "0" * 64),))
    layers = () if slot.executable else (ImageArchive("oci-layout", (image,), _PLATFORMS, suffix=".tar"),)
    return Artifact("file", slot.kinds[0], 1, "0" * 64, _PLATFORMS, layers)
