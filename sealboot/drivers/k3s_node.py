"""The steps of one k3s node: what is put there, how it starts, and when it counts as up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

from sealboot.drivers import k3s_scripts as scripts
from sealboot.drivers.base import Context
from sealboot.drivers.k3s_config import (
    API_PORT,
    CONFIG_DIR,
    SERVICES,
    config_yaml,
    join_url,
    node_name,
    openrc_script,
    registries_yaml,
    secrets_of,
    systemd_unit,
)
from sealboot.drivers.k3s_install import SLOT as INSTALL
from sealboot.drivers.k3s_install import Install, unit_path
from sealboot.drivers.k3s_options import K3sOptions
from sealboot.drivers.shape import shape_check
from sealboot.model.artifact import Artifact, Other
from sealboot.model.host import Host
from sealboot.model.steps import (
    Check,
    FileIs,
    ReadSecret,
    Run,
    Service,
    ServiceIs,
    Step,
    Succeeds,
    Upload,
    WaitFor,
    WriteFile,
)
from sealboot.plan.fingerprint import digest

SLOT = "k3s"
TOKEN_SECRET = "k3s_token"  # noqa: S105 (its name)


def version_of(artifact: Artifact | None) -> str:
    """The release that a k3s program was built as, from its Go build information; empty when not told."""
    layers = artifact.layers if artifact else ()
    return next((x.facts.get("version", "") for x in layers if isinstance(x, Other) and x.name == "go"), "")


@dataclass(frozen=True, slots=True)
class _Text:
    """A small file of a node."""

    label: str
    dest: str
    content: str
    mode: int
    secrets: tuple[str, ...] = ()

    @property
    def check(self) -> Check:
        """Whether it is there; what a secret is is not looked at."""
        if self.secrets:
            return Succeeds(shape_check(self.dest, self.content, self.mode, self.secrets))
        return FileIs(self.dest, self.sha256, self.mode)

    @property
    def sha256(self) -> str:
        return sha256(self.content.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Node:
    """One host as a node of its cluster, with everything its steps are made of."""

    ctx: Context
    options: K3sOptions
    host: Host
    artifact: Artifact
    first: bool
    openrc: bool
    install: Install | None = None  # where the service is made by k3s' own script

    @classmethod
    def of(cls, ctx: Context, options: K3sOptions, host: Host) -> Node:
        """The node of a host that was reached and has its program."""
        first = options.first(ctx.inventory)
        openrc = ctx.facts[host.name].init == "openrc"
        script = ctx.chosen.get((host.name, INSTALL)) if options.install == "script" else None
        return cls(
            ctx,
            options,
            host,
            ctx.artifact(host, SLOT),
            first=first is not None and first.name == host.name,
            openrc=openrc,
            install=Install(host.name, host.role, options.binary(host), openrc, script) if script else None,
        )

    @property
    def binary(self) -> str:
        """Where the program lies."""
        return self.options.binary(self.host)

    @property
    def data(self) -> str:
        """The data directory."""
        return self.options.data(self.host)

    @property
    def service(self) -> str:
        """The name of its service."""
        return SERVICES[self.host.role]

    @property
    def name(self) -> str:
        """Its name in Kubernetes."""
        return node_name(self.host)

    def texts(self) -> tuple[_Text, ...]:
        """The small files that the service is started from."""
        config = config_yaml(self.options, self.ctx.inventory, self.host)
        made_by = openrc_script if self.openrc else systemd_unit
        unit = _Text(
            "unit",
            unit_path(self.service, openrc=self.openrc),
            "" if self.install else made_by(self.binary, self.host.role),
            0o755 if self.openrc else 0o644,
        )
        registries = registries_yaml(self.options)
        made = (
            _Text("config", f"{CONFIG_DIR}/config.yaml", config, 0o600),
            _Text(
                "registries", f"{CONFIG_DIR}/registries.yaml", registries, 0o600, (*secrets_of(self.options),)
            ),
            unit,
        )
        return tuple(text for text in made if text.content)

    @property
    def stamp(self) -> str:
        """Everything that a running service was started from: it restarts when one of these changes."""
        made = {self.install.unit: self.install.stamp} if self.install else {}
        return digest({self.binary: self.artifact.sha256, **{t.dest: t.sha256 for t in self.texts()}, **made})

    @property
    def asks_https(self) -> bool:
        """Whether the host has a program that can ask a URL; k3s brings none, and small systems have none."""
        return bool(self.ctx.facts[self.host.name].observed.get("k3s.https", "").strip())


def ship(node: Node) -> Iterator[Step]:
    """The program, proven on the host itself before it goes live."""
    host, artifact = node.host, node.artifact
    release = node.ctx.inventory.release or version_of(artifact)
    yield Upload(
        id=f"ship/{host.name}/k3s",
        host=host.name,
        title=f"upload k3s to {node.binary}",
        timeout=3600.0,
        check=FileIs(node.binary, artifact.sha256, 0o755),
        source=artifact.path,
        sha256=artifact.sha256,
        size=artifact.size,
        dest=node.binary,
        # `--version` answers without unpacking anything, so that it proves the file and nothing else.
        smoke='"$1" --version\n',
        # It calls itself by the name of its file, here the one in staging; its commit follows in parentheses.
        smoke_expects=(f" version {release} (" if release else " version v",),
        slot=SLOT,
    )
    if node.install is not None:
        yield from node.install.ship()


def token(node: Node) -> Iterator[Step]:
    """The first server's token: the operator's, else one that is made and kept.

    It is read before any other node gets it: one that is not the operator's any more (SB508) joins nobody.
    """
    if node.options.token_from is not None:
        yield _token_file(node)
    else:
        yield Run(
            id=f"token/{node.host.name}/make",
            host=node.host.name,
            title=f"make the token {scripts.TOKEN}",
            timeout=60.0,
            check=Succeeds(scripts.HAS_TOKEN),
            script=scripts.make_token(node.data),
        )
    yield ReadSecret(
        id=f"token/{node.host.name}/read",
        host=node.host.name,
        title="read the token for the other nodes",
        timeout=60.0,
        script=scripts.READ_TOKEN,
        into=TOKEN_SECRET,
        pattern=scripts.TOKEN_FORM,
    )


def _token_file(node: Node) -> Step:
    content, secrets = f"{{{{ secret.{TOKEN_SECRET} }}}}", (TOKEN_SECRET,)
    return WriteFile(
        id=f"configure/{node.host.name}/token",
        host=node.host.name,
        title=f"write the token {scripts.TOKEN}",
        timeout=60.0,
        check=Succeeds(shape_check(scripts.TOKEN, content, 0o600, secrets)),
        dest=scripts.TOKEN,
        content=content,
        mode=0o600,
        secrets=secrets,
    )


def configure(node: Node) -> Iterator[Step]:
    """The files that the service is started from, and the token that it joins with."""
    host = node.host
    if not node.first:
        yield _token_file(node)
    for text in node.texts():
        yield WriteFile(
            id=f"configure/{host.name}/{text.label}",
            host=host.name,
            title=f"write {text.dest}",
            timeout=60.0,
            check=text.check,
            dest=text.dest,
            content=text.content,
            mode=text.mode,
            secrets=text.secrets,
        )


def start(node: Node) -> Iterator[Step]:
    """Start the service under our own deadline, and wait until Kubernetes calls the node Ready."""
    host, options = node.host, node.options
    yield from _reach(node)
    yield Service(
        id=f"start/{host.name}/service",
        host=host.name,
        title=f"start {node.service}",
        timeout=float(options.start_timeout),
        check=ServiceIs(node.service, active=True, enabled=True, stamp=node.stamp),
        name=node.service,
        enabled=True,
        stamp=node.stamp,
        no_block=True,
    )
    if host.role == "server":
        if node.asks_https:
            yield _wait(node, "ping", "wait for the server's answer", f"https://127.0.0.1:{API_PORT}/ping")
        yield _wait(
            node, "readyz", "wait until the API server is ready", scripts.api_ready(node.binary, node.data)
        )
    yield _wait(
        node,
        "ready",
        f"wait until node {node.name} is Ready",
        scripts.node_ready(node.binary, node.data, node.name),
    )


def _reach(node: Node) -> Iterator[Step]:
    """A node that cannot reach its server would try for ever, without a word: it is asked first."""
    if node.first or not node.asks_https:
        return
    url = f"{join_url(node.options, node.ctx.inventory)}/ping"
    yield _wait(node, "reach", f"reach the server at {url}", url)


def _wait(node: Node, label: str, title: str, target: str) -> Step:
    http = target.startswith("https://")
    return WaitFor(
        id=f"start/{node.host.name}/{label}",
        host=node.host.name,
        title=title,
        timeout=float(node.options.ready_timeout),
        kind="http" if http else "script",
        target=target,
        status=200 if http else None,
    )
