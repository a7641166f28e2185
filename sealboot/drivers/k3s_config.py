"""The small files of a k3s node: config.yaml, registries.yaml, and its service for systemd or OpenRC."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any, Final

import yaml

from sealboot.drivers.k3s_options import K3sOptions, registry_secrets
from sealboot.model.host import Host, Inventory
from sealboot.model.secret import SecretRef

#: Of the service and of its unit, by role: the names that k3s' own installer uses, so that its
#: documentation holds for these hosts too.
SERVICES: Final[Mapping[str, str]] = {"server": "k3s", "agent": "k3s-agent"}
#: The port of the API server and of the supervisor behind which nodes join.
API_PORT: Final = 6443
#: Where k3s looks for its settings without being told.
CONFIG_DIR: Final = "/etc/rancher/k3s"

#: What each of these files says of its origin.
MADE_BY: Final = "# Written by sealboot;"
_SECRET = re.compile(r"^( *)(\w+): '(\{\{ secret\.\w+ \}\})'$", re.MULTILINE)
_HEADER = f"{MADE_BY} changes are overwritten by its next apply.\n"


def address_of(host: Host) -> str:
    """The address that other nodes use: `vars.ip`, or the host's own."""
    return host.vars.get("ip", host.address)


def node_name(host: Host) -> str:
    """What Kubernetes calls the node: `vars.node_name`, or the inventory's name in lower case."""
    return host.vars.get("node_name", host.name.lower())


def bracketed(place: str) -> str:
    """A host as it stands in a URL."""
    return f"[{place}]" if ":" in place else place


def join_url(options: K3sOptions, inventory: Inventory) -> str:
    """Where nodes join: the given endpoint (a load balancer, a virtual address), or the first server."""
    first = options.first(inventory)
    place = options.endpoint or (address_of(first) if first else "")
    return f"https://{bracketed(place)}:{API_PORT}"


def config_yaml(options: K3sOptions, inventory: Inventory, host: Host) -> str:
    """config.yaml of one host. It names the token's file and holds no secret itself."""
    server = host.role == "server"
    first = options.first(inventory)
    made: dict[str, Any] = {"node-name": node_name(host), "token-file": f"{CONFIG_DIR}/token"}
    if options.data(host) != "/var/lib/rancher/k3s":
        made["data-dir"] = options.data(host)
    if "ip" in host.vars:
        made["node-ip"] = host.vars["ip"]
    if server and first is not None and host.name == first.name:
        if options.datastore == "etcd":
            made["cluster-init"] = True
    else:
        made["server"] = join_url(options, inventory)
    if server:
        made["tls-san"] = list(dict.fromkeys((address_of(host), *_endpoint(options), *options.tls_san)))
        if options.embedded_registry == "true":
            made["embedded-registry"] = True
    for key, name in (("node-label", "node_labels"), ("node-taint", "node_taints")):
        if host.vars.get(name):
            made[key] = [part.strip() for part in host.vars[name].split(",") if part.strip()]
    return _HEADER + _dump({**made, **options.settings(host)})


def _endpoint(options: K3sOptions) -> tuple[str, ...]:
    return (options.endpoint,) if options.endpoint else ()


def secrets_of(options: K3sOptions) -> Mapping[str, SecretRef]:
    """What registries.yaml is filled in with, by name."""
    found = registry_secrets(options.registries)
    return {f"registry_{number}": ref for number, (_, _, ref) in enumerate(found)}


def registries_yaml(options: K3sOptions) -> str:
    """registries.yaml; empty where there is nothing to say.

    In place of a secret stands its name. It is a literal block with an indentation of its own, in which any
    text of one line means itself (YAML 1.2.2, section 8.1.2).
    """
    if not options.registries:
        return ""
    tree = _switches(options.registries)
    for number, (place, key, _) in enumerate(registry_secrets(options.registries)):
        tree["configs"][place]["auth"][key] = f"{{{{ secret.registry_{number} }}}}"
    return _HEADER + _SECRET.sub(r"\1\2: |2-\n\1  \3", _dump(tree))


def _switches(tree: Any) -> Any:
    """The tree with the one switch of this file as a boolean: inventories hold texts only."""
    if isinstance(tree, Mapping):
        return {
            key: value == "true" if key == "insecure_skip_verify" else _switches(value)
            for key, value in tree.items()
        }
    return [_switches(item) for item in tree] if isinstance(tree, list) else tree


def _dump(tree: Mapping[str, Any]) -> str:
    text: str = yaml.safe_dump(dict(tree), sort_keys=False, default_flow_style=False, allow_unicode=True)
    return text


def systemd_unit(binary: str, role: str) -> str:
    """The unit of a server or an agent.

    `Type=notify` without a time limit is what k3s needs on slow machines: a
    server's first start takes minutes. Whoever starts it brings the deadline.
    `KillMode=process` lets pods live through a restart.
    """
    return (
        f"{_HEADER}[Unit]\nDescription=Lightweight Kubernetes ({role})\nDocumentation=https://docs.k3s.io\n"
        "Wants=network-online.target\nAfter=network-online.target\n\n"
        "[Service]\nType=notify\n"
        f"EnvironmentFile=-/etc/systemd/system/{SERVICES[role]}.service.env\n"
        "KillMode=process\nDelegate=yes\nLimitNOFILE=1048576\nLimitNPROC=infinity\nLimitCORE=infinity\n"
        "TasksMax=infinity\nTimeoutStartSec=0\nRestart=always\nRestartSec=5s\n"
        "ExecStartPre=-/sbin/modprobe br_netfilter\nExecStartPre=-/sbin/modprobe overlay\n"
        f"ExecStart={binary} {role}\n\n[Install]\nWantedBy=multi-user.target\n"
    )


def openrc_script(binary: str, role: str) -> str:
    """The init script of a server or an agent for OpenRC, supervised like systemd would."""
    name = SERVICES[role]
    return (
        f"#!/sbin/openrc-run\n{_HEADER}\n"
        "depend() {\n    after network-online\n    want cgroups\n}\n\n"
        "start_pre() {\n    modprobe -q br_netfilter || :\n    modprobe -q overlay || :\n}\n\n"
        "supervisor=supervise-daemon\n"
        f'name={name}\ncommand={shlex.quote(binary)}\ncommand_args="{role}"\n'
        f"output_log=/var/log/{name}.log\nerror_log=/var/log/{name}.log\n"
        f"pidfile=/run/{name}.pid\nrespawn_delay=5\nrespawn_max=0\n\n"
        "set -o allexport\n"
        f"if [ -f {CONFIG_DIR}/{name}.env ]; then . {CONFIG_DIR}/{name}.env; fi\n"
        "set +o allexport\n"
    )
