"""A cluster taken down by a command: the plan of `state: absent`, and servers that others cannot do without."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from sealboot.drivers.base import HasKubeconfig
from sealboot.model.diagnostic import Diagnostic
from sealboot.workflow.prepare import Prepared, prepare
from sealboot.workflow.reset import absent, orphans

SERVERS = {f"ctl{n}": {"address": f"10.0.0.{n}", "role": "server"} for n in (1, 2, 3)}
AGENTS = {f"pi0{n}": {"address": f"10.0.1.{n}"} for n in (1, 2)}


def prepared(folder: Path, limit: str | None = None, **tree: object) -> Prepared:
    path = folder / "inventory.yaml"
    base = {"version": 1, "cluster": {"name": "lab", "driver": "k3s"}, "hosts": {**SERVERS, **AGENTS}}
    path.write_text(json.dumps({**base, **tree}))
    made = prepare([str(path)], limit=limit)
    assert isinstance(made, Prepared), made
    return made


def test_it_is_what_the_option_would_make_of_it(tmp_path: Path) -> None:
    plain = absent(prepared(tmp_path, options={"data_dir": "/srv/k3s"}))
    edited = prepared(tmp_path, options={"data_dir": "/srv/k3s", "state": "absent"})
    assert isinstance(plain, Prepared)
    assert (plain.options, plain.slots) == (edited.options, edited.slots)
    assert plain.inventory.options == edited.inventory.options
    assert replace(plain.inventory, origins={}) == replace(edited.inventory, origins={})


@pytest.mark.parametrize(
    ("driver", "first", "second"),
    [("k3s", "server", "agent"), ("k0s", "controller", "worker"), ("sealos", "master", "node")],
)
def test_distributions_go_as_they_came(tmp_path: Path, driver: str, first: str, second: str) -> None:
    hosts = {
        "c1": {"address": "10.0.0.1", "role": first},
        "w1": {"address": "10.0.0.2", "role": second},
    }
    cluster = {"name": "lab", "driver": driver}
    gone = absent(prepared(tmp_path, cluster=cluster, hosts=hosts))
    assert isinstance(gone, Prepared)
    assert getattr(gone.options, "state", "") == "absent"
    assert not any(slot.required for slot in gone.slots), "no file is needed to take it down"
    assert orphans(prepared(tmp_path, "w1", cluster=cluster, hosts=hosts)) is None
    assert orphans(prepared(tmp_path, "c1", cluster=cluster, hosts=hosts)) is not None


def test_phases_know_no_way_back(tmp_path: Path) -> None:
    steps = [{"name": "a", "steps": [{"name": "x", "run": "true", "unless": "true"}]}]
    found = absent(prepared(tmp_path, cluster={"name": "lab", "driver": "phases"}, phases=steps))
    assert isinstance(found, tuple)
    assert [d.code for d in found] == ["SB683"]


@pytest.mark.parametrize(
    ("limit", "what"),
    [
        (None, ""),
        ("pi01", ""),
        ("@agents", ""),
        ("ctl3", ""),
        ("ctl1", "ctl1, which began the cluster"),
        ("ctl1,pi01", "ctl1, which began the cluster"),
        ("ctl[2-3]", "2 of 3 servers, which leaves no majority"),
        ("@servers", "every server"),
        ("!pi01", "every server"),
    ],
)
def test_who_would_be_left_behind(tmp_path: Path, limit: str | None, what: str) -> None:
    found = orphans(prepared(tmp_path, limit))
    if not what:
        assert found is None
    else:
        assert found is not None
        assert found.code == "SB684"
        assert what in found.summary


def test_drivers_without_an_api_have_no_such_servers(tmp_path: Path) -> None:
    steps = [{"name": "a", "steps": [{"name": "x", "run": "true", "unless": "true"}]}]
    made = prepared(
        tmp_path,
        "ctl1",
        cluster={"name": "lab", "driver": "phases"},
        hosts={name: {"address": "10.0.0.1", "ssh": {"port": n}} for n, name in ((1, "ctl1"), (2, "ctl2"))},
        phases=steps,
    )
    assert orphans(made) is None


def test_where_drivers_say_that_the_kubeconfig_is(tmp_path: Path) -> None:
    hosts = {
        "m1": {"address": "10.0.0.1", "role": "master"},
        "m2": {"address": "m2.lan", "role": "master", "vars": {"ip": "fd00::2"}},
        "n1": {"address": "10.0.0.3"},
    }
    sealos = prepared(
        tmp_path,
        cluster={"name": "lab", "driver": "sealos"},
        hosts=hosts,
        options={"apiserver_port": "7443"},
    )
    assert isinstance(sealos.driver, HasKubeconfig)
    ways = sealos.driver.kubeconfig(sealos.inventory, sealos.options)
    assert [(w.host, w.server) for w in ways] == [
        ("m1", "https://10.0.0.1:7443"),
        ("m2", "https://[fd00::2]:7443"),
    ]
    assert "/etc/kubernetes/admin.conf" in ways[0].script
    for options, server, path in (
        ({}, "https://10.0.0.1:6443", "/etc/rancher/k3s/k3s.yaml"),
        (
            {"endpoint": "api.example", "server_config": {"write-kubeconfig": "/root/my config"}},
            "https://api.example:6443",
            "'/root/my config'",
        ),
    ):
        k3s = prepared(tmp_path, options=options)
        assert isinstance(k3s.driver, HasKubeconfig)
        first, *_ = k3s.driver.kubeconfig(k3s.inventory, k3s.options)
        assert (first.host, first.server) == ("ctl1", server)
        assert f"cat -- {path}\n" in first.script
    assert not isinstance(Diagnostic("SB683", ""), HasKubeconfig)
