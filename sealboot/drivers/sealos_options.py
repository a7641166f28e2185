"""The options of the `sealos` driver, with the defaults that sealos itself has."""

from __future__ import annotations

import re
from ipaddress import IPv4Address
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from sealboot.drivers.sealos_documents import documents
from sealboot.model.host import Host, Inventory

_DOMAIN = r"^[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$"
_SUBNETS = r"^[0-9a-fA-F.:]+/[0-9]{1,3}(?:,[0-9a-fA-F.:]+/[0-9]{1,3})?$"
_VERSION = r"^v[0-9]+\.[0-9]+\.[0-9]+(?:[-+][A-Za-z0-9.+-]+)?$"
_PATH = re.compile(r"(?:/[A-Za-z0-9._@+-]+)+")


def _number(value: object) -> object:
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value


def _absolute(path: str) -> str:
    if not _PATH.fullmatch(path) or {".", ".."} & set(path.split("/")):
        raise ValueError("expected an absolute path of plain characters without `.` and `..`")
    return path


class SealosOptions(BaseModel):
    """What may be written under the driver's options; every key has a default."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True)

    cluster: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] | None = None
    data_root: str = "/var/lib/sealos/data"
    hosts_file: str = "/etc/hosts"
    registry_domain: Annotated[str, Field(pattern=_DOMAIN)] = "sealos.hub"
    registry_host: str | None = None
    apiserver_domain: Annotated[str, Field(pattern=_DOMAIN)] = "apiserver.cluster.local"
    apiserver_port: Annotated[int, BeforeValidator(_number), Field(ge=1, le=65535)] = 6443
    lvscare_domain: Annotated[str, Field(pattern=_DOMAIN)] = "lvscare.node.ip"
    vip: str = "10.103.97.2"
    ipvs: bool | None = None
    lvscare_image: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9./:@_-]*$")] | None = None
    lvscare_name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")] = "kube-sealos-lvscare"
    manifests: str = "/etc/kubernetes/manifests"
    state: Literal["present", "absent"] = "present"
    env: dict[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], str] = Field(default_factory=dict)
    registry_port: Annotated[int, BeforeValidator(_number), Field(ge=1, le=65535)] = 5000
    registry_data: str = "/var/lib/registry"
    registry_config: str = "/etc/registry"
    registry_htpasswd: Annotated[str, Field(pattern=r"^[^\s:]+:\$2[aby]\$[./A-Za-z0-9$]{50,60}$")] | None = (
        None
    )
    cri_socket: Annotated[str, Field(pattern=r"^(?:unix://)?/[A-Za-z0-9._/-]+$")] = (
        "unix:///run/containerd/containerd.sock"
    )
    pod_subnet: Annotated[str, Field(pattern=_SUBNETS)] = "100.64.0.0/10"
    service_subnet: Annotated[str, Field(pattern=_SUBNETS)] = "10.96.0.0/22"
    image_repository: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9./:_-]*$")] | None = None
    kubernetes_version: Annotated[str, Field(pattern=_VERSION)] | None = None
    kubeadm_api: Annotated[str, Field(pattern=r"^v1(?:beta[0-9]+)?$")] | None = None
    kubeadm_documents: str = ""
    etcd_data: str = "/var/lib/etcd"
    upgrade_batch: Annotated[int, BeforeValidator(_number), Field(ge=1, le=1000)] = 1
    drain_timeout: Annotated[int, BeforeValidator(_number), Field(ge=1, le=86400)] = 300
    drain_emptydir: bool = False
    ready_timeout: Annotated[int, BeforeValidator(_number), Field(ge=1, le=86400)] = 600

    @field_validator("data_root", "hosts_file", "manifests", "registry_data", "registry_config", "etcd_data")
    @classmethod
    def _paths(cls, value: str) -> str:
        return _absolute(value)

    @field_validator("kubeadm_documents")
    @classmethod
    def _documents(cls, value: str) -> str:
        documents(value)
        return value

    @field_validator("vip")
    @classmethod
    def _ipv4(cls, value: str) -> str:
        try:
            return str(IPv4Address(value))
        except ValueError:
            raise ValueError("expected an IPv4 address such as 10.103.97.2") from None

    def release(self, inventory: Inventory) -> str:
        """The release of Kubernetes: this option, else the inventory's; empty when neither is given."""
        return self.kubernetes_version or inventory.release or ""

    def rootfs(self, inventory: Inventory, host: Host) -> str:
        """The cluster's root on this host; `paths.data` replaces what comes before `/rootfs`."""
        data = host.paths.get("data") or f"{self.data_root}/{self.cluster or inventory.name}"
        return f"{data.rstrip('/')}/rootfs"

    def data(self, inventory: Inventory, host: Host) -> str:
        """The folder of all that the cluster keeps on this host."""
        return self.rootfs(inventory, host).rpartition("/")[0]

    def sealctl(self, inventory: Inventory, host: Host) -> str:
        """Where sealctl goes on this host; `paths.binary` replaces its directory."""
        folder = host.paths.get("binary") or f"{self.rootfs(inventory, host)}/opt"
        return f"{folder.rstrip('/')}/sealctl"

    def registry(self, inventory: Inventory) -> Host | None:
        """The host that serves the registry: as named, else the first `registry`, else the first master."""
        if self.registry_host is not None:
            return next((h for h in inventory.hosts if h.name == self.registry_host), None)
        candidates = inventory.by_role("registry") or inventory.by_role("master")
        return candidates[0] if candidates else None
