from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import yaml
from k0s_kit import C1, C2, C3, RELEASE, W1, K0s, k0s

from sealboot.drivers import k0s_checks, k0s_config, k0s_scripts
from sealboot.drivers.base import HasKubeconfig
from sealboot.drivers.k0s_options import K0sOptions
from sealboot.drivers.options import validate
from sealboot.model.arch import Arch
from sealboot.model.artifact import Other
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.facts import Facts
from sealboot.model.host import Host, Ignore, Inventory
from sealboot.model.steps import ReadSecret, Run, Step, Upload, WaitFor, WriteFile


def found(
    cluster: K0s, told: Mapping[str, Mapping[str, str]] | None = None, **changed: Any
) -> list[Diagnostic]:
    """The findings, after some hosts have told more than they do by default."""
    ctx = cluster.context()
    facts: dict[str, Facts] = {}
    for name, seen in ctx.facts.items():
        more = {f"k0s.{key}": value for key, value in (told or {}).get(name, {}).items()}
        facts[name] = replace(seen, observed={**seen.observed, **more}, **changed)
    return list(cluster.driver.checks(replace(ctx, facts=facts)))


def codes(
    cluster: K0s, told: Mapping[str, Mapping[str, str]] | None = None, **changed: Any
) -> dict[str, Diagnostic]:
    return {d.code: d for d in found(cluster, told, **changed)}


def steps(cluster: K0s, **changed: Any) -> dict[str, Step]:
    ctx = cluster.context()
    facts = {name: replace(seen, **changed) for name, seen in ctx.facts.items()}
    waves = cluster.driver.waves(replace(ctx, facts=facts))
    return {step.id: step for wave in waves for step in wave.steps}


# -- the cluster's shape -------------------------------------------------------------------------------


def test_a_cluster_that_is_in_order_has_no_findings() -> None:
    assert (
        found(k0s(C1, W1), {"W1": {"memory": "yes\n", "addresses": "127.0.0.1\n10.0.0.21\n"}}, init="systemd")
        == []
    )


def test_no_controller_is_refused_and_nothing_is_planned() -> None:
    cluster = k0s(W1)
    assert codes(cluster)["SB650"].severity is Severity.ERROR
    assert cluster.driver.waves(cluster.context()) == ()


def test_single_is_alone() -> None:
    single = Host("c1", "10.0.0.11", "single")
    assert found(k0s(single)) == []
    assert codes(k0s(single, W1))["SB650"].host == "c1"


def test_two_controllers_bear_no_loss() -> None:
    assert codes(k0s(C1, C2))["SB651"].severity is Severity.WARNING
    assert "SB651" not in codes(k0s(C1, C2, options={"config": {"storage": {"type": "kine"}}}))
    assert "SB651" not in codes(k0s(C1, C2, C3))


def test_hostnames_and_addresses_are_unique() -> None:
    assert codes(k0s(C1, W1), hostname="same")["SB652"].also == ("W1",)
    assert "10.0.0.11" in codes(k0s(C1, replace(C2, address="10.0.0.11")))["SB652"].summary
    assert "no name" in codes(k0s(C1, replace(W1, vars={"node_name": "a_b"})))["SB652"].summary
    assert "SB652" not in codes(k0s(replace(C1, name="a_b"), W1)), "a controller alone is no node"


@pytest.mark.parametrize("path", ["/", "/etc", "/data dir", "/var/../k0s"])
def test_paths_that_are_not_k0s_own(path: str) -> None:
    cluster = k0s(C1, replace(W1, paths={"data": path}))
    assert codes(cluster)["SB653"].host == "W1"
    assert cluster.driver.waves(cluster.context()) == ()


def test_a_role_is_for_ever() -> None:
    wrong = codes(k0s(C1, W1), {"W1": {"units": "k0scontroller\n"}})["SB654"]
    assert wrong.host == "W1"


def test_hosts_that_cannot_be_nodes() -> None:
    told = codes(k0s(C1, W1), {"W1": {"memory": "no\n"}}, init="busybox")
    assert {"SB511", "SB660"} <= set(told)
    assert "SB660" not in codes(k0s(C1, W1), {"c1": {"memory": "no\n"}}), "a controller alone runs no kubelet"


# -- addresses ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "own", "chosen"),
    [
        (C1, "", "10.0.0.11"),
        (C1, "127.0.0.1 fe80::1 10.0.0.11 192.168.0.2", "10.0.0.11"),
        (replace(C1, address="203.0.113.5"), "10.0.0.11", "10.0.0.11"),
        (replace(C1, address="c1.example"), "10.0.0.11 fe80::2", "10.0.0.11"),
        (replace(C1, address="c1.example"), "10.0.0.11 192.168.0.2", ""),
        (replace(C1, address="127.0.0.1"), "10.0.0.11", "10.0.0.11"),
        (replace(C1, address="c1.example", vars={"ip": "10.0.0.9"}), "10.0.0.9 10.0.0.11", "10.0.0.9"),
    ],
)
def test_a_node_has_one_address_for_others(host: Host, own: str, chosen: str) -> None:
    facts = Facts("c1", "", None, None, None, None, observed={"k0s.addresses": own})
    assert k0s_config.address_of(host, facts) == chosen


def test_an_address_that_is_no_own_one_or_leaves_a_choice_is_told() -> None:
    named = replace(C1, address="c1.example")
    two = {"c1": {"addresses": "10.0.0.11 192.168.0.2"}}
    assert "several" in codes(k0s(named), two)["SB659"].summary
    assert "no address of" in codes(k0s(replace(C1, vars={"ip": "10.9.9.9"})), two)["SB659"].summary
    assert "SB659" in codes(k0s(named))
    assert "SB659" not in codes(k0s(replace(named, vars={"ip": "10.0.0.11"})), two)
    assert "SB659" not in codes(k0s(C1, replace(W1, address="w1.example")), {"W1": two["c1"]})


# -- what runs already ----------------------------------------------------------------------------------------


def test_an_empty_first_controller_begins_no_second_cluster() -> None:
    told = codes(k0s(C1, C2, same=("c2",)))["SB655"]
    assert (told.host, told.also) == ("c1", ("c2",))
    assert "put c2 first" in told.hints[0]
    assert "the cluster is lost" in codes(k0s(C1, W1, same=("W1",)))["SB655"].hints[0]
    assert "SB655" not in codes(k0s(C1, C2, same=("c1", "c2")))
    assert "SB655" not in codes(k0s(C1, C2))


@pytest.mark.parametrize(
    ("old", "severity"),
    [
        ("v1.29.15+k0s.0", None),
        ("v1.30.1+k0s.0", None),
        (RELEASE, None),
        ("v1.28.15+k0s.0", Severity.ERROR),
        ("v1.31.1+k0s.0", Severity.ERROR),
        ("v1.30.5+k0s.0", Severity.WARNING),
    ],
)
def test_minor_releases_are_taken_one_by_one(old: str, severity: Severity | None) -> None:
    told = codes(k0s(C1, old=("c1",)), {"c1": {"version": old}}).get("SB656")
    assert (told.severity if told else None) is severity


def test_a_worker_is_not_newer_than_its_controllers() -> None:
    cluster = k0s(C1, W1, old=("c1", "W1"))
    ctx = cluster.context()
    newer = replace(ctx.chosen["W1", "k0s"], layers=(Other("go", {"version": "v1.31.0+k0s.0"}),))
    findings = cluster.driver.checks(replace(ctx, chosen={**ctx.chosen, ("W1", "k0s"): newer}))
    told = [d for d in findings if d.code == "SB656" and d.also == ("c1",)]
    assert [d.host for d in told] == ["W1"]


def test_what_another_hand_has_set_up_is_not_replaced_unasked() -> None:
    theirs = {"c1": {"foreign": "/etc/k0s/k0s.yaml\n"}}
    assert codes(k0s(C1), theirs)["SB657"].host == "c1"
    assert found(k0s(C1, options={"adopt": "true"}), theirs) == []
    assert found(k0s(C1), {"c1": {**theirs["c1"], "proven": "x"}}) == []
    kubeadm = {"c1": {"foreign": "/etc/kubernetes/kubelet.conf"}}
    assert "SB657" in codes(k0s(C1, options={"adopt": "true"}), kubeadm)


def test_a_member_of_etcd_that_was_made_anew_is_not_joined() -> None:
    members = '{"members":{"c1":"https://10.0.0.11:2380","c2":"https://10.0.0.12:2380"}}'
    told = codes(k0s(C1, C2, same=("c1",)), {"c1": {"members": members}})["SB658"]
    assert told.host == "c2"
    assert "--peer-address 10.0.0.12" in told.hints[0]
    assert "SB658" not in codes(k0s(C1, C2, same=("c1", "c2")), {"c1": {"members": members}})
    asked = steps(k0s(C1, C2, same=("c1",)))["alone/c1/etcd"]
    assert isinstance(asked, Run), "who is no root when probed is asked in the run"
    assert "//$sb_place:" in asked.script


def test_a_worker_needs_a_controller_of_the_run_to_be_emptied() -> None:
    cluster = k0s(C1, W1, same=("c1",), old=("W1",))
    ctx = cluster.context(["W1"])
    assert [d.code for d in cluster.driver.checks(ctx)] == ["SB664"]
    free = k0s(C1, W1, same=("c1",), old=("W1",), options={"drain": {"enabled": "false"}})
    assert free.driver.checks(free.context(["W1"])) == ()


# -- options --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"install_flags": "--config=x"}, "is the driver's own"),
        ({"install_flags": ["--debug", "rm -rf"]}, "expected flags"),
        ({"install_flags": "'"}, "No closing quotation"),
        ({"batch": "0"}, "expected a number of hosts"),
        ({"batch": "101%"}, "expected a number of hosts"),
        ({"environment": "x"}, "expected variables"),
        ({"environment": {"A B": "x"}}, "no name of a variable"),
        ({"environment": {"A": "x\ny"}}, "a text of one line"),
        ({"data_dir": "/var/../k0s"}, "absolute path"),
        ({"token_expiry": "soon"}, "token_expiry"),
        ({"drain": {"timeout": "1"}}, "drain"),
    ],
)
def test_options_that_are_refused(options: dict[str, Any], told: str) -> None:
    cluster = k0s(C1, options=options)
    wrong = validate(cluster.driver, cluster.inventory)
    assert isinstance(wrong, tuple)
    assert told in wrong[0].summary


@pytest.mark.parametrize(
    ("batch", "workers", "size"),
    [
        ("10%", 1, 1),
        ("10%", 9, 1),
        ("10%", 100, 10),
        ("10%", 25, 2),
        ("50%", 100, 50),
        ("1%", 100, 1),
        ("99%", 100, 99),
        ("100%", 7, 7),
        ("5", 3, 3),
        ("5", 50, 5),
    ],
)
def test_batches_are_computed_and_not_always_one(batch: str, workers: int, size: int) -> None:
    assert K0sOptions(batch=batch).at_once(workers) == size


def test_flags_of_a_host() -> None:
    assert codes(k0s(C1, replace(W1, vars={"install_flags": "--single"})))["SB663"].host == "W1"
    host = replace(W1, vars={"install_flags": "--kubelet-extra-args=--v=2 --profile=edge", "ip": "10.0.0.21"})
    # Each flag is one word: what belongs to one value is quoted there.
    quoted = replace(
        host, vars={**host.vars, "install_flags": "'--kubelet-extra-args=--v=2 --x=y' --profile=edge"}
    )
    words = k0s_config.install_words(K0sOptions(), quoted, first=False)
    assert words == (
        "worker",
        "--data-dir=/var/lib/k0s",
        "--token-file=/etc/k0s/k0stoken",
        "--profile=edge",
        "--kubelet-extra-args=--v=2 --x=y --node-ip=10.0.0.21",
    )


# -- what a node is told --------------------------------------------------------------------------------------


def test_k0s_yaml_is_typed_and_filled_in() -> None:
    config = {
        "apiVersion": "k0s.k0sproject.io/v1beta1",
        "kind": "ClusterConfig",
        "spec": {
            "api": {"port": "7443", "sans": ["api.example"], "extraArgs": {"v": "4", "profiling": "false"}},
            "network": {"nodeLocalLoadBalancing": {"enabled": "true"}},
            "images": {"pause": {"image": "r.lan/pause", "version": "3.9"}, "default_pull_policy": "Never"},
        },
    }
    options = K0sOptions(config=config, endpoint="lb.lan", sans=("k8s.example",))
    made = yaml.safe_load(k0s_config.k0s_yaml(options, C1, None))
    assert made["spec"]["api"] == {
        "port": 7443,
        "sans": ["api.example", "10.0.0.11", "lb.lan", "k8s.example"],
        "extraArgs": {"v": "4", "profiling": "false"},
        "address": "10.0.0.11",
        "externalAddress": "lb.lan",
    }
    assert made["spec"]["network"]["nodeLocalLoadBalancing"]["enabled"] is True
    assert made["spec"]["images"]["pause"]["version"] == "3.9"
    assert made["spec"]["storage"] == {"etcd": {"peerAddress": "10.0.0.11"}}
    kine = K0sOptions(config={"storage": {"type": "kine", "kine": {"dataSource": "sqlite:///x"}}})
    assert "etcd" not in yaml.safe_load(k0s_config.k0s_yaml(kine, C1, None))["spec"]["storage"]


def spec_for(role: str, config: Mapping[str, Any]) -> dict[str, Any]:
    made = yaml.safe_load(k0s_config.k0s_yaml(K0sOptions(config=dict(config)), replace(C1, role=role), None))
    spec: dict[str, Any] = made["spec"]
    return spec


PEER = {"etcd": {"peerAddress": "10.0.0.11"}}
OUTSIDE = {"externalCluster": {"endpoints": ["https://e:2379"], "etcdPrefix": "k0s"}}


@pytest.mark.parametrize(
    ("role", "written", "made", "kind"),
    [
        ("single", None, None, "kine"),
        ("controller", None, PEER, "etcd"),
        ("controller+worker", None, PEER, "etcd"),
        ("single", {"type": "etcd"}, {"type": "etcd", **PEER}, "etcd"),
        # A block without a type is etcd's, for every role.
        ("single", {"etcd": {"extraArgs": {"v": "1"}}}, {"etcd": {"extraArgs": {"v": "1"}, "peerAddress": "10.0.0.11"}}, "etcd"),
        ("controller", {"type": "kine"}, {"type": "kine"}, "kine"),
        ("controller", {"type": "kine", "kine": {"dataSource": "sqlite:/srv/x"}}, ..., "kine"),
        ("controller", {"type": "kine", "kine": {"dataSource": "mysql://u@db"}}, ..., "elsewhere"),
        ("controller", {"etcd": OUTSIDE}, {"etcd": OUTSIDE}, "elsewhere"),
        ("controller", {"type": "etcd", "etcd": {"externalCluster": "null"}}, {"type": "etcd", **PEER}, "etcd"),
    ],
)  # fmt: skip
def test_no_storage_type_is_written_that_nobody_asked_for(
    role: str, written: Mapping[str, Any] | None, made: object, kind: str
) -> None:
    config = {"storage": written} if written else {}
    assert spec_for(role, config).get("storage") == (written if made is ... else made)
    assert spec_for(role, {"spec": config}).get("storage") == (written if made is ... else made)
    options = K0sOptions(config=dict(config))
    assert options.storage(role) == kind
    listens = {port for _, port in k0s_checks.ports_of(options, replace(C1, role=role))}
    assert ({2379, 2380} <= listens) == (kind == "etcd")


SINGLE = replace(C1, role="single")


@pytest.mark.parametrize(
    ("host", "config", "state", "told"),
    [
        # A `single` of k0s' own making has SQLite, one that an older sealboot set up has etcd.
        (SINGLE, {}, "controller\nkine\nworker\n", ""),
        (SINGLE, {}, "controller\netcd\nworker\n", "in etcd, and k0s would start with SQLite"),
        (SINGLE, {"storage": {"type": "etcd"}}, "controller etcd worker", ""),
        (SINGLE, {"storage": {"type": "etcd"}}, "controller kine worker", "in SQLite (kine), and k0s would start with etcd"),
        (C1, {}, "controller\netcd\n", ""),
        (C1, {}, "controller\nkine\n", "k0s would start with etcd"),
        (C1, {"storage": {"etcd": OUTSIDE}}, "controller\netcd\n", "k0s would start with a datastore elsewhere"),
        (C1, {"storage": {"type": "kine", "kine": {"dataSource": "mysql://u@db"}}}, "controller kine", "elsewhere"),
        (C1, {}, "controller etcd kine", "nothing says which is in use"),
        (SINGLE, {"storage": {"type": "kine"}}, "controller etcd kine", ""),
        (C1, {}, "", ""),
    ],
)  # fmt: skip
def test_a_cluster_is_not_started_on_another_datastore_than_its_own(
    host: Host, config: Mapping[str, Any], state: str, told: str
) -> None:
    options = {"config": config, "adopt": "true"}
    found_ = codes(k0s(host, options=options), {"c1": {"state": state}}).get("SB667")
    assert (found_ is not None) == bool(told)
    if found_ is not None:
        assert told in found_.summary
        assert (found_.severity, found_.host) == (Severity.ERROR, "c1")


def test_where_only_root_can_tell_the_datastore_is_looked_at_before_anything_is_staged() -> None:
    cluster = k0s(SINGLE, old=("c1",))
    assert "configure/c1/datastore" not in steps(cluster)
    ctx = cluster.context()
    facts = {n: replace(f, observed={**f.observed, "k0s.state": ""}) for n, f in ctx.facts.items()}
    (wave,) = [w for w in cluster.driver.waves(replace(ctx, facts=facts)) if w.id == "configure"]
    asked = wave.steps[0]
    assert isinstance(asked, Run)
    assert (asked.id, asked.script) == (
        "configure/c1/datastore",
        k0s_scripts.same_store("/var/lib/k0s", "kine"),
    )


KUBELET = {
    "failCgroupV1": "false",
    "maxPods": "200",
    "systemReserved": {"cpu": "1", "memory": "1Gi"},
    "evictionHard": {"memory.available": "0"},
    "featureGates": {"NodeSwap": "true"},
    "reservedSystemCPUs": "0",
    "shutdownGracePeriod": "0",
    "memoryThrottlingFactor": "0.9",
    "showHiddenMetricsForVersion": "1.20",
    "registerWithTaints": [{"key": "gpu", "value": "true", "effect": "NoSchedule"}],
    "resolvConf": "null",
}


def test_a_worker_profile_has_the_types_of_a_kubelets_configuration() -> None:
    made = spec_for("controller", {"workerProfiles": [{"name": "1", "values": KUBELET}]})
    assert made["workerProfiles"] == [
        {
            "name": "1",
            "values": {
                "failCgroupV1": False,
                "maxPods": 200,
                "systemReserved": {"cpu": "1", "memory": "1Gi"},
                "evictionHard": {"memory.available": "0"},
                "featureGates": {"NodeSwap": True},
                "reservedSystemCPUs": "0",
                "shutdownGracePeriod": "0",
                "memoryThrottlingFactor": 0.9,
                "showHiddenMetricsForVersion": "1.20",
                "registerWithTaints": [{"key": "gpu", "value": "true", "effect": "NoSchedule"}],
            },
        }
    ]


def test_what_k0s_wants_as_text_stays_text() -> None:
    calico = {"mtu": "1450", "envVars": {"FELIX_HEALTHENABLED": "true"}}
    helm = {"charts": [{"name": "5", "version": "1", "values": "200", "order": "3"}]}
    made = spec_for("controller", {"network": {"calico": calico}, "extensions": {"helm": helm}})
    assert made["network"]["calico"] == {"mtu": 1450, "envVars": {"FELIX_HEALTHENABLED": "true"}}
    assert made["extensions"]["helm"]["charts"] == [
        {"name": "5", "version": "1", "values": "200", "order": 3}
    ]


def test_null_is_absent_in_a_configuration() -> None:
    """What `k0s config create` writes for everything that is off."""
    config = {
        "apiVersion": "k0s.k0sproject.io/v1beta1",
        "kind": "ClusterConfig",
        "spec": {
            "network": {"calico": "null", "provider": "kuberouter", "kuberouter": None},
            "extensions": {"helm": {"charts": "~", "repositories": "Null"}},
            "images": {"pause": {"version": "NULL"}},
            "api": {"sans": ["null", "api.example"]},
            "storage": {"type": "etcd", "etcd": {"externalCluster": "null"}, "kine": "null"},
        },
    }
    assert spec_for("controller", config) == {
        "network": {"provider": "kuberouter"},
        "extensions": {"helm": {}},
        "images": {"pause": {}},
        "api": {"sans": ["api.example", "10.0.0.11"], "address": "10.0.0.11"},
        "storage": {"type": "etcd", "etcd": {"peerAddress": "10.0.0.11"}},
    }
    assert spec_for("controller", {"kind": "ClusterConfig", "spec": "null"}) == spec_for("controller", {})


@pytest.mark.parametrize(
    "config",
    [
        "text",
        {"spec": "text"},
        {"api": "6443"},
        {"spec": {"storage": "etcd"}},
        {"storage": {"etcd": ["x"]}},
        {"storage": {"kine": "sqlite"}},
        {"api": {"sans": "a.example"}},
    ],
)
def test_a_configuration_that_is_no_map_where_one_is_needed_is_refused(config: object) -> None:
    cluster = k0s(C1, options={"config": config})
    refused = validate(cluster.driver, cluster.inventory)
    assert isinstance(refused, tuple)
    assert {d.code for d in refused} == {"SB603"}


def test_a_controller_that_joins_restarts_no_other() -> None:
    def digest(cluster: K0s) -> str:
        run = steps(cluster)["run/c1/k0s"]
        assert isinstance(run, Run)
        return next(line for line in run.script.splitlines() if line.startswith("DIGEST="))

    assert digest(k0s(C1)) == digest(k0s(C1, C2, C3))


def test_etcd_is_told_where_it_has_no_support() -> None:
    texts = {name: getattr(step, "content", "") for name, step in steps(k0s(C1, C2, W1)).items()}
    assert 'Environment="ETCD_UNSUPPORTED_ARCH=arm"\n' in texts["configure/c2/environment"]
    assert "configure/c1/environment" not in texts
    assert "configure/W1/environment" not in texts


def test_the_environment_of_the_service() -> None:
    host = replace(W1, vars={"env_HTTP_PROXY": 'http://u:p%40"@proxy'})
    options = {"environment": {"NO_PROXY": "10.0.0.0/8", "HTTP_PROXY": "x"}}
    unit = steps(k0s(C1, host, options=options))["configure/W1/environment"]
    assert isinstance(unit, WriteFile)
    assert unit.mode == 0o600
    assert unit.content.endswith(
        '[Service]\nEnvironment="NO_PROXY=10.0.0.0/8"\nEnvironment="HTTP_PROXY=http://u:p%%40\\"@proxy"\n'
    )
    openrc = steps(k0s(C1, replace(host, vars={"env_A": "it's"})), init="openrc")["configure/W1/environment"]
    assert isinstance(openrc, WriteFile)
    assert openrc.content.endswith("export A='it'\\''s'\n")


def test_roles_become_flags() -> None:
    def words(role: str, **options: Any) -> str:
        return " ".join(k0s_config.install_words(K0sOptions(**options), replace(C1, role=role), first=True))

    base = "controller --data-dir=/var/lib/k0s --config=/etc/k0s/k0s.yaml"
    assert words("controller") == base
    assert words("controller", dynamic_config="true") == f"{base} --enable-dynamic-config=true"
    assert words("controller+worker") == f"{base} --enable-worker=true"
    assert words("controller+worker", no_taints="true") == f"{base} --enable-worker=true --no-taints=true"
    assert words("single") == f"{base} --single=true"
    assert "--kubelet-root-dir=/k" in words("worker", kubelet_root_dir="/k")


# -- tokens -----------------------------------------------------------------------------------------------------


def test_tokens_are_short_lived_secrets_and_revoked() -> None:
    made = steps(k0s(C1, C2, W1))
    for role in ("controller", "worker"):
        step = made[f"token/c1/{role}"]
        assert isinstance(step, ReadSecret)
        assert f"--role {role} --expiry 30m" in step.script
    for host, secret in (("c2", "k0s_controller_token"), ("W1", "k0s_worker_token")):
        step = made[f"join/{host}/token"]
        assert isinstance(step, WriteFile)
        assert (step.mode, step.secrets) == (0o600, (secret,))
    reach = made["join/c2/reach"]
    assert isinstance(reach, WaitFor)
    assert reach.target == "10.0.0.11:9443"
    assert list(made).index("revoke/c1/tokens") > list(made).index("run/W1/k0s")
    assert not [s for s in made.values() if isinstance(s, Upload | Run) and "k0s_worker_token" in str(s)]


def test_the_kubeconfig_of_every_controller() -> None:
    cluster = k0s(C1, C2, W1)
    assert isinstance(cluster.driver, HasKubeconfig)
    options = validate(cluster.driver, cluster.inventory)
    assert isinstance(options, K0sOptions)
    ways = cluster.driver.kubeconfig(cluster.inventory, options)
    assert [(way.host, way.server) for way in ways] == [
        ("c1", "https://10.0.0.11:6443"),
        ("c2", "https://10.0.0.12:6443"),
    ]
    assert "/var/lib/k0s/pki/admin.conf" in ways[0].script


def test_questions_are_posix_and_answer_on_a_host_without_k0s() -> None:
    cluster = k0s(C1, W1)
    options = validate(cluster.driver, cluster.inventory)
    assert isinstance(options, K0sOptions)
    for host in (C1, W1):
        for key, script in cluster.driver.wants(host, options).questions.items():
            ran = subprocess.run(
                ["/bin/sh", "-c", script], capture_output=True, text=True, check=False, timeout=30
            )
            assert ran.returncode == 0, (key, ran.stderr)
            if key.startswith("k0s.") and key not in {"k0s.memory", "k0s.https", "k0s.addresses"}:
                assert ran.stdout == "", key
    assert k0s_scripts.TOKEN_FORM


def test_accepting_a_second_cluster_asks_nobody() -> None:
    asked = steps(k0s(C1, C2), observed={"k0s.https": "/usr/bin/curl"})
    assert "https://10.0.0.12:6443/version" in str(asked["alone/c1/cluster"])
    accepted = replace(C1, ignore=(Ignore("SB655", "made anew"),))
    assert "alone/c1/cluster" not in steps(k0s(accepted, C2), observed={"k0s.https": "/usr/bin/curl"})


def test_another_drivers_options_are_a_bug() -> None:
    cluster = k0s(C1)
    ctx = cluster.context()
    assert isinstance(ctx.inventory, Inventory)
    with pytest.raises(TypeError):
        cluster.driver.waves(replace(ctx, options=object()))  # type: ignore[arg-type]
    assert Arch.ARM in cluster.arches.values() or cluster.arches


FLAG = "--kubelet-extra-args=--fail-cgroupv1=false"
IGNORED = "--ignore-pre-flight-checks"


def profile(name: str, value: str) -> dict[str, Any]:
    return {"workerProfiles": [{"name": name, "values": {"failCgroupV1": value}}]}


@pytest.mark.parametrize(
    ("release", "options", "own", "refused"),
    [
        ("v1.34.9+k0s.0", {}, "", set()),
        ("v1.35.1+k0s.0", {}, "", {"c3", "W1"}),
        ("v1.35.1+k0s.0", {"install_flags": FLAG}, "", set()),
        ("v1.35.1+k0s.0", {"config": profile("default", "false")}, "", set()),
        ("v1.35.1+k0s.0", {"config": profile("old", "false")}, "", {"c3", "W1"}),
        ("v1.35.1+k0s.0", {"config": profile("old", "false")}, "--profile=old", {"c3"}),
        ("v1.35.1+k0s.0", {"config": profile("default", "true")}, "", {"c3", "W1"}),
        # From 1.35.7 on k0s looks itself, before any kubelet does.
        ("v1.36.3+k0s.2", {"install_flags": FLAG}, "", {"c3", "W1"}),
        ("v1.36.3+k0s.2", {"install_flags": [FLAG, IGNORED]}, "", set()),
        ("v1.36.3+k0s.2", {"install_flags": [FLAG]}, IGNORED, {"c3"}),
        ("v1.36.3+k0s.2", {"install_flags": [IGNORED]}, "", {"c3", "W1"}),
    ],
)
def test_old_control_groups_are_an_error_for_nodes(
    release: str, options: Mapping[str, Any], own: str, refused: set[str]
) -> None:
    """`own` are flags of W1 alone. c1 is a plain controller, which runs no kubelet."""
    worker = replace(W1, vars={**W1.vars, "install_flags": own})
    cluster = k0s(C1, C3, worker, options=options)
    ctx = cluster.context()
    told = Other("go", {"product": "k0s", "version": release})
    chosen = {key: replace(a, layers=(*a.layers[:-1], told)) for key, a in ctx.chosen.items()}
    facts = {
        name: replace(f, observed={**f.observed, "cgroups": "hybrid\n"}) for name, f in ctx.facts.items()
    }
    found_ = cluster.driver.checks(replace(ctx, facts=facts, chosen=chosen))
    assert {d.host for d in found_ if d.code == "SB314"} == refused
    assert {d.severity for d in found_ if d.code == "SB314"} <= {Severity.ERROR}
