from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from driver_kit import Cluster, compare, done, example, fresh

from sealboot.model.arch import Arch
from sealboot.model.host import Host, Inventory
from sealboot.model.plan import Observation
from sealboot.model.steps import Step, Upload, WriteFile
from sealboot.model.summary import summary

MIXED = {"m1": Arch.AMD64, "m2": Arch.ARM64, "m3": Arch.ARM64, "m4": Arch.AMD64}
AGENTS = {"s1": Arch.AMD64, "a1": Arch.ARM64, "a2": Arch.AMD64}
MEMBERS = tuple(Host(f"m{n}", f"10.0.0.1{n}", "member") for n in (1, 2, 3, 4))
SHOP = (
    Host("s1", "10.0.0.10", "server"),
    Host("a1", "fd00::1", "agent", vars={"zone": "cellar"}),
    Host("a2", "10.0.0.22", "agent", vars={"zone": "attic"}),
)


def sealos(*hosts: Host, options: Mapping[str, Any] | None = None) -> Cluster:
    inventory = Inventory("inventory.yaml", ".", "lab", "sealos", None, hosts, options=options or {})
    return Cluster(inventory, {h.name: Arch.ARM64 if h.name.startswith("pi") else Arch.AMD64 for h in hosts})


CTL = Host("ctl1", "10.0.0.11", "master")
CTL2 = Host("ctl2", "ctl2.lan", "master", vars={"ip": "10.0.0.12"})
PI = Host("pi01", "10.0.0.21", "node")
PI2 = Host("pi02", "10.0.0.22", "node")
REGISTRY = Host("store", "10.0.0.31", "registry")


def new_host(name: str) -> Any:
    def observe(step: Step) -> Observation:
        return fresh(step) if step.host == name else Observation("same")

    return observe


def test_sealos_first_install() -> None:
    plan = sealos(CTL, CTL2, PI, REGISTRY).plan(fresh)
    compare("sealos-first", plan)
    assert summary(plan).same == 0


def test_sealos_second_run_changes_nothing() -> None:
    plan = sealos(CTL, CTL2, PI, REGISTRY).plan(done)
    assert (plan.changes, plan.upload_bytes, summary(plan).depends) == (0, 0, 0)
    compare("sealos-second", plan)


def test_sealos_adding_a_host_touches_only_it() -> None:
    plan = sealos(CTL, CTL2, PI, PI2, REGISTRY).plan(new_host("pi02"))
    assert {p.step.host for w in plan.waves for p in w.steps if p.action != "="} == {"pi02"}
    compare("sealos-add-host", plan)


def test_sealos_overridden_paths_and_every_option() -> None:
    host = Host("pi01", "10.0.0.21", "node", paths={"binary": "/opt/my tools", "data": "/data/sealos"})
    options = {
        "cluster": "other",
        "registry_host": "ctl1",
        "ipvs": "true",
        "lvscare_image": "sealos.hub:5000/sealos/lvscare:v5",
        "apiserver_port": "7443",
        "hosts_file": "/srv/hosts",
    }
    compare("sealos-options", sealos(CTL, CTL2, host, options=options).plan(fresh))


def test_etcd_first_install_on_mixed_machines() -> None:
    plan = example("etcd.yaml", MIXED).plan(fresh)
    compare("etcd-first", plan)
    sources = {
        (p.step.host, p.step.source) for w in plan.waves for p in w.steps if isinstance(p.step, Upload)
    }
    assert ("m1", "binaries/etcd-amd64") in sources
    assert ("m2", "binaries/etcd-arm64") in sources


def test_etcd_second_run_changes_nothing() -> None:
    plan = example("etcd.yaml", MIXED).plan(done)
    assert (plan.changes, plan.upload_bytes, summary(plan).depends) == (0, 0, 0)
    compare("etcd-second", plan)


def test_etcd_adding_a_member_rewrites_the_list_of_the_others() -> None:
    def observe(step: Step) -> Observation:
        if step.host == "m4":
            return fresh(step)
        stale = step.id.endswith("-service") or (isinstance(step, WriteFile) and step.dest.endswith(".env"))
        return Observation("differs" if stale else "same")

    compare("etcd-add-host", example("etcd.yaml", MIXED, MEMBERS).plan(observe))


def test_agents_first_install_hands_the_token_on() -> None:
    compare("agents-first", example("agents.yaml", AGENTS, SHOP).plan(fresh))


def test_agents_second_run_reads_no_token() -> None:
    plan = example("agents.yaml", AGENTS, SHOP).plan(done)
    assert {p.action for w in plan.waves for p in w.steps} == {"="}
    compare("agents-second", plan)


def test_agents_adding_a_host_reads_the_token_and_leaves_the_server_alone() -> None:
    plan = example("agents.yaml", AGENTS, SHOP).plan(new_host("a2"))
    marks = {p.step.id: p.action for w in plan.waves for p in w.steps if p.action != "="}
    assert {step.split("/")[1] for step, mark in marks.items() if mark != "?"} == {"a2"}
    assert marks["server/s1/5-capture"] == "?"
    compare("agents-add-host", plan)
