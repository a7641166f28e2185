"""A sealos cluster from nothing to nodes that are ready: the stages of sealos' own bootstrap, and a last one.

Every host has finished a stage before any host begins the next; masters join
one after the other, nodes all at once. sealos throws away what `render` says
and never waits until nodes are ready: here both are asserted.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import replace

from sealboot.drivers import sealos_hosts_scripts as scripts
from sealboot.drivers import sealos_node_scripts as node
from sealboot.drivers import sealos_upgrade
from sealboot.drivers.sealos_kubeadm import init_config, join_config
from sealboot.drivers.sealos_marks import DONE
from sealboot.drivers.sealos_member import Member, members, with_env
from sealboot.drivers.sealos_registry import images, registry
from sealboot.drivers.sealos_steps import Cluster, entry, hostname, ip_of, ipvs, lvscare
from sealboot.drivers.sealos_tree import mount
from sealboot.model.plan import Wave
from sealboot.model.steps import FileIs, ReadSecret, Run, Step, Succeeds, WaitFor, WriteFile

_TOKEN, _CA, _KEY = "sealos.token", "sealos.ca", "sealos.key"


def waves(cluster: Cluster) -> tuple[Wave, ...]:
    """All stages for the hosts that this run may change."""
    everyone = tuple(members(cluster, cluster.ctx.reached))
    joined = tuple(m for m in everyone if m.host.role != "registry")
    masters = tuple(m for m in joined if m.host.role == "master")
    nodes = tuple(m for m in joined if m.host.role == "node")
    first = tuple(m for m in masters if m.first)
    others = tuple(m for m in masters if not m.first)
    balanced = cluster.options.ipvs is not False
    stages = (
        _wave("mount", "Put the root filesystem in place", (s for m in everyone for s in _mount(m))),
        _wave("render", "Render its templates", map(_render, everyone)),
        _wave("verify", "Verify that sealctl runs", (hostname(cluster, m.host) for m in everyone)),
        _wave("check", "Check the hosts", map(_check, joined)),
        _wave("registry-host", "Name the registry", (s for m in everyone for s in _registry_name(m))),
        _wave("images", "Bring the images", (s for m in everyone if m.serves for s in images(m))),
        _wave("registry", "Serve the images", (s for m in everyone if m.serves for s in registry(m))),
        _wave("apiserver-host", "Name the API server", map(_apiserver_name, joined)),
        _wave("lvscare-host", "Name the nodes to lvscare", map(_lvscare_name, nodes if balanced else ())),
        _wave(
            "init", "Install the container runtime and kubelet", (_init(m) for m in joined if not m.running)
        ),
        *sealos_upgrade.waves(masters, nodes, [_config(m) for m in first]),
        _wave("control-plane", "Begin the cluster", (s for m in first for s in _control_plane(m))),
        _wave("secrets", "Ask for what joining needs", (s for m in first for s in _secrets(m, others))),
        Wave("masters", "Join the other masters", tuple(s for m in others for s in _join_master(m)), 1),
        _wave("ipvs", "Balance the API server", map(_ipvs, nodes if balanced else ())),
        _wave("nodes", "Join the nodes", map(_join, nodes)),
        _wave(
            "lvscare", "Keep the balancing", (s for m in nodes if balanced for s in lvscare(cluster, m.host))
        ),
        _wave("ready", "Wait for the nodes", map(_ready, joined)),
    )
    return tuple(wave for wave in stages if wave.steps)


def _wave(name: str, title: str, steps: Iterable[Step]) -> Wave:
    return Wave(name, title, tuple(steps))


def _mount(member: Member) -> Iterator[Step]:
    facts = member.cluster.ctx.facts[member.name]
    keep = f"{member.root}.{member.running}" if member.running else ""
    yield from mount(member.host, facts, member.tree, member.root, member.stamp, keep=keep)


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
    kept = f"{member.data}/{DONE}/hosts"
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


def _config(member: Member) -> WriteFile:
    cluster = member.cluster
    place = f"{member.data}/etc/kubeadm-init.yaml"
    endpoint = member.env["SEALOS_SYS_IMAGE_ENDPOINT"]
    content = init_config(cluster.options, cluster.release, ip_of(member.host), cluster.masters, endpoint)
    return WriteFile(
        id=f"control-plane/{member.name}/config",
        host=member.name,
        title="write kubeadm's configuration",
        check=FileIs(place, hashlib.sha256(content.encode()).hexdigest(), 0o600),
        dest=place,
        content=content,
        mode=0o600,
    )


def _control_plane(member: Member) -> Iterator[Step]:
    cluster = member.cluster
    if not member.running:  # else it is written before the upgrade
        yield _config(member)
    step = member.run(
        "control-plane/init", "kubeadm init", node.KUBEADM_INIT, node.member(member.data), timeout=1800.0
    )
    accepted = any(entry.code == "SB624" for entry in member.host.ignore)
    others = [] if accepted else [ip for ip in cluster.masters if ip != ip_of(member.host)]
    port = str(cluster.options.apiserver_port)
    yield replace(with_env(step, {"OTHERS": " ".join(others), "PORT": port}), detached=True)
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
    cluster = member.cluster
    config = join_config(cluster.options, cluster.release, ip_of(member.host), master=master)
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
