"""A running sealos cluster brought to the next release, in the order that kubeadm's documentation demands.

The images are served already. The first master's kubeadm plans and applies;
then each master in turn, and nodes a few at a time, is upgraded by kubeadm,
cordoned, drained, given the new runtime and kubelet, restarted, waited for and
opened again. Each host asks the API servers themselves whether its turn has
come. A host's release is written down last: until then all of this is asked
again, and what is done is not done twice.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace

from sealboot.drivers import sealos_upgrade_scripts as scripts
from sealboot.drivers.sealos_kubeadm import upgrade_config
from sealboot.drivers.sealos_marks import marked
from sealboot.drivers.sealos_member import Member, with_env
from sealboot.drivers.sealos_node_scripts import either, initialised
from sealboot.model.plan import Wave
from sealboot.model.steps import ReadSecret, Run, Service, ServiceIs, Step, Succeeds, WaitFor, WriteFile

_ADMIN = "sealos.admin"


def waves(
    masters: Sequence[Member], nodes: Sequence[Member], config: Sequence[WriteFile]
) -> tuple[Wave, ...]:
    """What the members that run another release need; `config` is kubeadm's file on the first master."""
    behind = [m for m in masters if m.running]
    first = [m for m in masters if m.first]
    leading = tuple(s for m in behind if m.first for s in _plane(m, config))
    others = tuple(s for m in behind if not m.first for s in _host(m))
    batch = nodes[0].cluster.options.upgrade_batch if nodes else 1
    stages = (
        Wave("upgrade-plane", "Upgrade the control plane", leading),
        Wave("upgrade-secrets", "Ask for what draining needs", tuple(map(_credentials, first))),
        Wave(
            "upgrade-first",
            "Upgrade the first master's node",
            tuple(s for m in behind if m.first for s in _host(m)),
        ),
        Wave("upgrade-masters", "Upgrade the other masters", others, 1),
        Wave(
            "upgrade-nodes",
            "Upgrade the nodes",
            tuple(s for m in nodes if m.running for s in _host(m)),
            batch,
        ),
    )
    if not any(m.running for m in (*masters, *nodes)):
        return ()
    return tuple(wave for wave in stages if wave.steps)


def _plane(member: Member, config: Sequence[WriteFile]) -> Iterator[Step]:
    """The part of `kubeadm upgrade` that is the whole cluster's."""
    release = member.cluster.release
    done = scripts.upgraded(member.data, release, master=True)
    yield _tools(member)
    yield from config
    planned = either(done, marked(member.data, scripts.PLANNED, release))
    yield member.run("upgrade/plan", f"kubeadm upgrade plan {release}", scripts.PLAN, planned, timeout=600.0)
    step = member.run(
        "upgrade/apply", f"kubeadm upgrade apply {release}", scripts.APPLY, done, timeout=1800.0
    )
    yield _kept_from_pulling(member, step)


def _kept_from_pulling(member: Member, step: Run) -> Run:
    config = upgrade_config(member.cluster.options, member.cluster.release)
    return replace(with_env(step, {"CONFIG": config}), detached=True)


def _tools(member: Member) -> Run:
    """The tree's own word for its release; asked of the tree, so its answer is also the proof."""
    release = member.cluster.release
    step = member.run("upgrade/tools", f"ask the root filesystem for {release}", scripts.TOOLS, "")
    exported = f"DATA={shlex.quote(member.data)} VERSION={shlex.quote(release)}\n"
    return replace(step, check=Succeeds(f"{exported}( {scripts.TOOLS}) || exit 1\n"))


def _credentials(member: Member) -> ReadSecret:
    return ReadSecret(
        id=f"upgrade/{member.name}/{_ADMIN}",
        host=member.name,
        title="ask kubeadm for an administrator's credentials, good for a day",
        timeout=120.0,
        script=f"DATA={shlex.quote(member.data)}\n{scripts.CREDENTIALS}",
        into=_ADMIN,
        pattern=r"[A-Za-z0-9+/=]{64,65536}",
    )


def _host(member: Member) -> Iterator[Step]:
    """One host's own part, from the question whether its turn has come to its being open again."""
    options, release, name = member.cluster.options, member.cluster.release, member.name
    yield _turn(member)
    if not member.first:
        yield _tools(member)
        done = scripts.upgraded(member.data, release, master=member.host.role == "master")
        step = member.run(
            "upgrade/node", f"kubeadm upgrade node to {release}", scripts.NODE, done, timeout=900.0
        )
        yield _kept_from_pulling(member, step)
    step = member.run(
        "upgrade/drain",
        "cordon and drain the node",
        scripts.DRAIN,
        scripts.drained(member.data, release, member.stamp),
        timeout=options.drain_timeout + 60.0,
    )
    more = "--delete-emptydir-data" if options.drain_emptydir else ""
    yield _as_admin(with_env(step, {"DRAIN_TIMEOUT": str(options.drain_timeout), "DRAIN_MORE": more}))
    step = member.run(
        "upgrade/runtime",
        f"replace runtime and kubelet of {member.running}",
        scripts.REPLACE,
        initialised(member.data, member.stamp),
        timeout=1800.0,
    )
    yield replace(step, detached=True)
    yield Service(
        id=f"upgrade/{name}/kubelet",
        host=name,
        title="restart kubelet",
        timeout=300.0,
        check=ServiceIs("kubelet", stamp=member.stamp),
        name="kubelet",
        state="restarted",
        enabled=None,
        stamp=member.stamp,
        only_after=(f"upgrade/{name}/runtime",),
    )
    ready = scripts.ready_with(release)
    yield WaitFor(
        id=f"upgrade/{name}/ready",
        host=name,
        title=f"wait until the node is ready with {release}",
        timeout=float(options.ready_timeout),
        check=Succeeds(ready),
        kind="script",
        target=ready,
        interval=2.0,
    )
    yield _as_admin(
        member.run(
            "upgrade/open",
            "open the node to pods again",
            scripts.OPEN,
            marked(member.data, scripts.VERSION, release),
        )
    )


def _as_admin(step: Run) -> Run:
    return replace(step, env_secrets={"ADMIN": _ADMIN})


def _turn(member: Member) -> WaitFor:
    """A kubelet waits for the API servers that it may talk to: every one, for a node."""
    cluster = member.cluster
    masters = cluster.masters if member.host.role == "node" else cluster.masters[:1]
    asked = scripts.served_by(cluster.release, masters, cluster.options.apiserver_port)
    who = "every API server" if len(masters) > 1 else f"the API server at {masters[0]}"
    return WaitFor(
        id=f"upgrade/{member.name}/turn",
        host=member.name,
        title=f"wait until {who} is at {cluster.release}",
        timeout=300.0,
        check=Succeeds(asked),
        kind="script",
        target=asked,
        interval=2.0,
    )
