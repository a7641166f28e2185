"""Where k0s keeps the administrator's kubeconfig, and the address under which others reach its API."""

from __future__ import annotations

from sealboot.drivers.access import api_url, printed
from sealboot.drivers.base import KubeconfigWay
from sealboot.drivers.k0s_config import API_PORT, public_address
from sealboot.drivers.k0s_options import K0sOptions
from sealboot.model.host import Inventory


def ways(options: K0sOptions, inventory: Inventory) -> tuple[KubeconfigWay, ...]:
    """Every controller has one, for itself (`https://localhost:6443`); its certificate holds the names used here."""
    return tuple(
        KubeconfigWay(
            host.name,
            printed(f"{options.data(host)}/pki/admin.conf"),
            api_url(options.endpoint or public_address(host, None), API_PORT),
        )
        for host in options.controllers(inventory)
    )
