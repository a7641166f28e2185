"""Hosts that look well and are no k3s nodes, or other nodes than they seem."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from driver_kit import Cluster, unpacked
from requires import shells

from sealboot.drivers import k3s_hosts
from sealboot.drivers import k3s_scripts as scripts
from sealboot.drivers.asking import as_root
from sealboot.drivers.k3s_options import K3sOptions
from sealboot.model.arch import Arch
from sealboot.model.artifact import Artifact, Other
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.facts import Cpu
from sealboot.model.host import BecomeSettings, Host, Ignore, Inventory

S1 = Host("s1", "10.0.0.11", "server")
S2 = Host("s2", "10.0.0.12", "server")
A1 = Host("a1", "10.0.0.21", "agent")
SHELLS = shells("dash", "busybox")


def k3s(*hosts: Host, arch: Arch = Arch.ARM64, options: Mapping[str, Any] | None = None) -> Cluster:
    inventory = Inventory("inventory.yaml", ".", "lab", "k3s", None, hosts, options=options or {})
    return Cluster(inventory, {host.name: arch for host in hosts})


def found(
    cluster: Cluster,
    told: Mapping[str, Mapping[str, str]] | None = None,
    *limit: str,
    chosen: Mapping[str, Artifact | None] | None = None,
    **changed: Any,
) -> dict[str, Diagnostic]:
    """The findings by code; `told` answers by host, `chosen` other files, the rest changes all facts."""
    ctx = cluster.context(limit)
    facts = {
        name: replace(seen, observed=dict((told or {}).get(name, {})), **changed)
        for name, seen in ctx.facts.items()
    }
    files = {key: file for key, file in ctx.chosen.items() if key[0] not in (chosen or {})}
    files |= {(name, "k3s"): file for name, file in (chosen or {}).items() if file is not None}
    ctx = replace(ctx, facts=facts, chosen=files)
    return {d.code: d for d in cluster.driver.checks(ctx) if d.code != "SB631"}


def program(arch: Arch, level: int | None = None) -> Artifact:
    one = k3s(S1).context().chosen["s1", "k3s"]
    assert one.elf is not None
    return replace(one, layers=(replace(one.elf, arch=arch, arm_level=level),))


def ask(shell: Sequence[str], script: str) -> str:
    done = subprocess.run([*shell, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize(
    ("have", "built", "severity"),
    [(6, None, Severity.ERROR), (6, 7, Severity.ERROR), (6, 6, Severity.NOTE), (5, 6, Severity.ERROR)],
)
def test_no_release_runs_on_an_arm_before_v7(have: int, built: int | None, severity: Severity) -> None:
    """What the installer maps to `armhf` by its name installs there and dies at its first start."""
    cluster = k3s(S1, arch=Arch.ARM)
    machine: dict[str, Any] = {"kernel_machine": f"armv{have}l", "cpu": Cpu(arm_level=have)}
    old = found(cluster, chosen={"s1": program(Arch.ARM, built)}, **machine)["SB643"]
    assert (old.severity, f"ARMv{have}" in old.summary) == (severity, True)
    assert found(cluster, chosen={"s1": None}, **machine)["SB643"].severity is Severity.ERROR


@pytest.mark.parametrize("level", [7, 8, None])
def test_an_arm_of_v7_and_on_is_released_for(level: int | None) -> None:
    assert found(k3s(S1, arch=Arch.ARM), cpu=Cpu(arm_level=level)) == {}


@pytest.mark.parametrize("arch", [Arch.RISCV64, Arch.S390X, Arch.PPC64LE])
def test_machines_without_a_release_take_a_program_of_the_operators(arch: Arch) -> None:
    cluster = k3s(S1)
    own = program(arch)
    note = found(cluster, chosen={"s1": own}, kernel_arch=arch)
    assert {code: d.severity for code, d in note.items()} == {"SB643": Severity.NOTE}
    none = found(cluster, chosen={"s1": None}, kernel_arch=arch)["SB643"]
    assert none.severity is Severity.ERROR
    assert arch.both_names in none.summary


def test_images_are_of_the_architecture_of_k3s_and_not_of_the_kernel() -> None:
    arm = {"s1": program(Arch.ARM, 7)}
    said = found(k3s(S1), chosen=arm)["SB644"]
    assert (said.severity, said.evidence) == (Severity.WARNING, (("images must be", "linux/arm"),))
    said = found(k3s(S1, options={"images": "base"}), chosen=arm)["SB644"]
    assert said.severity is Severity.ERROR
    assert ("images sent", "linux/arm64") in said.evidence
    assert "SB644" not in found(k3s(S1), chosen={"s1": program(Arch.ARM64)})


@pytest.mark.parametrize(
    ("role", "options", "free", "taken"),
    [
        ("server", {}, ("tcp 5001",), ("tcp 6443", "tcp 2379", "tcp 2380", "tcp 10250", "udp 8472")),
        ("server", {"datastore": "sqlite"}, ("tcp 2379", "tcp 2380"), ("tcp 6443",)),
        ("agent", {}, ("tcp 6443", "tcp 2379"), ("tcp 10250", "udp 8472")),
        ("agent", {"agent_config": {"flannel-backend": "host-gw"}}, ("udp 8472",), ("tcp 10250",)),
        (
            "agent",
            {"embedded_registry": "true", "registries": {"mirrors": {"docker.io": {}}}},
            (),
            ("tcp 5001",),
        ),
    ],
)
def test_ports_that_another_program_has(
    role: str, options: dict[str, Any], free: tuple[str, ...], taken: tuple[str, ...]
) -> None:
    hosts = (S1,) if role == "server" else (S1, A1)
    cluster, name = k3s(*hosts, options=options), hosts[-1].name
    for one in free:
        assert found(cluster, {name: {"ports": one}}) == {}
    for one in taken:
        raised = found(cluster, {name: {"ports": one}})
        assert raised["SB311"].host == name
        assert one.upper() in raised["SB311"].summary
        assert (
            found(cluster, {name: {"ports": one, "k3s.units": "k3s" if role == "server" else "k3s-agent"}})
            == {}
        )
    asked = {f"{kind} {port}" for kind, port in k3s_hosts.ports(_options(cluster), hosts[-1])}
    assert set(taken) <= asked
    assert not set(free) & asked


def _options(cluster: Cluster) -> K3sOptions:
    options = cluster.context().options
    assert isinstance(options, K3sOptions)
    return options


def test_every_fact_of_a_preflight_is_asked_for() -> None:
    cluster = k3s(S1)
    wants = cluster.driver.wants(S1, _options(cluster))
    asked = {"k3s.memory", "k3s.resolver", "k3s.selinux", "ports", "route", "k3s.nodes", "k3s.foreign"}
    assert asked <= set(wants.questions)
    assert wants.programs == ("/var/lib/rancher/k3s",)
    assert set(wants.programs) <= set(wants.directories)


def test_a_host_without_a_default_route() -> None:
    assert found(k3s(S1), {"s1": {"route": "no\n"}})["SB312"].severity is Severity.ERROR
    assert found(k3s(S1), {"s1": {"route": "yes\n"}}) == {}


def test_a_resolver_that_pods_cannot_use() -> None:
    told = {"s1": {"k3s.resolver": "no\n"}}
    assert found(k3s(S1), told)["SB647"].severity is Severity.WARNING
    assert found(k3s(S1, options={"config": {"resolv-conf": "/etc/rancher/resolv.conf"}}), told) == {}
    assert found(k3s(S1), {"s1": {"k3s.resolver": "yes\n"}}) == {}


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("etc", "run", "told"),
    [
        ("nameserver 10.0.0.1\n", None, "yes\n"),
        ("search lan\n", None, "no\n"),
        ("# nameserver 10.0.0.1\nnameserver 127.0.0.53\n", "nameserver 10.0.0.1\n", "yes\n"),
        ("nameserver 10.0.0.1\nnameserver 127.0.0.1\n", None, "no\n"),
        ("nameserver fe80::1%eth0\n", "nameserver ::1\n", "no\n"),
        ("nameserver 2001:db8::53\n", None, "yes\n"),
        (None, None, "no\n"),
    ],
)
def test_name_servers_are_judged_as_k3s_does(
    shell: list[str], etc: str | None, run: str | None, told: str, tmp_path: Path
) -> None:
    script = k3s_hosts.RESOLVER
    for path, text in (("/etc/resolv.conf", etc), ("/run/systemd/resolve/resolv.conf", run)):
        place = tmp_path / path.replace("/", "_")
        script = script.replace(path, str(place))
        if text is not None:
            place.write_text(text)
    assert ask(shell, script) == told


@pytest.mark.parametrize("shell", SHELLS)
def test_selinux_without_the_policy(shell: list[str], tmp_path: Path) -> None:
    script = k3s_hosts.SELINUX.replace("/sys/fs/selinux/enforce", str(tmp_path / "enforce"))
    script = script.replace("/usr/share/selinux/packages/", f"{tmp_path}/")
    assert ask(shell, script + "exit 0\n") == ""
    (tmp_path / "enforce").write_text("1")
    assert ask(shell, script) == "missing\n"
    (tmp_path / "k3s.pp.bz2").touch()
    assert ask(shell, script) == ""
    assert found(k3s(S1), {"s1": {"k3s.selinux": "missing\n"}})["SB648"].severity is Severity.WARNING


# -- nodes of a cluster that is there


def test_an_empty_host_under_a_name_that_the_cluster_has_is_told_before_it_is_turned_away() -> None:
    cluster = k3s(S1, S2, A1)
    first = {"k3s.state": "server\nagent\npassword\n", "k3s.nodes": "s1\ns2\na1\n"}
    lost = found(cluster, {"s1": first, "s2": {"k3s.state": "server agent"}, "a1": {"k3s.state": ""}})[
        "SB645"
    ]
    assert (lost.host, lost.severity) == ("a1", Severity.ERROR)
    assert "on s1: `k3s kubectl delete node a1`" in lost.hints[0]
    member = found(
        cluster, {"s1": first, "s2": {"k3s.state": "agent\npassword\n"}, "a1": {"k3s.state": "password"}}
    )
    assert (member["SB645"].host, "member of etcd" in str(member["SB645"].evidence)) == ("s2", True)
    told = {"s1": first, "s2": {"k3s.state": "server agent"}, "a1": {"k3s.state": "password"}}
    assert found(cluster, told) == {}
    assert found(cluster, {**told, "a1": {"k3s.state": "closed"}}) == {}
    assert found(k3s(S1, A1), {"s1": {**first, "k3s.nodes": "s1\n"}, "a1": {}}) == {}


def test_a_first_server_with_nothing_to_ask_with_says_so() -> None:
    mute = {"s1": {"k3s.https": "\n", "k3s.state": ""}}
    away = found(k3s(S1, S2), mute, "s1")["SB646"]
    assert (away.severity, "s2" in away.summary) == (Severity.WARNING, True)
    assert "vip.lan" in found(k3s(S1, options={"endpoint": "vip.lan"}), mute)["SB646"].summary
    assert found(k3s(S1, S2), mute) == {}
    assert found(k3s(S1, S2), {"s1": {"k3s.https": "/usr/bin/curl\n"}}, "s1") == {}
    assert found(k3s(S1, S2), {"s1": {**mute["s1"], "k3s.state": "server"}}, "s1") == {}
    assert found(k3s(S1), mute) == {}


def test_a_host_that_shows_nothing_to_its_user_is_not_taken_for_empty() -> None:
    closed = {"s1": {"k3s.state": "closed\n"}, "a1": {"k3s.state": "agent\n"}}
    assert found(k3s(S1, A1), closed) == {}
    cluster = k3s(replace(S1, ignore=(Ignore("SB638", "anew"),)), S2)
    assert found(cluster, {"s2": {"k3s.state": "closed"}}) == {}


def test_a_version_step_is_seen_by_the_service_where_the_data_is_not() -> None:
    said = {"k3s.version": "k3s version v1.30.1+k3s1 (x)", "k3s.state": "closed", "k3s.units": "k3s"}
    inventory = replace(k3s(S1).inventory, release="v1.36.3+k3s1")
    assert "SB640" in found(Cluster(inventory, {"s1": Arch.ARM64}), {"s1": said})


def test_questions_for_root_are_asked_as_root_or_not_answered(tmp_path: Path) -> None:
    host = Host("s1", "10.0.0.11", "server")
    question = '[ -e "/da\'ta" ] || echo empty\n'
    (tmp_path / "sudo").write_text('#!/bin/sh\n[ "$1$2" = -k-n ] || exit 1\nshift 2\nROOT=1 exec "$@"\n')
    (tmp_path / "id").write_text('#!/bin/sh\n[ "$ROOT" = 1 ] && echo 0 || echo 1000\n')
    for name in ("sudo", "id"):
        (tmp_path / name).chmod(0o755)

    def told(host: Host) -> str:
        path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
        script = as_root(host, question, "echo closed\n")
        return subprocess.run(
            ["dash", "-c", script], env=path, capture_output=True, text=True, check=True
        ).stdout

    assert told(host) == "empty\n"
    assert told(replace(host, become=BecomeSettings("none"))) == "closed\n"
    (tmp_path / "sudo").write_text("#!/bin/sh\necho 'a password is required' >&2\nexit 1\n")
    assert told(host) == "closed\n"


@pytest.mark.parametrize("shell", SHELLS)
def test_the_nodes_of_a_cluster_are_asked_where_its_server_is(shell: list[str], tmp_path: Path) -> None:
    tool, data = tmp_path / "k 3s", tmp_path / "da'ta"
    script = scripts.nodes(str(tool), str(data))
    assert ask(shell, script) == ""
    tool.write_text('#!/bin/sh\n[ "$1 $2 $3" = "kubectl get nodes" ] || exit 1\nprintf "s1\\na1\\n"\n')
    tool.chmod(0o755)
    assert ask(shell, script) == ""
    (data / "server/db").mkdir(parents=True)
    assert ask(shell, script) == ""  # it has not unpacked itself, and would
    unpacked(data)
    assert ask(shell, script) == "s1\na1\n"
    tool.write_text("#!/bin/sh\necho refused >&2\nexit 1\n")
    assert ask(shell, script) == ""


OLD_CGROUPS = {"s1": {"cgroups": "v1\n"}, "a1": {"cgroups": "hybrid\n"}}


@pytest.mark.parametrize(
    ("options", "refused"),
    [
        ({}, {"s1", "a1"}),
        ({"config": {"kubelet-arg": ["max-pods=50", "fail-cgroupv1=false"]}}, set()),
        ({"config": {"kubelet-arg": "--fail-cgroupv1=false"}}, set()),
        ({"server_config": {"kubelet-arg": ["fail-cgroupv1=false"]}}, {"a1"}),
        # What a role sets takes the place of what all have.
        ({"config": {"kubelet-arg": ["fail-cgroupv1=false"]}, "agent_config": {"kubelet-arg": ["v=2"]}}, {"a1"}),
        ({"config": {"kubelet-arg": ["fail-cgroupv1=false"]}, "agent_config": {"kubelet-arg+": ["v=2"]}}, set()),
        ({"agent_config": {"kubelet-arg": "v=2", "kubelet-arg+": "fail-cgroupv1=false"}}, {"s1"}),
        ({"config": {"kubelet-arg": ["fail-cgroupv1=true"]}}, {"s1", "a1"}),
    ],
)  # fmt: skip
def test_old_control_groups_are_an_error_where_no_kubelet_is_told_to_take_them(
    options: Mapping[str, Any], refused: set[str]
) -> None:
    cluster = k3s(S1, A1, options=options)
    for release, expected in (("v1.36.3+k3s1", refused), ("v1.34.1+k3s1", set())):
        cluster.inventory = replace(cluster.inventory, release=release)
        ctx = cluster.context()
        facts = {name: replace(f, observed=OLD_CGROUPS[name]) for name, f in ctx.facts.items()}
        told = [d for d in cluster.driver.checks(replace(ctx, facts=facts)) if d.code == "SB314"]
        assert {d.host for d in told} == expected
        assert all("fail-cgroupv1=false" in d.hints[1] for d in told)


def test_the_release_that_a_program_tells_decides_on_control_groups() -> None:
    new = replace(
        program(Arch.ARM64), layers=(*program(Arch.ARM64).layers, Other("go", {"version": "v1.35.0+k3s1"}))
    )
    assert "SB314" in found(k3s(S1), {"s1": {"cgroups": "v1\n"}}, chosen={"s1": new})
    assert "SB314" not in found(k3s(S1), {"s1": {"cgroups": "v1\n"}})
