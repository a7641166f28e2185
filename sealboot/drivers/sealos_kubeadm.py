"""What kubeadm is told: configurations as text, the same for the same cluster.

The API is kubeadm.k8s.io/v1beta3 unless the options say otherwise; every
kubeadm from 1.22 on reads it.
"""

from __future__ import annotations

from collections.abc import Sequence

from sealboot.drivers.sealos_options import SealosOptions


def init_config(options: SealosOptions, version: str, address: str, masters: Sequence[str]) -> str:
    """For `kubeadm init` on the first master; `masters` are the addresses of all."""
    names = ["127.0.0.1", options.apiserver_domain, options.vip, *masters]
    repository = [f"imageRepository: {options.image_repository}"] if options.image_repository else []
    api = f"apiVersion: kubeadm.k8s.io/{options.kubeadm_api}"
    lines = [
        api,
        "kind: InitConfiguration",
        "localAPIEndpoint:",
        f'  advertiseAddress: "{address}"',
        f"  bindPort: {options.apiserver_port}",
        "nodeRegistration:",
        f"  criSocket: {options.cri_socket}",
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
        *(_proxy(options) if options.ipvs is not False else []),
    ]
    return "\n".join([*lines, ""])


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


def join_config(options: SealosOptions, address: str, *, master: bool) -> str:
    """For `kubeadm join`; `@TOKEN@`, `@CA@` and `@KEY@` are filled in on the host, from secrets."""
    control = [
        "controlPlane:",
        "  localAPIEndpoint:",
        f'    advertiseAddress: "{address}"',
        f"    bindPort: {options.apiserver_port}",
        '  certificateKey: "@KEY@"',
    ]
    lines = [
        f"apiVersion: kubeadm.k8s.io/{options.kubeadm_api}",
        "kind: JoinConfiguration",
        "discovery:",
        "  bootstrapToken:",
        f'    apiServerEndpoint: "{options.apiserver_domain}:{options.apiserver_port}"',
        '    token: "@TOKEN@"',
        "    caCertHashes:",
        '    - "@CA@"',
        "nodeRegistration:",
        f"  criSocket: {options.cri_socket}",
        *(control if master else []),
    ]
    return "\n".join(lines)
