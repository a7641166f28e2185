"""A sealos cluster from nothing to nodes that are ready: the stages of sealos' own bootstrap, and a last one.

Every host has finished a stage before any host begins the next; masters join
one after the other, nodes all at once. sealos throws away what `render` says
and never waits until nodes are ready: here both are asserted.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from sealboot.drivers import sealos_node_scripts as node
from sealboot.drivers import sealos_scripts as scripts
from sealboot.drivers.sealos_kubeadm import init_config, join_config
from sealboot.drivers.sealos_steps import Cluster, entry, hostname, ip_of, ipvs, lvscare
from sealboot.drivers.sealos_tree import chosen_tree, mount, stamp_of
from sealboot.model.host import Host
from sealboot.model.plan import FileIs, ReadSecret, Run, Step, Succeeds, Upload, WaitFor, Wave, WriteFile
from sealboot.model.tree import Tree

_TOKEN, _CA, _KEY = "sealos.token", "sealos.ca", "sealos.key"


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
            "registryUsername": "admin",
            "registryPassword": "passw0rd",
            "disableApparmor": "false",
            "sandboxImage": "pause:3.9",
            "defaultVIP": options.vip,
            "SEALOS_SYS_CRI_ENDPOINT": socket,
            "SEALOS_SYS_IMAGE_ENDPOINT": socket,
            "SEALOS_SYS_KUBE_VERSION": self.cluster.release,
            "SEALOS_SYS_RUN_MODE": f"{self.host.role},{arch or 'unknown'}",
        }
        own = {k.removeprefix("env_"): v for k, v in self.host.vars.items() if k.startswith("env_")}
        return {**known, **options.env, **own}

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


def waves(cluster: Cluster) -> tuple[Wave, ...]:
    """All stages for the hosts that this run may change."""
    everyone = tuple(_members(cluster, cluster.ctx.reached))
    members = tuple(m for m in everyone if m.host.role != "registry")
    masters = tuple(m for m in members if m.host.role == "master")
    nodes = tuple(m for m in members if m.host.role == "node")
    first = tuple(m for m in masters if m.first)
    others = tuple(m for m in masters if not m.first)
    balanced = cluster.options.ipvs is not False
    stages = (
        _wave("mount", "Put the root filesystem in place", (s for m in everyone for s in _mount(m))),
        _wave("render", "Render its templates", map(_render, everyone)),
        _wave("verify", "Verify that sealctl runs", (hostname(cluster, m.host) for m in everyone)),
        _wave("check", "Check the hosts", map(_check, members)),
        _wave("registry-host", "Name the registry", (s for m in everyone for s in _registry_name(m))),
        _wave("registry", "Serve the images", (s for m in everyone if _serves(m) for s in _registry(m))),
        _wave("apiserver-host", "Name the API server", map(_apiserver_name, members)),
        _wave("lvscare-host", "Name the nodes to lvscare", map(_lvscare_name, nodes if balanced else ())),
        _wave("init", "Install the container runtime and kubelet", map(_init, members)),
        _wave("control-plane", "Begin the cluster", (s for m in first for s in _control_plane(m))),
        _wave("secrets", "Ask for what joining needs", (s for m in first for s in _secrets(m, others))),
        Wave("masters", "Join the other masters", tuple(s for m in others for s in _join_master(m)), 1),
        _wave("ipvs", "Balance the API server", map(_ipvs, nodes if balanced else ())),
        _wave("nodes", "Join the nodes", map(_join, nodes)),
        _wave(
            "lvscare", "Keep the balancing", (s for m in nodes if balanced for s in lvscare(cluster, m.host))
        ),
        _wave("ready", "Wait for the nodes", map(_ready, members)),
    )
    return tuple(wave for wave in stages if wave.steps)


def _wave(name: str, title: str, steps: Iterable[Step]) -> Wave:
    return Wave(name, title, tuple(steps))


def _members(cluster: Cluster, hosts: Iterable[Host]) -> Iterator[Member]:
    for host in hosts:
        tree = chosen_tree(cluster.ctx, host)
        if tree is not None:  # that there is none is the selection's finding
            yield Member(cluster, host, tree)


def _mount(member: Member) -> Iterator[Step]:
    facts = member.cluster.ctx.facts[member.name]
    yield from mount(member.host, facts, member.tree, member.root, member.stamp)


def _render(member: Member) -> Step:
    """After each unpacking, too: the tree that lay there before had no templates left either."""
    step = member.run("render/templates", "render its templates", node.RENDER, node.rendered(member.root))
    return replace(step, only_after=(f"mount/{member.name}/tree",))


def _check(member: Member) -> Step:
    return member.run(
        "check/host", "run the root filesystem's own check", node.BOOTSTRAP_CHECK, node.checked(member.data)
    )


def _registry_name(member: Member) -> Iterator[Step]:
    options = member.cluster.options
    kept = f"{member.data}/{node.DONE}/hosts"
    yield Run(
        id=f"hosts/{member.name}/kept",
        host=member.name,
        title=f"keep a copy of {options.hosts_file}",
        timeout=60.0,
        check=Succeeds(f"[ -e {shlex.quote(kept)} ] || [ ! -e {shlex.quote(options.hosts_file)} ]\n"),
        script=node.KEEP_HOSTS,
        env={"DATA": member.data, "STAMP": "", "HOSTS_FILE": options.hosts_file},
    )
    yield entry(member.cluster, member.host, member.cluster.registry_ip, options.registry_domain)


def _serves(member: Member) -> bool:
    registry = member.cluster.options.registry(member.cluster.ctx.inventory)
    return registry is not None and registry.name == member.name


def _registry(member: Member) -> Iterator[Step]:
    options, data = member.cluster.options, member.data
    served = member.tree.registry
    if served is not None:
        archive = f"{data}/registry.tar"
        yield Upload(
            id=f"registry/{member.name}/archive",
            host=member.name,
            title="send the registry's images",
            timeout=14400.0,
            check=Succeeds(node.images_there(data, archive, served.sha256), timeout=600.0),
            source=served.path,
            sha256=served.sha256,
            size=served.size,
            dest=archive,
            mode=0o600,
            keep_previous=False,
        )
        unpacked = (
            node.marked(data, "images", served.sha256) + f"[ -d {shlex.quote(f'{data}/rootfs/registry')} ]\n"
        )
        step = member.run(
            "registry/images", "unpack the images", node.UNPACK_REGISTRY, unpacked, timeout=3600.0
        )
        yield _with_env(step, {"ARCHIVE": archive, "STAMP": served.sha256})
    serve = member.run(
        "registry/serve",
        "start the registry",
        node.REGISTRY,
        node.linked(data, options.registry_data, member.stamp),
        timeout=600.0,
    )
    yield _with_env(serve, {"HTPASSWD": options.registry_htpasswd or ""})
    yield WaitFor(
        id=f"registry/{member.name}/answers",
        host=member.name,
        title="wait for the registry",
        timeout=120.0,
        kind="tcp",
        target=f"{member.cluster.registry_ip}:{options.registry_port}",
    )


def _with_env(step: Run, more: dict[str, str]) -> Run:
    return replace(step, env={**step.env, **more})


def _apiserver_name(member: Member) -> Step:
    """Until a master has joined, the API server is the first one; afterwards each is its own."""
    cluster, options = member.cluster, member.cluster.options
    if member.host.role == "node" and options.ipvs is not False:
        return entry(cluster, member.host, options.vip, options.apiserver_domain)
    step = entry(cluster, member.host, cluster.masters[0], options.apiserver_domain)
    if member.host.role == "node" or member.first or not isinstance(step.check, Succeeds):
        return step
    own = scripts.has_entry(options.hosts_file, ip_of(member.host), options.apiserver_domain)
    return replace(step, check=Succeeds(node.either(step.check.script, node.member(member.data) + own)))


def _lvscare_name(member: Member) -> Step:
    return entry(member.cluster, member.host, ip_of(member.host), member.cluster.options.lvscare_domain)


def _init(member: Member) -> Step:
    step = member.run(
        "init/runtime",
        "install the runtime and kubelet",
        node.INIT,
        node.initialised(member.data, member.stamp),
        timeout=1800.0,
    )
    return replace(step, detached=True)


def _control_plane(member: Member) -> Iterator[Step]:
    cluster = member.cluster
    place = f"{member.data}/etc/kubeadm-init.yaml"
    content = init_config(cluster.options, cluster.release, ip_of(member.host), cluster.masters)
    yield WriteFile(
        id=f"control-plane/{member.name}/config",
        host=member.name,
        title="write kubeadm's configuration",
        check=FileIs(place, hashlib.sha256(content.encode()).hexdigest(), 0o600),
        dest=place,
        content=content,
        mode=0o600,
    )
    step = member.run(
        "control-plane/init", "kubeadm init", node.KUBEADM_INIT, node.member(member.data), timeout=1800.0
    )
    accepted = any(entry.code == "SB624" for entry in member.host.ignore)
    others = [] if accepted else [ip for ip in cluster.masters if ip != ip_of(member.host)]
    port = str(cluster.options.apiserver_port)
    yield replace(_with_env(step, {"OTHERS": " ".join(others), "PORT": port}), detached=True)
    yield WaitFor(
        id=f"control-plane/{member.name}/answers",
        host=member.name,
        title="wait for the API server",
        timeout=300.0,
        kind="script",
        target=node.API_READY,
    )


def _secrets(member: Member, others: tuple[Member, ...]) -> Iterator[Step]:
    asked = [
        (_TOKEN, "a token", node.BOOTSTRAP, r"[a-z0-9]{6}\.[a-z0-9]{16}"),
        (_CA, "the certificate's digest", node.CA_HASH, r"sha256:[0-9a-f]{64}"),
        *([(_KEY, "the certificates' key", node.CERTIFICATE_KEY, r"[0-9a-f]{64}")] if others else []),
    ]
    for name, title, script, pattern in asked:
        yield ReadSecret(
            id=f"secrets/{member.name}/{name}",
            host=member.name,
            title=f"ask kubeadm for {title}",
            timeout=120.0,
            script=script,
            into=name,
            pattern=pattern,
        )


def _join(member: Member) -> Run:
    master = member.host.role == "master"
    config = join_config(member.cluster.options, ip_of(member.host), master=master)
    step = member.run(
        "join/kubeadm", "kubeadm join", node.KUBEADM_JOIN, node.member(member.data), timeout=900.0
    )
    secrets = {"TOKEN": _TOKEN, "CA": _CA, **({"KEY": _KEY} if master else {})}
    return replace(step, env={**step.env, "CONFIG": config}, env_secrets=secrets, detached=True)


def _join_master(member: Member) -> Iterator[Step]:
    yield _join(member)
    own = entry(member.cluster, member.host, ip_of(member.host), member.cluster.options.apiserver_domain)
    yield replace(own, id=f"{own.id}/own")


def _ipvs(member: Member) -> Step:
    step = ipvs(member.cluster, member.host)
    if not isinstance(step, Run) or not isinstance(step.check, Succeeds):
        return step
    return replace(step, check=Succeeds(node.either(step.check.script, node.member(member.data))))


def _ready(member: Member) -> Step:
    limit = float(member.cluster.options.ready_timeout)
    return WaitFor(
        id=f"ready/{member.name}/node",
        host=member.name,
        title="wait until the node is ready",
        timeout=limit,
        check=Succeeds(node.NODE_READY),
        kind="script",
        target=node.NODE_READY,
        interval=2.0,
    )
