from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from driver_kit import Cluster, unpacked

from sealboot.drivers import k3s_scripts as scripts
from sealboot.drivers.base import UsesSecrets
from sealboot.drivers.kubelet import MEMORY_GROUP
from sealboot.drivers.options import validate
from sealboot.engine.context import SecretStore
from sealboot.model.arch import Arch
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.facts import Facts
from sealboot.model.host import Host, Inventory
from sealboot.model.plan import Action, Observation, Plan
from sealboot.model.secret import Redactor, Secret, SecretRef
from sealboot.model.steps import ReadSecret, Service, Step, Succeeds, WaitFor, WriteFile
from sealboot.plan.build import make_plan

S1 = Host("s1", "10.0.0.11", "server")
S2 = Host("s2", "10.0.0.12", "server")
A1 = Host("a1", "10.0.0.21", "agent")


def k3s(*hosts: Host, options: Mapping[str, Any] | None = None, release: str | None = None) -> Cluster:
    inventory = Inventory("inventory.yaml", ".", "lab", "k3s", release, hosts, options=options or {})
    return Cluster(inventory, {host.name: Arch.ARM64 for host in hosts})


def found(cluster: Cluster, **changed: Any) -> dict[str, Diagnostic]:
    ctx = cluster.context()
    facts: dict[str, Facts] = {name: replace(seen, **changed) for name, seen in ctx.facts.items()}
    return {d.code: d for d in cluster.driver.checks(replace(ctx, facts=facts))}


def steps(cluster: Cluster, **changed: Any) -> dict[str, Step]:
    ctx = cluster.context()
    facts = {name: replace(seen, **changed) for name, seen in ctx.facts.items()}
    waves = cluster.driver.waves(replace(ctx, facts=facts))
    return {step.id: step for wave in waves for step in wave.steps}


def shell(script: str, *, path: str = "") -> int:
    env = {"PATH": f"{path}:/usr/bin:/bin"}
    return subprocess.run(["/bin/sh", "-c", script], env=env, capture_output=True, check=False).returncode


def test_a_cluster_that_is_in_order_has_no_findings() -> None:
    observed = {"k3s.memory": "yes\n", "k3s.units": "k3s\n"}
    assert found(k3s(S1), init="systemd", observed=observed) == {}


def test_no_server_is_refused_and_nothing_is_planned() -> None:
    cluster = k3s(A1)
    assert found(cluster)["SB630"].severity is Severity.ERROR
    assert cluster.driver.waves(cluster.context()) == ()


def test_two_servers_share_no_sqlite_and_bear_no_loss() -> None:
    codes = found(k3s(S1, S2, options={"datastore": "sqlite"}))
    assert "SQLite" in codes["SB630"].summary
    assert found(k3s(S1, S2))["SB631"].severity is Severity.WARNING


def test_the_embedded_registry_needs_mirrors() -> None:
    options: dict[str, Any] = {"embedded_registry": "true"}
    assert "SB637" in found(k3s(S1, options=options))
    options["registries"] = {"mirrors": {"docker.io": {}}}
    assert found(k3s(S1, options=options)) == {}


@pytest.mark.parametrize("name", ["pi_01", "-pi", "a" * 254])
def test_node_names_are_those_of_kubernetes(name: str) -> None:
    assert found(k3s(S1, replace(A1, vars={"node_name": name})))["SB632"].host == "a1"


def test_two_hosts_are_not_one_node() -> None:
    twice = found(k3s(S1, replace(A1, name="pi"), replace(A1, name="PI")))["SB632"]
    assert (twice.host, twice.also) == ("pi", ("PI",))


def test_hosts_that_cannot_be_nodes() -> None:
    codes = found(k3s(S1), init="busybox", observed={"k3s.memory": "no", "k3s.units": "k3s-agent"})
    assert {"SB511", "SB633", "SB634"} <= set(codes)
    assert "cgroup_enable=memory" in codes["SB633"].hints[0]
    assert found(k3s(S1), init="openrc", observed={"k3s.units": "k3s"}) == {}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"token_from": "hunter2hunter2"}, "expected `env:NAME`"),
        ({"config": {"token": "hunter2hunter2"}}, "is the driver's own"),
        ({"server_config": {"--disable": "x"}}, "is no flag of k3s"),
        ({"agent_config": {"kubelet-arg": {"a": "b"}}}, "takes a text or a list"),
        ({"server_config": {"https-listen-port": "7443"}}, "written into kubeconfigs at port 6443"),
        ({"config": {"etcd-snapshot-dir": "/srv/snap"}}, "looked for in `server/db/snapshots`"),
        ({"server_config": {"disable-agent": "true"}}, "it is no node"),
        ({"data_dir": "/var/../k3s"}, "absolute path"),
        ({"datastore": "mysql"}, "datastore"),
        ({"images": ["Base"]}, "images"),
        ({"server_config": {"tls-san+": ["x"]}}, "is the driver's own"),
        ({"server_config": {"disable++": ["x"]}}, "is no flag of k3s"),
        ({"config": {"https-listen-port+": "6444"}}, "is not supported"),
        ({"registries": {"configs": {"r.lan": {"auth": {"password": "hunter2"}}}}}, "expected `env:NAME`"),
        ({"registries": {"configs": {"r.lan": {"auth": {"auth": "aHVudGVyMg=="}}}}}, "expected `env:NAME`"),
        ({"registries": {"configs": {"r.lan": {"auth": {"identity_token": ["hunter2"]}}}}}, "expected"),
    ],
)
def test_options_that_are_refused(options: dict[str, Any], told: str) -> None:
    cluster = k3s(S1, options=options)
    wrong = validate(cluster.driver, cluster.inventory)
    assert isinstance(wrong, tuple)
    assert told in wrong[0].summary
    assert "hunter2" not in str(wrong)


def test_the_operators_token_is_asked_from_nobody() -> None:
    cluster = k3s(S1, A1, options={"token_from": "keyring:lab/k3s"})
    assert isinstance(cluster.driver, UsesSecrets)
    ctx = cluster.context(["a1"])
    assert cluster.driver.secrets(ctx.options) == {"k3s_token": SecretRef("keyring", "lab/k3s")}
    waves = cluster.driver.waves(ctx)
    missing = make_plan(cluster.inventory, waves, {}, ctx.facts)
    assert isinstance(missing, tuple)
    assert {d.code for d in missing} == {"SB612"}
    assert not isinstance(make_plan(cluster.inventory, waves, {}, ctx.facts, provided=("k3s_token",)), tuple)


def test_values_that_are_added_to_those_of_the_nodes_own_files() -> None:
    """`disable+` adds to the list of config.yaml and config.yaml.d, as in k3s' documentation of that file."""
    cluster = k3s(
        S1, options={"config": {"disable": ["traefik"]}, "server_config": {"disable+": ["servicelb"]}}
    )
    step = steps(cluster)["configure/s1/config"]
    assert isinstance(step, WriteFile)
    written = yaml.safe_load(step.content)
    assert (written["disable"], written["disable+"]) == (["traefik"], ["servicelb"])


REGISTRIES = {
    "mirrors": {"docker.io": {"endpoint": ["https://r.lan"]}},
    "configs": {
        "r.lan": {
            "auth": {"username": "ops", "password": "env:PASSWORD"},
            "tls": {"insecure_skip_verify": "true"},
        },
        "q.lan:5000": {"auth": {"identity_token": "file:token", "auth": "keyring:lab/q"}},
        "open.lan": {},
    },
}


@pytest.mark.parametrize(
    "password", ["hunter2", " lead'ing\"", "# no: [comment}", "{{ secret.registry_1 }}", "ä\\n|-"]
)
def test_the_passwords_of_registries_are_secrets(tmp_path: Path, password: str) -> None:
    cluster = k3s(S1, options={"registries": REGISTRIES})
    assert isinstance(cluster.driver, UsesSecrets)
    assert cluster.driver.secrets(cluster.context().options) == {
        "registry_0": SecretRef("env", "PASSWORD"),
        "registry_1": SecretRef("keyring", "lab/q"),
        "registry_2": SecretRef("file", "token"),
    }
    step = steps(cluster)["configure/s1/registries"]
    assert isinstance(step, WriteFile)
    assert (step.secrets, step.mode) == (("registry_0", "registry_1", "registry_2"), 0o600)
    assert not {"PASSWORD", "lab/q", "env:", "file:"} & set(step.content.split())
    store = SecretStore(
        Redactor(), {"registry_0": Secret(password), "registry_1": Secret("b"), "registry_2": Secret("c")}
    )
    content = store.fill(step.content, step.secrets)
    assert isinstance(content, str)
    assert yaml.safe_load(content) == {
        "mirrors": {"docker.io": {"endpoint": ["https://r.lan"]}},
        "configs": {
            "r.lan": {
                "auth": {"username": "ops", "password": password},
                "tls": {"insecure_skip_verify": True},
            },
            "q.lan:5000": {"auth": {"identity_token": "c", "auth": "b"}},
            "open.lan": {},
        },
    }
    # It is known to be there by everything that is no secret.
    assert isinstance(step.check, Succeeds)
    file = tmp_path / "registries.yaml"
    check = step.check.script.replace("/etc/rancher/k3s/registries.yaml", str(file))
    assert shell(check) == 66  # nothing is there
    file.write_text(content)
    file.chmod(0o600)
    assert shell(check) == 0
    file.write_text(content.replace("https://r.lan", "https://other.lan"))
    assert shell(check) == 1


def test_a_token_that_was_changed_is_noticed_before_a_node_gets_it() -> None:
    cluster = k3s(S1, A1, options={"token_from": "env:K3S_TOKEN"})
    ctx = cluster.context()
    waves = cluster.driver.waves(ctx)
    ids = [step.id for wave in waves for step in wave.steps]
    assert ids.index("configure/s1/token") < ids.index("token/s1/read") < ids.index("configure/a1/token")
    (read,) = [step for wave in waves for step in wave.steps if step.id == "token/s1/read"]
    assert isinstance(read, ReadSecret)
    assert (read.into, read.script) == ("k3s_token", scripts.READ_TOKEN)
    seen = {i: Observation("absent" if "/a1/" in i else "same") for i in ids if i != "token/s1/read"}
    plan = make_plan(cluster.inventory, waves, seen, ctx.facts, provided=("k3s_token",))
    assert isinstance(plan, Plan)
    marks = {p.step.id: p.action for w in plan.waves for p in w.steps}
    assert (marks["token/s1/read"], marks["configure/s1/token"]) == (Action.DEPENDS, Action.NONE)


def test_openrc_hosts_get_an_init_script() -> None:
    made = steps(k3s(A1, S1), init="openrc")
    unit = made["configure/a1/unit"]
    assert isinstance(unit, WriteFile)
    assert (unit.dest, unit.mode) == ("/etc/init.d/k3s-agent", 0o755)
    assert unit.content.startswith("#!/sbin/openrc-run\n")
    assert 'command_args="agent"' in unit.content


def test_the_service_has_our_deadline_and_restarts_when_anything_it_starts_from_changes() -> None:
    plain = steps(k3s(S1))["start/s1/service"]
    assert isinstance(plain, Service)
    assert (plain.no_block, plain.timeout) == (True, 900.0)
    others = [
        steps(k3s(S1, options={"config": {"v": "2"}})),
        steps(k3s(S1, options={"registries": {"mirrors": {"r.lan": {}}}})),
        steps(k3s(replace(S1, paths={"binary": "/opt/bin"}))),
        steps(k3s(S1), init="openrc"),
    ]
    stamps = {
        step.stamp for step in (made["start/s1/service"] for made in others) if isinstance(step, Service)
    }
    assert len(stamps | {plain.stamp}) == 5


def test_nodes_ask_their_server_first_where_they_can() -> None:
    made = steps(k3s(S1, S2, replace(A1, address="fd00::21")), observed={"k3s.https": "/usr/bin/curl"})
    for name in ("s2", "a1"):
        reach = made[f"start/{name}/reach"]
        assert isinstance(reach, WaitFor)
        assert (reach.kind, reach.target, reach.status) == ("http", "https://10.0.0.11:6443/ping", 200)
    assert "start/s1/reach" not in made
    assert "start/s1/ping" in made
    assert "start/a1/reach" not in steps(k3s(S1, A1))


def test_a_release_is_what_the_program_must_say() -> None:
    cluster = k3s(S1, release="v1.36.3+k3s1")
    assert getattr(steps(cluster)["ship/s1/k3s"], "smoke_expects", ()) == (" version v1.36.3+k3s1 (",)


def test_node_readiness_is_asked_as_the_kubelet(tmp_path: Path) -> None:
    tool, data = tmp_path / "k3s", tmp_path / "data"
    tool.write_text(f"#!/bin/sh\ntouch {tmp_path}/asked\n")
    tool.chmod(0o755)
    for script in (scripts.node_ready(str(tool), str(data), "n"), scripts.api_ready(str(tool), str(data))):
        assert (shell(script), (tmp_path / "asked").exists()) == (1, False)
    unpacked(data)
    answer = 'case "$*" in *"get node n"*agent/kubelet.kubeconfig*|*kubelet.kubeconfig*"get node n"*) printf %s {} ;; esac\n'
    for said, code in (("True", 0), ("False", 1), ("", 1)):
        tool.write_text("#!/bin/sh\n" + answer.replace("{}", said or "''"))
        assert shell(scripts.node_ready(str(tool), str(data), "n")) == code


def test_memory_group_is_read_from_both_kinds_of_control_groups() -> None:
    said = subprocess.run(["/bin/sh", "-c", MEMORY_GROUP], capture_output=True, text=True, check=True).stdout
    assert said.strip() in {"yes", "no", ""}


def test_a_snapshot_is_due_once_before_another_program_on_a_live_datastore(tmp_path: Path) -> None:
    tool, data = tmp_path / "k3s", tmp_path / "data"
    text = b"#!/bin/sh\nexit 0\n"
    new, old = "ab" * 32, hashlib.sha256(text).hexdigest()

    def due(sha256: str, size: int) -> bool:
        return shell(scripts.needs_no_snapshot(str(tool), str(data), sha256, size)) != 0

    assert not due(new, 1)  # nothing is installed
    tool.write_bytes(text)
    tool.chmod(0o755)
    assert not due(new, 1)  # no datastore
    (data / "server/db/etcd").mkdir(parents=True)
    unpacked(data)
    assert due(new, 1)
    assert due(new, len(text))
    assert not due(old, len(text))  # the same program
    (data / "server/db/snapshots").mkdir()
    (data / f"server/db/snapshots/before-{new[:12]}-s1-1.part").touch()
    assert due(new, 1)  # a run was cut off while it was written
    (data / f"server/db/snapshots/before-{new[:12]}-s1-1").touch()
    assert not due(new, 1)  # it is kept
    tool.write_text("#!/bin/sh\nexit 1\n")
    assert not due("cd" * 32, 1)  # the server does not answer
