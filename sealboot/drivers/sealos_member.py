"""One host of a sealos cluster as the stages see it: its tree, its places, what scripts are told there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from sealboot.drivers.base import Context
from sealboot.drivers.sealos_image_scripts import PASSWORD, USER
from sealboot.drivers.sealos_steps import Cluster
from sealboot.drivers.sealos_tree import chosen_tree, stamp_of
from sealboot.model.host import Host
from sealboot.model.steps import Run, Succeeds
from sealboot.model.tree import Tree

#: Where image-cri-shim answers; kubelet's unit and crictl's configuration in published root filesystems name it
#: (labring-actions/runtime, `containerd/etc/crictl.yaml`, `k8s/etc/10-kubeadm.conf`).
IMAGE_ENDPOINT = "/var/run/image-cri-shim.sock"
#: For a tree whose registry nobody has looked into.
_PAUSE = "pause:3.9"

#: What the probe's answer `sealos.member` begins with on a host that is in a cluster; releases follow it.
IN_CLUSTER = "member"


@dataclass(frozen=True, slots=True)
class Member:
    """One host as the stages see it."""

    cluster: Cluster
    host: Host
    tree: Tree

    @property
    def name(self) -> str:
        """The inventory name."""
        return self.host.name

    @property
    def data(self) -> str:
        """The cluster's folder on the host."""
        return self.cluster.options.data(self.cluster.ctx.inventory, self.host)

    @property
    def root(self) -> str:
        """The tree's place on the host."""
        return self.cluster.options.rootfs(self.cluster.ctx.inventory, self.host)

    @property
    def stamp(self) -> str:
        """What the rendered tree is made of."""
        return stamp_of(self.tree, self.env)

    @property
    def first(self) -> bool:
        """Whether this is the master that the cluster begins with."""
        return self.name == self.cluster.ctx.inventory.by_role("master")[0].name

    @property
    def serves(self) -> bool:
        """Whether the registry of this cluster runs here."""
        registry = self.cluster.options.registry(self.cluster.ctx.inventory)
        return registry is not None and registry.name == self.name

    @property
    def running(self) -> str:
        """The release that this node of a cluster runs; empty for a host that is none, or is at the wanted one."""
        installed = running(self.cluster.ctx, self.host)
        return installed if installed != self.cluster.release else ""

    @property
    def env(self) -> dict[str, str]:
        """What scripts and templates of the tree are told; the operator's own words win."""
        options = self.cluster.options
        arch = self.cluster.ctx.facts[self.name].kernel_arch
        socket = options.cri_socket.removeprefix("unix://")
        known = {
            "criData": "/var/lib/containerd",
            "registryData": options.registry_data,
            "registryConfig": options.registry_config,
            "registryDomain": options.registry_domain,
            "registryPort": str(options.registry_port),
            "registryUsername": USER,
            "registryPassword": PASSWORD,
            "disableApparmor": "false",
            "sandboxImage": self.sandbox,
            "defaultVIP": options.vip,
            "SEALOS_SYS_CRI_ENDPOINT": socket,
            "SEALOS_SYS_IMAGE_ENDPOINT": IMAGE_ENDPOINT,
            "SEALOS_SYS_KUBE_VERSION": self.cluster.release,
            "SEALOS_SYS_RUN_MODE": f"{self.host.role},{arch or 'unknown'}",
        }
        own = {k.removeprefix("env_"): v for k, v in self.host.vars.items() if k.startswith("env_")}
        return {**known, **options.env, **own}

    @property
    def sandbox(self) -> str:
        """The pause image that the cluster's registry serves: of several the newest."""
        ctx = self.cluster.ctx
        registry = self.cluster.options.registry(ctx.inventory)
        tree = chosen_tree(ctx, registry) if registry is not None else None
        served = [image.name for image in tree.images] if tree is not None else []
        named = [name for name in served if name.rpartition(":")[0].rpartition("/")[2] == "pause"]
        return max(named, key=_by_tag, default=_PAUSE)

    def run(self, step: str, title: str, script: str, check: str, **more: float) -> Run:
        """A script of the tree's, with all that scripts are told."""
        stage, _, what = step.partition("/")
        env = {**self.env, "DATA": self.data, "STAMP": self.stamp, "VERSION": self.cluster.release}
        return Run(
            id=f"{stage}/{self.name}/{what}",
            host=self.name,
            title=title,
            timeout=more.get("timeout", 300.0),
            check=Succeeds(check),
            script=script,
            env={**env, "CRI": self.cluster.options.cri_socket},
        )


def _by_tag(image: str) -> tuple[tuple[int, ...], str]:
    tag = image.rpartition(":")[2]
    return tuple(int(n) for n in re.findall(r"[0-9]{1,6}", tag)), image


def told(ctx: Context, host: Host) -> list[str]:
    """`IN_CLUSTER` where the host is in a cluster, and the releases that our runs have installed on it."""
    return ctx.facts[host.name].observed.get("sealos.member", "").split()


def running(ctx: Context, host: Host) -> str:
    """The release of Kubernetes that a node of a cluster of ours runs; empty where nothing says so."""
    words = told(ctx, host)
    return next((word for word in words if word != IN_CLUSTER), "") if IN_CLUSTER in words else ""


def members(cluster: Cluster, hosts: Iterable[Host]) -> Iterator[Member]:
    """The hosts for which there is a tree; that there is none is the selection's finding."""
    for host in hosts:
        tree = chosen_tree(cluster.ctx, host)
        if tree is not None:
            yield Member(cluster, host, tree)


def with_env(step: Run, more: dict[str, str]) -> Run:
    """The step, its script told some more."""
    return replace(step, env={**step.env, **more})
