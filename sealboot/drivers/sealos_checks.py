"""What only a whole sealos cluster can get wrong: an incomplete description, occupied hosts, missing images."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import replace

from sealboot.checks import cgroups, ports
from sealboot.checks.space import Load, no_space
from sealboot.drivers.base import Context
from sealboot.drivers.options import origin_of
from sealboot.drivers.sealos_marks import DONE
from sealboot.drivers.sealos_member import IN_CLUSTER, running, told
from sealboot.drivers.sealos_option_checks import contradictions
from sealboot.drivers.sealos_options import SealosOptions
from sealboot.drivers.sealos_tree import SLOT, chosen_tree
from sealboot.model.arch import Arch, platform_arch
from sealboot.model.archive import Image
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.host import Host, Inventory

_TOOLS = ("tar", "bash", "sha256sum", "find", "mktemp")
_SHOWN = 6
#: What the root filesystems' own `check.sh` wants free on every member: kubelet, its neighbours, sealos' own server.
_NODE_PORTS: tuple[ports.Port, ...] = tuple(("tcp", n) for n in (*range(10249, 10260), *range(5050, 5055)))
_RELEASE = re.compile(r"v\d+\.\d+\.\d+(?:[-+][A-Za-z0-9.+-]+)?", re.ASCII)
#: A variable of the tree's scripts as a host's own: `env_` and a name that a shell takes.
_VARIABLE = re.compile(r"env_[A-Za-z_]\w*", re.ASCII)

_NUMBERS = re.compile(r"v(\d{1,4})\.(\d{1,4})\.(\d{1,4})", re.ASCII)
_ANY = 9_999  # above any patch release

_RUNTIMES = ("containerd", "dockerd", "crio", "k3s")
_SOCKETS = ("/run/docker.sock", "/var/run/docker.sock", "/run/containerd/containerd.sock")


def questions(folder: str, options: SealosOptions) -> dict[str, str]:
    """What the probe asks for this driver; `folder` is where clusters keep their data on the host.

    A host is occupied by a runtime that is there although no run of ours has set up a node.
    """
    place = shlex.quote(folder.rstrip("/"))
    member = f"[ ! -s /etc/kubernetes/kubelet.conf ] || echo {IN_CLUSTER}"
    return {
        cgroups.KEY: cgroups.QUESTION,
        ports.KEY: ports.question([*_NODE_PORTS, *_master_ports(options), ("tcp", options.registry_port)]),
        "sealos.tools": f"for t in {' '.join(_TOOLS)}; do command -v $t >/dev/null 2>&1 && echo $t; done; true",
        "sealos.runtime": f"for p in {' '.join(_RUNTIMES)}; do command -v $p 2>/dev/null; done; "
        f"for s in {' '.join(_SOCKETS)}; do [ -S $s ] && echo $s; done; true",
        "sealos.node": f'for d in {place} {place}/*; do [ ! -d "$d/{DONE}" ] || echo begun; '
        f'[ ! -e "$d/{DONE}/check" ] || echo ours; done; true',
        "sealos.member": f"{member}; cat {place}/{DONE}/version {place}/*/{DONE}/version 2>/dev/null; true",
    }


def undescribed(inventory: Inventory, options: SealosOptions) -> Iterator[Diagnostic]:
    """SB607 for what a whole cluster needs to be told and is not."""
    release = options.release(inventory)
    if not release:
        yield Diagnostic(
            "SB607",
            "a cluster with root filesystems needs to know the release of Kubernetes",
            at=origin_of(inventory, "cluster"),
            hints=("write `release: v1.29.9` under `cluster`: the one that the root filesystem has",),
        )
    elif not _RELEASE.fullmatch(release):
        yield Diagnostic(
            "SB607",
            f"{release!r} is no release of Kubernetes",
            at=origin_of(
                inventory, "options.kubernetes_version" if options.kubernetes_version else "cluster"
            ),
            hints=("write it as its root filesystem does: `v1.29.9`",),
        )
    for host in inventory.hosts:
        for name in (n for n in host.vars if n.startswith("env_") and not _VARIABLE.fullmatch(n)):
            yield Diagnostic(
                "SB603",
                f"vars.{name}: {name.removeprefix('env_')!r} is no name of a variable",
                host=host.name,
                at=host.origin(f"vars.{name}"),
                hints=("use letters, digits and `_`, and no digit in front",),
            )
    yield from contradictions(inventory, options)
    if options.ipvs is not False and options.lvscare_image is None and inventory.by_role("node"):
        yield Diagnostic(
            "SB607",
            "nodes reach the masters through a balanced address, and nothing would keep it after a reboot",
            at=origin_of(inventory, "options"),
            hints=(
                "set `options.lvscare_image` to the image that your registry has",
                'or `ipvs: "false"`: then nodes talk to the first master alone',
            ),
        )


def cluster(ctx: Context) -> Iterator[Diagnostic]:
    """Every finding about a cluster with root filesystems, but for the programs in them."""
    options = ctx.options
    if not isinstance(options, SealosOptions):
        raise TypeError("these are another driver's options")
    yield from undescribed(ctx.inventory, options)
    yield from _second(ctx)
    for host in ctx.reached:
        yield from _tools(ctx, host)
        yield from _occupied(ctx, host)
        yield from _busy(ctx, host, options)
        yield from _upgraded(ctx, host, options)
        yield from _unpacked(ctx, host, options)
        if host.role != "registry":
            yield from cgroups.old_cgroups(
                host,
                ctx.facts[host.name],
                options.release(ctx.inventory),
                accepted=False,
                way="or take root filesystems of a release before v1.35",
            )
    yield from _images(ctx, options)


def _tools(ctx: Context, host: Host) -> Iterator[Diagnostic]:
    answer = ctx.facts[host.name].observed.get("sealos.tools")
    missing = [tool for tool in _TOOLS if answer is not None and tool not in answer.split()]
    if missing:
        yield Diagnostic(
            "SB621",
            f"{host.name} has no {', '.join(missing)}, which a sealos node is set up with",
            host=host.name,
            at=host.origin(),
            hints=("install it with the host's package manager",),
        )


def _occupied(ctx: Context, host: Host) -> Iterator[Diagnostic]:
    """SB622: sealos refuses such hosts half-way, after everything was copied, and does not say where it looked."""
    observed = ctx.facts[host.name].observed
    found = observed.get("sealos.runtime", "").split()
    if not found or "ours" in observed.get("sealos.node", ""):
        return
    yield Diagnostic(
        "SB622",
        f"{host.name} has a container runtime already, and sealos brings its own",
        host=host.name,
        at=host.origin(),
        evidence=(("found", ", ".join(dict.fromkeys(found))),),
        hints=("remove it from the host, or take the host out of the inventory",),
    )


def _upgraded(ctx: Context, host: Host, options: SealosOptions) -> Iterator[Diagnostic]:
    """SB623: kubeadm goes forward, and by one minor release at most; known before anything is written."""
    wanted, runs = options.release(ctx.inventory), running(ctx, host)
    before, after = _numbers(runs), _numbers(wanted)
    if before is None or after is None or before <= after <= (before[0], before[1] + 1, _ANY):
        return
    back = after < before
    yield Diagnostic(
        "SB623",
        f"{host.name} runs Kubernetes {runs}, and kubeadm does not {'go back' if back else 'skip releases'} to {wanted}",
        host=host.name,
        at=origin_of(ctx.inventory, "cluster"),
        evidence=(("installed", runs), ("wanted", wanted)),
        hints=(
            f"write `release: {runs}`, with root filesystems of that release"
            if back
            else f"go by v{before[0]}.{before[1] + 1} first, with root filesystems of that release",
            f"or take the host out (`state: absent` with `--limit {host.name}`) and in again",
        ),
    )


def _numbers(release: str) -> tuple[int, ...] | None:
    match = _NUMBERS.match(release)
    return tuple(map(int, match.groups())) if match else None


def _second(ctx: Context) -> Iterator[Diagnostic]:
    """SB624: the first master would begin a cluster, and others are members of one that we made."""
    masters = ctx.inventory.by_role("master")
    if not masters or masters[0].name not in ctx.facts or IN_CLUSTER in told(ctx, masters[0]):
        return
    first = masters[0]
    others = [h for h in ctx.reached if h.name != first.name and h.role != "registry"]
    members = [h for h in others if IN_CLUSTER in told(ctx, h)]
    if not members:
        return
    alive = next((h.name for h in members if h.role == "master"), None)
    yield Diagnostic(
        "SB624",
        f"{first.name} is in no cluster and would begin one, and {members[0].name} is in one already",
        host=first.name,
        also=tuple(host.name for host in members),
        at=first.origin(),
        evidence=(("members", ", ".join(host.name for host in members)),),
        hints=(
            f"put {alive} first among the masters: then {first.name} joins its cluster"
            if alive
            else "restore the master, or take the others out first (`state: absent`): the cluster is lost",
        ),
    )


def _unpacked(ctx: Context, host: Host, options: SealosOptions) -> Iterator[Diagnostic]:
    """SB301 as a warning: the archive fits, but not beside what is unpacked of it.

    No error, because a host that has the tree already needs neither.
    """
    tree, facts = chosen_tree(ctx, host), ctx.facts[host.name]
    if tree is None or tree.packed is None:
        return
    size, blobs = tree.packed.size, 0
    if tree.registry is not None and options.registry(ctx.inventory) == host:
        size += tree.registry.size
        blobs = sum(blob.size for blob in tree.blobs)
    place = options.data(ctx.inventory, host)
    if not no_space(host, facts, Load({place: size + blobs})):
        for found in no_space(host, facts, Load({place: 2 * size + blobs})):
            yield replace(found, severity=Severity.WARNING)


def _master_ports(options: SealosOptions) -> tuple[ports.Port, ...]:
    return (("tcp", options.apiserver_port), ("tcp", 2379), ("tcp", 2380))


def _busy(ctx: Context, host: Host, options: SealosOptions) -> tuple[Diagnostic, ...]:
    """SB311: sealos' own check would say so, once everything was copied.

    On a host where a run of ours has begun, what listens may be ours: the registry does before it is marked.
    """
    facts = ctx.facts[host.name]
    if facts.observed.get("sealos.node", "").strip() or IN_CLUSTER in told(ctx, host):
        return ()
    wanted = [*(_NODE_PORTS if host.role != "registry" else ())]
    wanted += _master_ports(options) if host.role == "master" else ()
    serves = options.registry(ctx.inventory) == host
    wanted += [("tcp", options.registry_port)] if serves else []
    return ports.taken_ports(host, facts, wanted)


def _images(ctx: Context, options: SealosOptions) -> Iterator[Diagnostic]:
    """SB620: an image that the registry will serve lacks an architecture that is in use."""
    registry = options.registry(ctx.inventory)
    if registry is None:
        return
    tree = chosen_tree(ctx, registry)
    members = [host for host in ctx.reached if host.role != "registry"]
    used = sorted({a for h in members if (a := ctx.facts[h.name].kernel_arch) is not None})
    if tree is None:
        return
    for arch in used:
        lacking = [image for image in tree.images if not _has(image, arch)]
        if lacking:
            yield _lacking(ctx, registry, arch, lacking)


def _has(image: Image, arch: Arch) -> bool:
    return any(platform_arch(platform) == arch for platform in image.platforms)


def _lacking(ctx: Context, registry: Host, arch: Arch, images: list[Image]) -> Diagnostic:
    hosts = [h.name for h in ctx.reached if h.role != "registry" and ctx.facts[h.name].kernel_arch is arch]
    names = ", ".join(i.name for i in images[:_SHOWN]) + (" ..." if len(images) > _SHOWN else "")
    return Diagnostic(
        "SB620",
        f"{len(images)} images of the registry are not for {arch.both_names}, and {hosts[0]} is",
        Severity.ERROR,
        host=hosts[0],
        also=tuple(hosts[1:]),
        artifact=ctx.artifact(registry, SLOT).path,
        at=registry.origin(f"artifacts.{SLOT}"),
        evidence=(("images", names), ("served by", registry.name)),
        hints=("save the images for every architecture in use: `sealos save --all`, `sreg --all`",),
    )
