"""Where k3s keeps the administrator's kubeconfig, and the address under which others reach its API."""

from __future__ import annotations

from typing import Final

from sealboot.drivers.access import api_url, printed
from sealboot.drivers.base import KubeconfigWay
from sealboot.drivers.k3s_config import API_PORT, CONFIG_DIR, address_of
from sealboot.drivers.k3s_options import K3sOptions
from sealboot.model.host import Inventory

#: The setting of config.yaml that puts it elsewhere.
_ELSEWHERE: Final = "write-kubeconfig"


def ways(options: K3sOptions, inventory: Inventory) -> tuple[KubeconfigWay, ...]:
    """Every server has one. What is in it (`https://127.0.0.1:6443`) is no address for anybody else.

    The certificate holds the endpoint, where there is one, and each server's own address.
    """
    path = {**options.config, **options.server_config}.get(_ELSEWHERE, f"{CONFIG_DIR}/k3s.yaml")
    script = printed(path if isinstance(path, str) else path[-1])
    return tuple(
        KubeconfigWay(host.name, script, api_url(options.endpoint or address_of(host), API_PORT))
        for host in inventory.by_role("server")
    )
