"""The steps of one k0s node: what is staged, what is validated, and the one step that makes it live."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from sealboot.drivers import k0s_scripts as scripts
from sealboot.drivers.base import Context
from sealboot.drivers.k0s_config import (
    API_PORT,
    CONFIG,
    JOIN_PORT,
    TOKEN,
    environment,
    environment_file,
    environment_text,
    install_words,
    k0s_yaml,
    node_name,
    public_address,
    unit_of,
)
from sealboot.drivers.k0s_golive import Target
from sealboot.drivers.k0s_options import CONTROLLERS, NODES, K0sOptions
from sealboot.drivers.k0s_shell import store
from sealboot.model.artifact import Artifact, Other
from sealboot.model.facts import Facts
from sealboot.model.host import Host
from sealboot.model.steps import ReadSecret, Run, Step, Succeeds, Upload, WaitFor, WriteFile
from sealboot.plan.fingerprint import digest

SLOT: Final = "k0s"
#: The join tokens' names as secrets, by what they are for.
TOKENS: Final[Mapping[str, str]] = {"controller": "k0s_controller_token", "worker": "k0s_worker_token"}


def release_of(artifact: Artifact | None) -> str:
    """The release that a k0s program says it is; empty when it does not tell (a packed one)."""
    layers = artifact.layers if artifact else ()
    return next((x.facts.get("version", "") for x in layers if isinstance(x, Other) and x.name == "go"), "")


@dataclass(frozen=True, slots=True)
class Node:
    """One host as a member of its cluster, with everything its steps are made of."""

    ctx: Context
    options: K0sOptions
    host: Host
    artifact: Artifact

    @property
    def name(self) -> str:
        """The inventory name."""
        return self.host.name

    @property
    def facts(self) -> Facts:
        """What the host said about itself."""
        return self.ctx.facts[self.host.name]

    @property
    def first(self) -> bool:
        """Whether this is the controller that begins the cluster."""
        first = self.options.first(self.ctx.inventory)
        return first is not None and first.name == self.host.name

    @property
    def controller(self) -> bool:
        """Whether it runs the API server and its datastore."""
        return self.host.role in CONTROLLERS

    @property
    def openrc(self) -> bool:
        """Whether OpenRC starts its service."""
        return self.facts.init == "openrc"

    @property
    def binary(self) -> str:
        """Where the program lies."""
        return self.options.binary(self.host)

    @property
    def data(self) -> str:
        """The data directory."""
        return self.options.data(self.host)

    @property
    def unit(self) -> str:
        """The name of its service."""
        return unit_of(self.host.role)

    @property
    def release(self) -> str:
        """The release of its program, as the program says, else as the inventory does."""
        return release_of(self.artifact) or self.ctx.inventory.release or ""

    @property
    def node(self) -> str:
        """Its name in Kubernetes; empty for what is no node."""
        return node_name(self.host, self.facts) if self.host.role in NODES else ""

    @property
    def member(self) -> bool:
        """Whether a k0s in this role is there already, as far as the host told."""
        return self.unit in self.facts.observed.get("k0s.units", "").split()

    @property
    def replaced(self) -> bool:
        """Whether the program of a member becomes another one."""
        return self.member and self.facts.observed.get("k0s.installed", "").strip() != self.artifact.sha256

    @property
    def joined(self) -> bool:
        """Whether it is a node of a cluster: it has a kubelet's credentials, which only the API gives."""
        return self.member and "worker" in self.states

    @property
    def states(self) -> frozenset[str]:
        """What the host told of itself as a member, and of the datastore in its data directory."""
        return frozenset(self.facts.observed.get("k0s.state", "").split())

    @property
    def drains(self) -> bool:
        """Whether it is emptied before its program changes; a node on its own has nowhere to send its pods."""
        return self.options.drain.enabled == "true" and self.host.role in {"controller+worker", "worker"}

    @property
    def emptied(self) -> bool:
        """Whether this run empties it."""
        return self.drains and self.replaced and self.joined

    @property
    def config(self) -> str:
        """The content of k0s.yaml; empty for workers, which get theirs from the API."""
        return k0s_yaml(self.options, self.host, self.facts) if self.controller else ""

    @property
    def environment(self) -> str:
        """What the service is told in its environment; empty where there is nothing to say."""
        values = environment(self.options, self.host, self.facts.kernel_arch)
        return environment_text(values, openrc=self.openrc)

    def target(self) -> Target:
        """What this host is to run."""
        words = install_words(self.options, self.host, first=self.first)
        config, said = _digest(self.config), _digest(self.environment)
        named = digest({"words": words, "unit": self.unit})
        role = "controller" if self.controller else "worker"
        says = [f'"Role":"{role}"']
        says += ['"Workloads":true'] if self.host.role == "controller+worker" else []
        says += ['"SingleNode":true'] if self.host.role == "single" else []
        return Target(
            binary=self.binary,
            data=self.data,
            unit=self.unit,
            openrc=self.openrc,
            sha256=self.artifact.sha256,
            config_sha256=config,
            environment=environment_file(self.unit, openrc=self.openrc),
            environment_sha256=said,
            words=words,
            words_sha256=named,
            digest=digest({self.binary: self.artifact.sha256, "config": config, "env": said, "words": named}),
            version=self.release,
            says=says,
            api=self.controller,
            node=self.node,
            drain=self.drains,
            limit=self.options.health_timeout,
        )


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest() if text else ""


def ship(node: Node) -> Iterator[Step]:
    """The program, proven on the host itself, into our folder: nothing that runs is touched yet."""
    artifact, release = node.artifact, node.ctx.inventory.release
    yield Upload(
        id=f"ship/{node.name}/k0s",
        host=node.name,
        title=f"upload k0s beside {node.binary}",
        timeout=3600.0,
        check=Succeeds(scripts.program_staged(node.binary, artifact.sha256), timeout=120.0),
        source=artifact.path,
        sha256=artifact.sha256,
        size=artifact.size,
        dest=f"{store(node.binary)}/k0s.next",
        # It answers without unpacking anything, so that it proves the file and nothing else.
        smoke='"$1" version\n',
        smoke_expects=(release or node.release or "+k0s.",),
        keep_previous=False,
        slot=SLOT,
    )


def configure(node: Node) -> Iterator[Step]:
    """The small files into our folder, and k0s.yaml read by the program that will have to live with it."""
    target = node.target()
    if node.member and node.controller and not {"etcd", "kine"} & node.states:
        # Only root may look, and the probe was not (SB667).
        script = scripts.same_store(node.data, node.options.storage(node.host.role))
        title = "make sure that its cluster is where k0s will look for it"
        yield _asked(node, "configure", "datastore", title, script)
    if node.controller:
        yield _staged(node, "config", "k0s.yaml.next", CONFIG, node.config)
        flags = [word for word in target.words if word.startswith("--feature-gates=")]
        key = digest([node.artifact.sha256, target.config_sha256, flags])
        yield Run(
            id=f"configure/{node.name}/validate",
            host=node.name,
            title="have the k0s that is to come validate its k0s.yaml",
            timeout=120.0,
            check=Succeeds(scripts.is_validated(node.binary, key)),
            script=scripts.validate(node.binary, key, node.artifact.sha256, flags),
        )
    if node.environment:
        yield _staged(node, "environment", "env.next", target.environment, node.environment)


def _staged(node: Node, label: str, name: str, live: str, content: str) -> Step:
    return WriteFile(
        id=f"configure/{node.name}/{label}",
        host=node.name,
        title=f"have {live} ready",
        timeout=60.0,
        check=Succeeds(scripts.staged(node.binary, name, live, _digest(content), 0o600)),
        dest=f"{store(node.binary)}/{name}",
        content=content,
        mode=0o600,
    )


def begin(node: Node, joining: tuple[Node, ...]) -> Iterator[Step]:
    """Before the first controller changes: no other cluster that it would not join, no place in etcd that is taken."""
    inventory, facts = node.ctx.inventory, node.ctx.facts
    others = [c for c in node.options.controllers(inventory) if c.name != node.name]
    places = [public_address(c, facts.get(c.name)) for c in others]
    places += [node.options.endpoint] if node.options.endpoint else []
    accepted = any(entry.code == "SB655" for entry in node.host.ignore)
    if places and not accepted and node.facts.observed.get("k0s.https", "").strip():
        urls = [f"https://{f'[{p}]' if ':' in p else p}:{API_PORT}/version" for p in places]
        yield _asked(
            node, "alone", "cluster", "make sure that no cluster runs already", scripts.alone(node.data, urls)
        )
    empty = [n for n in joining if "controller" not in n.states]
    places = [public_address(n.host, n.facts) for n in empty if not n.member]
    if places and node.member:
        script = scripts.not_members(node.binary, node.data, places)
        yield _asked(
            node, "alone", "etcd", "make sure that etcd has no member in the place of a new one", script
        )


def wake(node: Node) -> Iterator[Step]:
    """A controller that is down is started as it is: where all are, no single one would become ready without the others."""
    yield Run(
        id=f"wake/{node.name}/service",
        host=node.name,
        title=f"start {node.unit} where it is down",
        timeout=180.0,
        check=Succeeds(scripts.is_awake(node.binary, node.unit)),
        script=scripts.wake(node.binary, node.unit),
    )


def _asked(node: Node, wave: str, label: str, title: str, script: str) -> Step:
    return Run(
        id=f"{wave}/{node.name}/{label}",
        host=node.name,
        title=title,
        timeout=120.0,
        check=Succeeds(script, timeout=60.0),
        script=script,
    )


def backup(node: Node) -> Iterator[Step]:
    """What the cluster held, kept on the first controller before any controller runs another program."""
    if node.options.backup == "false":
        return
    place = f"{node.options.backup_dir}/before-{node.artifact.sha256[:12]}"
    yield Run(
        id=f"backup/{node.name}/k0s",
        host=node.name,
        title=f"keep a backup of the cluster in {place}",
        timeout=900.0,
        check=Succeeds(f"[ -d {place} ]\n"),
        script=scripts.backup(node.binary, node.data, place),
    )


def token(leader: Node, role: str) -> Iterator[Step]:
    """A short-lived join token, made when a host needs it."""
    yield ReadSecret(
        id=f"token/{leader.name}/{role}",
        host=leader.name,
        title=f"make a token for joining as a {role}",
        timeout=90.0,
        script=scripts.make_token(leader.binary, leader.data, role, leader.options.token_expiry),
        into=TOKENS[role],
        pattern=scripts.TOKEN_FORM,
    )


def revoke(leader: Node) -> Iterator[Step]:
    """The tokens are invalidated when everybody who needed them has joined, or has failed to."""
    yield Run(
        id=f"revoke/{leader.name}/tokens",
        host=leader.name,
        title="invalidate the join tokens",
        timeout=300.0,
        check=Succeeds(scripts.none_made(leader.binary)),
        script=scripts.revoke(leader.binary, leader.data),
    )


def join(node: Node) -> Iterator[Step]:
    """What joining takes: the token, and a way to the controller that made it."""
    secret = TOKENS["controller" if node.controller else "worker"]
    yield WriteFile(
        id=f"join/{node.name}/token",
        host=node.name,
        title=f"write the join token {TOKEN}",
        timeout=60.0,
        check=Succeeds(scripts.has_token(node.binary)),
        dest=TOKEN,
        content=f"{{{{ secret.{secret} }}}}",
        mode=0o600,
        secrets=(secret,),
    )
    first = node.options.first(node.ctx.inventory)
    place = node.options.endpoint or (public_address(first, node.ctx.facts.get(first.name)) if first else "")
    port = JOIN_PORT if node.controller else API_PORT
    if node.member or not place:
        return
    yield WaitFor(
        id=f"join/{node.name}/reach",
        host=node.name,
        title=f"reach {place} on port {port}",
        timeout=60.0,
        kind="tcp",
        target=f"[{place}]:{port}" if ":" in place else f"{place}:{port}",
    )


def run(node: Node) -> Iterator[Step]:
    """The one step that changes what runs; it survives whoever asked for it."""
    target = node.target()
    release = f" {node.release}" if node.release else ""
    how = "keep the previous one until it is well" if node.member else "wait until it is ready"
    yield Run(
        id=f"run/{node.name}/k0s",
        host=node.name,
        title=f"run k0s{release} as {node.unit}, and {how}",
        timeout=2.0 * node.options.health_timeout + 900.0,
        check=Succeeds(target.done, timeout=180.0),
        script=target.script,
        detached=True,
    )
