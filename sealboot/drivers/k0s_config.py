"""What a k0s node is told: k0s.yaml, the flags of `k0s install`, and the environment of its service."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import Any, Final

import yaml

from sealboot.drivers.k0s_options import CONTROLLERS, NODES, K0sOptions
from sealboot.drivers.kubelet import RELEASE
from sealboot.model.arch import Arch
from sealboot.model.facts import Facts
from sealboot.model.host import Host

#: Where the small files are; k0s' own documentation uses these paths.
CONFIG: Final = "/etc/k0s/k0s.yaml"
TOKEN: Final = "/etc/k0s/k0stoken"  # noqa: S105 (a path)
#: The API server, behind which workers join, and the API of k0s, behind which controllers do.
API_PORT: Final = 6443
JOIN_PORT: Final = 9443

#: What each of the files says of its origin.
MADE_BY: Final = "# Written by sealboot;"
HEADER: Final = f"{MADE_BY} changes are overwritten by its next apply.\n"

#: etcd runs on these only when it is told to (its documentation on supported platforms).
_ETCD_UNSUPPORTED = frozenset({Arch.ARM, Arch.I386, Arch.RISCV64, Arch.LOONG64})
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})", re.ASCII)
#: Below and at these keys k0s wants texts, whatever they look like.
_TEXTS = frozenset(
    {
        "extraArgs",
        "rawArgs",
        "args",
        "labels",
        "annotations",
        "nodeSelector",
        "version",
        "image",
        "repository",
        "envVars",
        "authPass",
    }
    | {"values", "name", "namespace", "chartname", "url", "default_pull_policy", "podCIDR", "serviceCIDR"}
)
#: `values` is the text of a Helm chart's settings, or a map: a KubeletConfiguration (kubelet.config.k8s.io/v1beta1).
_VALUES: Final = "values"
#: Its fields that are texts, or maps of texts, whatever they look like: `systemReserved: {cpu: "1"}`.
_KUBELET_TEXTS = frozenset(
    {"cpuManagerPolicyOptions", "evictionHard", "evictionMinimumReclaim", "evictionSoft", "kubeReserved"}
    | {"evictionSoftGracePeriod", "qosReserved", "reservedSystemCPUs", "staticPodURLHeader", "systemReserved"}
    | {"topologyManagerPolicyOptions", "key", "value"}  # the last two of `registerWithTaints`
    # Durations.
    | {"cpuCFSQuotaPeriod", "cpuManagerReconcilePeriod", "evictionPressureTransitionPeriod"}
    | {"fileCheckFrequency", "httpCheckFrequency", "imageMaximumGCAge", "imageMinimumGCAge"}
    | {"nodeStatusReportFrequency", "nodeStatusUpdateFrequency", "runtimeRequestTimeout"}
    | {"shutdownGracePeriod", "shutdownGracePeriodCriticalPods", "streamingConnectionIdleTimeout"}
    | {"syncFrequency", "volumeStatsAggPeriod"}
)
_KUBELET_FRACTIONS = frozenset({"memoryThrottlingFactor"})
_FRACTION = re.compile(r"[0-9]+\.[0-9]+", re.ASCII)
_KUBELET: Final = "--kubelet-extra-args="


def unit_of(role: str) -> str:
    """The name of the service that a role runs."""
    return "k0sworker" if role == "worker" else "k0scontroller"


def node_name(host: Host, facts: Facts | None) -> str:
    """What Kubernetes calls the node: `vars.node_name`, else its hostname, in lower case as k0s has it."""
    return host.vars.get("node_name") or ((facts.hostname if facts else "") or host.name).lower()


def addresses(facts: Facts) -> tuple[str, ...]:
    """The host's own addresses that others can use, as it told them; empty when it told none."""
    return tuple(a for a in facts.observed.get("k0s.addresses", "").split() if _usable(a))


def _usable(text: str) -> bool:
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return not (address.is_loopback or address.is_link_local or address.is_multicast)


def address_of(host: Host, facts: Facts | None) -> str:
    """The address that the node has for others: `vars.ip`, else the one it is reached at.

    Where it is reached by a name, or at an address that is not its own (port forwarding), its only own
    address; empty where that leaves a choice, which is a finding (SB659) and never a guess.
    """
    if "ip" in host.vars:
        return host.vars["ip"]
    own = addresses(facts) if facts else ()
    if _usable(host.address) and (not own or host.address in own):
        return host.address
    return own[0] if len(own) == 1 else ""


def public_address(host: Host, facts: Facts | None) -> str:
    """What other nodes call this host: its address, or the name it is reached by."""
    return address_of(host, facts) or host.address


def k0s_yaml(options: K0sOptions, host: Host, facts: Facts | None) -> str:
    """k0s.yaml of one controller: the operator's, and what only the inventory knows where that says nothing.

    Its certificate is for itself and for what stands in front of all of them, not for the other
    controllers: one that joins must not restart those that are there.
    """
    written = options.config
    spec = typed(options.spec)
    own = address_of(host, facts)
    api = spec.setdefault("api", {})
    if own:
        api.setdefault("address", own)
    if options.endpoint:
        api.setdefault("externalAddress", options.endpoint)
    wanted = [*(api.get("sans") or []), own, host.address, options.endpoint or "", *options.sans]
    api["sans"] = list(dict.fromkeys(name for name in wanted if name))
    # The type is k0s' own where the operator wrote none: it is another one for `single`.
    if own and options.storage(host.role) == "etcd":
        spec.setdefault("storage", {}).setdefault("etcd", {}).setdefault("peerAddress", own)
    document = {
        "apiVersion": written.get("apiVersion", "k0s.k0sproject.io/v1beta1"),
        "kind": "ClusterConfig",
        "metadata": {"name": "k0s"}
        if written is options.spec
        else typed(written.get("metadata", {"name": "k0s"})),
        "spec": spec,
    }
    text: str = yaml.safe_dump(document, sort_keys=False, default_flow_style=False, allow_unicode=True)
    return HEADER + text


def typed(tree: Any, *, texts: bool = False) -> Any:
    """The tree with the switches and whole numbers that inventories hold as texts; k0s refuses `"6443"` for a port."""
    if isinstance(tree, Mapping):
        return {
            key: _kubelet(value)
            if key == _VALUES and isinstance(value, Mapping) and not texts
            else typed(value, texts=texts or key in _TEXTS)
            for key, value in tree.items()
        }
    if isinstance(tree, list | tuple):
        return [typed(item, texts=texts) for item in tree]
    return _scalar(tree, texts=texts)


def _kubelet(tree: Any, *, texts: bool = False, name: str = "") -> Any:
    """A KubeletConfiguration, likewise; k0s and the kubelet refuse `"200"` for `maxPods`, and `1` for a reserve."""
    if isinstance(tree, Mapping):
        return {
            key: _kubelet(value, texts=texts or key in _KUBELET_TEXTS, name=key)
            for key, value in tree.items()
        }
    if isinstance(tree, list | tuple):
        return [_kubelet(item, texts=texts) for item in tree]
    if name in _KUBELET_FRACTIONS and isinstance(tree, str) and _FRACTION.fullmatch(tree):
        return float(tree)
    return _scalar(tree, texts=texts)


def _scalar(tree: Any, *, texts: bool) -> Any:
    if texts or not isinstance(tree, str):
        return tree
    if tree in {"true", "false"}:
        return tree == "true"
    return int(tree) if _INTEGER.fullmatch(tree) else tree


def install_words(options: K0sOptions, host: Host, *, first: bool) -> tuple[str, ...]:
    """The words after `k0s install`: the role, and every flag in one word."""
    words = ["worker" if host.role == "worker" else "controller", f"--data-dir={options.data(host)}"]
    if options.kubelet_root_dir:
        words.append(f"--kubelet-root-dir={options.kubelet_root_dir}")
    if host.role in CONTROLLERS:
        words.append(f"--config={CONFIG}")
        words += ["--enable-dynamic-config=true"] if options.dynamic_config == "true" else []
    if host.role == "single":
        words.append("--single=true")
    elif host.role == "controller+worker":
        words.append("--enable-worker=true")
        words += ["--no-taints=true"] if options.no_taints == "true" else []
    if not first:
        words.append(f"--token-file={TOKEN}")
    if host.role in NODES:
        for flag, name in (("labels", "node_labels"), ("taints", "node_taints")):
            if host.vars.get(name):
                words.append(f"--{flag}={','.join(_parts(host.vars[name]))}")
    flags = options.flags(host)
    kubelet = [flag.removeprefix(_KUBELET) for flag in flags if flag.startswith(_KUBELET)]
    if host.role in NODES and "ip" in host.vars:
        kubelet.append(f"--node-ip={host.vars['ip']}")
    if host.role in NODES and "node_name" in host.vars:
        kubelet.append(f"--hostname-override={host.vars['node_name']}")
    words += [flag for flag in flags if not flag.startswith(_KUBELET)]
    return (*words, *([_KUBELET + " ".join(kubelet)] if kubelet else []))


#: From this release on k0s looks at the control groups itself before it starts a node.
_PREFLIGHT: Final = (1, 35, 7)


def takes_old_cgroups(options: K0sOptions, host: Host, release: str) -> bool:
    """Whether this host is told to run on control groups of version 1: its kubelet, and k0s before it.

    The kubelet is told by a flag, or by the worker profile that the host has; without `--profile` it is `default`.
    """
    try:
        flags = options.flags(host)
    except ValueError:
        return False  # SB663
    said = dict(flag.lstrip("-").partition("=")[::2] for flag in flags)
    profiles = options.spec.get("workerProfiles", [])
    mine = [p for p in profiles if isinstance(p, Mapping) and p.get("name") == said.get("profile", "default")]
    values = [p["values"] for p in mine if isinstance(p.get("values"), Mapping)]
    told = any(
        flag.startswith(_KUBELET) and "--fail-cgroupv1=false" in flag.split("=", 1)[1].split()
        for flag in flags
    )
    told = told or any(v.get("failCgroupV1") == "false" for v in values)
    match = RELEASE.search(release)
    looks = match is not None and tuple(map(int, match.groups())) >= _PREFLIGHT
    return told and (not looks or said.get("ignore-pre-flight-checks") in {"", "true"})


def _parts(text: str) -> Iterable[str]:
    return (part.strip() for part in text.split(",") if part.strip())


def environment(options: K0sOptions, host: Host, arch: Arch | None) -> dict[str, str]:
    """The variables of the service: the cluster's, the host's own (`vars: {env_NAME: …}`), and what etcd needs."""
    own = {k.removeprefix("env_"): v for k, v in host.vars.items() if k.startswith("env_")}
    etcd = host.role in CONTROLLERS and arch in _ETCD_UNSUPPORTED
    return {**({"ETCD_UNSUPPORTED_ARCH": str(arch)} if etcd else {}), **options.environment, **own}


def environment_file(unit: str, *, openrc: bool) -> str:
    """Where the service takes its variables from."""
    return f"/etc/conf.d/{unit}" if openrc else f"/etc/systemd/system/{unit}.service.d/env.conf"


def environment_text(values: Mapping[str, str], *, openrc: bool) -> str:
    """The drop-in of systemd, or the lines that OpenRC reads; empty where there is nothing to say."""
    if not values:
        return ""
    if openrc:
        quoted = {name: value.replace("'", "'\\''") for name, value in values.items()}
        return HEADER + "".join(f"export {name}='{value}'\n" for name, value in quoted.items())
    # systemd.exec(5): a backslash and a quote are escaped, and `%` begins a specifier.
    escaped = {
        name: value.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
        for name, value in values.items()
    }
    return (
        HEADER + "[Service]\n" + "".join(f'Environment="{name}={value}"\n' for name, value in escaped.items())
    )
