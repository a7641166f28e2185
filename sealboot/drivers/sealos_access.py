"""Where kubeadm keeps the administrator's kubeconfig, and the address under which others reach the API."""

from __future__ import annotations

from typing import Final

from sealboot.drivers.access import api_url, printed
from sealboot.drivers.base import KubeconfigWay
from sealboot.drivers.sealos_options import SealosOptions
from sealboot.drivers.sealos_steps import ip_of
from sealboot.model.host import Inventory

ADMIN_CONF: Final = "/etc/kubernetes/admin.conf"


def ways(options: SealosOptions, inventory: Inventory) -> tuple[KubeconfigWay, ...]:
    """Every master has one. It names the API server by a domain that only hosts of the cluster know.

    The certificate holds the address of each master.
    """
    return tuple(
        KubeconfigWay(host.name, printed(ADMIN_CONF), api_url(ip_of(host), options.apiserver_port))
        for host in inventory.by_role("master")
    )
