"""What kubeadm is told: configurations as text, the same for the same cluster.

kubeadm itself must not pull (`imagePullPolicy: Never`): it would ask the runtime for names of the public registry,
past image-cri-shim, which alone knows that the cluster's own registry has them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from sealboot.drivers.sealos_documents import of_kind
from sealboot.drivers.sealos_options import SealosOptions

_RELEASE = re.compile(r"v(\d{1,4})\.(\d{1,4})\.", re.ASCII)
#: kubeadm v1.31 reads v1beta4, and v1.37 nothing older; v1.22 to v1.36 read v1beta3 (kubeadm's API reference).
_V1BETA4: Final = (1, 31)
#: kubelet has a field for the image endpoint since v1.27.
_IMAGE_ENDPOINT: Final = (1, 27)


def _at_least(version: str, wanted: tuple[int, int]) -> bool:
    match = _RELEASE.match(version)
    return match is not None and (int(match[1]), int(match[2])) >= wanted


def api_of(options: SealosOptions, version: str) -> str:
    """The `apiVersion` that kubeadm of this release reads, unless the options name one."""
    return (
        f"kubeadm.k8s.io/{options.kubeadm_api or ('v1beta4' if _at_least(version, _V1BETA4) else 'v1beta3')}"
    )


def init_config(
    options: SealosOptions, version: str, address: str, masters: Sequence[str], image_endpoint: str
) -> str:
    """For `kubeadm init` on the first master; `masters` are the addresses of all."""
    names = ["127.0.0.1", options.apiserver_domain, options.vip, *masters]
    repository = [f"imageRepository: {options.image_repository}"] if options.image_repository else []
    api = f"apiVersion: {api_of(options, version)}"
    own = options.kubeadm_documents.strip()
    proxy = options.ipvs is not False and of_kind(own, "KubeProxyConfiguration") is None
    kubelet = _at_least(version, _IMAGE_ENDPOINT) and of_kind(own, "KubeletConfiguration") is None
    lines = [
        api,
        "kind: InitConfiguration",
        "localAPIEndpoint:",
        f'  advertiseAddress: "{address}"',
        f"  bindPort: {options.apiserver_port}",
        "nodeRegistration:",
        f"  criSocket: {options.cri_socket}",
        "  imagePullPolicy: Never",
        "---",
        api,
        "kind: ClusterConfiguration",
        f"kubernetesVersion: {version}",
        *repository,
        f'controlPlaneEndpoint: "{options.apiserver_domain}:{options.apiserver_port}"',
        "networking:",
        f'  podSubnet: "{options.pod_subnet}"',
        f'  serviceSubnet: "{options.service_subnet}"',
        "apiServer:",
        "  certSANs:",
        *(f'  - "{name}"' for name in dict.fromkeys(names)),
        "etcd:",
        "  local:",
        f"    dataDir: {options.etcd_data}",
        *(_kubelet(image_endpoint) if kubelet else []),
        *(_proxy(options) if proxy else []),
        *([*([] if own.startswith("---") else ["---"]), own] if own else []),
    ]
    return "\n".join([*lines, ""])


def _kubelet(image_endpoint: str) -> list[str]:
    """Kubelet asks image-cri-shim for images, whatever the tree's own unit says."""
    return [
        "---",
        "apiVersion: kubelet.config.k8s.io/v1beta1",
        "kind: KubeletConfiguration",
        f"imageServiceEndpoint: unix://{image_endpoint.removeprefix('unix://')}",
    ]


def upgrade_config(options: SealosOptions, version: str) -> str:
    """For `kubeadm upgrade apply` and `node`; empty for releases that read no such document (before v1.31)."""
    if not _at_least(version, _V1BETA4):
        return ""
    ignored = "  ignorePreflightErrors: [SystemVerification]"
    return "\n".join(
        [
            f"apiVersion: {api_of(options, version)}",
            "kind: UpgradeConfiguration",
            "apply:",
            f"  kubernetesVersion: {version}",
            "  imagePullPolicy: Never",
            ignored,
            "node:",
            "  imagePullPolicy: Never",
            ignored,
        ]
    )


def _proxy(options: SealosOptions) -> list[str]:
    """kube-proxy must leave the rule alone by which nodes reach the masters."""
    return [
        "---",
        "apiVersion: kubeproxy.config.k8s.io/v1alpha1",
        "kind: KubeProxyConfiguration",
        "mode: ipvs",
        "ipvs:",
        "  excludeCIDRs:",
        f'  - "{options.vip}/32"',
    ]


def join_config(options: SealosOptions, version: str, address: str, *, master: bool) -> str:
    """For `kubeadm join`; `@TOKEN@`, `@CA@` and `@KEY@` are filled in on the host, from secrets."""
    control = [
        "controlPlane:",
        "  localAPIEndpoint:",
        f'    advertiseAddress: "{address}"',
        f"    bindPort: {options.apiserver_port}",
        '  certificateKey: "@KEY@"',
    ]
    lines = [
        f"apiVersion: {api_of(options, version)}",
        "kind: JoinConfiguration",
        "discovery:",
        "  bootstrapToken:",
        f'    apiServerEndpoint: "{options.apiserver_domain}:{options.apiserver_port}"',
        '    token: "@TOKEN@"',
        "    caCertHashes:",
        '    - "@CA@"',
        "nodeRegistration:",
        f"  criSocket: {options.cri_socket}",
        "  imagePullPolicy: Never",
        *(control if master else []),
    ]
    return "\n".join(lines)
