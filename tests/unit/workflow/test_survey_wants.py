"""What a driver wants to know of a host reaches the probe and the checks whole."""

from __future__ import annotations

from dataclasses import fields

from sealboot.drivers.base import Wants
from sealboot.drivers.k3s import K3sDriver
from sealboot.drivers.k3s_options import K3sOptions
from sealboot.model.host import Host, Inventory
from sealboot.workflow.prepare import Prepared
from sealboot.workflow.survey import wants_of

HOST = Host("s1", "10.0.0.11", "server")


def test_nothing_of_a_drivers_wishes_is_lost() -> None:
    inventory = Inventory("inventory.yaml", ".", "lab", "k3s", None, (HOST,))
    driver, options = K3sDriver(), K3sOptions()
    prepared = Prepared(inventory, driver, options, driver.slots(inventory, options), (HOST,))
    own, asked = driver.wants(HOST, options), wants_of(prepared, HOST)
    assert asked.programs == own.programs != ()
    for field in fields(Wants):
        mine, theirs = getattr(own, field.name), getattr(asked, field.name)
        assert set(mine) <= set(theirs)
