from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from driver_kit import Cluster, compare, done, fresh

from sealboot.drivers.base import Context
from sealboot.model.arch import Arch
from sealboot.model.archive import Image, ImageArchive
from sealboot.model.artifact import Artifact, Kind
from sealboot.model.host import Host, Inventory
from sealboot.model.plan import Observation
from sealboot.model.steps import Run, Step, Upload
from sealboot.model.summary import summary

S1 = Host("s1", "10.0.0.11", "server")
S2 = Host("s2", "10.0.0.12", "server")
S3 = Host("S3", "fd00::13", "server", vars={"ip": "fd00::13"})
PI = Host("pi64", "10.0.0.21", "agent", vars={"node_labels": "zone=attic, disk=sd"})
OLD = Host("pi32", "10.0.0.22", "agent", paths={"data": "/data/k3s"})
ARCHES = {"s1": Arch.AMD64, "s2": Arch.ARM64, "S3": Arch.AMD64, "pi64": Arch.ARM64, "pi32": Arch.ARM}


def k3s(*hosts: Host, options: Mapping[str, Any] | None = None) -> Cluster:
    inventory = Inventory("inventory.yaml", ".", "lab", "k3s", None, hosts, options=options or {})
    return Cluster(inventory, ARCHES)


def new_host(name: str) -> Any:
    def observe(step: Step) -> Observation:
        return fresh(step) if step.host == name else Observation("same")

    return observe


def test_first_install_on_mixed_machines() -> None:
    plan = k3s(S1, S2, S3, PI, OLD).plan(fresh)
    compare("k3s-first", plan)
    sources = {p.step.host: p.step.source for w in plan.waves for p in w.steps if isinstance(p.step, Upload)}
    assert sources == {name: f"binaries/k3s-{arch}" for name, arch in ARCHES.items()}
    assert {w.id: w.parallel for w in plan.waves if w.id in {"servers", "agents"}} == {
        "servers": 1,
        "agents": None,
    }


def test_second_run_changes_nothing() -> None:
    plan = k3s(S1, S2, S3, PI, OLD).plan(done)
    assert (plan.changes, plan.upload_bytes, summary(plan).depends) == (0, 0, 0)


def test_adding_an_arm_agent_changes_only_it() -> None:
    plan = k3s(S1, S2, S3, PI, OLD).plan(new_host("pi32"))
    marks = {p.step.id: str(p.action) for w in plan.waves for p in w.steps if p.action != "="}
    assert {step.split("/")[1] for step, mark in marks.items() if mark != "?"} == {"pi32"}
    assert marks["token/s1/read"] == "?"
    compare("k3s-add-agent", plan)


def test_adding_a_server_changes_only_it() -> None:
    before = {p.step.id: p.step for w in k3s(S1, PI).plan(done).waves for p in w.steps}
    plan = k3s(S1, S2, PI).plan(new_host("s2"))
    after = {p.step.id: p.step for w in plan.waves for p in w.steps if p.step.host != "s2"}
    assert after == before
    compare("k3s-add-server", plan)


def test_one_server_with_sqlite_and_a_token_of_the_operators() -> None:
    options = {
        "datastore": "sqlite",
        "token_from": "env:K3S_TOKEN",
        "endpoint": "k3s.lan",
        "tls_san": "k3s.example",
        "server_config": {"disable": ["traefik"], "write-kubeconfig-mode": "0640"},
        "registries": {"configs": {"r.lan": {"tls": {"insecure_skip_verify": "true"}}}},
    }
    cluster = k3s(S1, PI, options=options)
    plan = cluster.plan(done)
    assert plan.changes == 0
    texts = {p.step.id: getattr(p.step, "content", "") for w in plan.waves for p in w.steps}
    config = texts["configure/s1/config"]
    assert "cluster-init" not in config
    assert "tls-san:\n- 10.0.0.11\n- k3s.lan\n- k3s.example\n" in config
    assert "write-kubeconfig-mode: '0640'" in config
    assert "server: https://k3s.lan:6443\n" in texts["configure/pi64/config"]
    assert "insecure_skip_verify: true" in texts["configure/pi64/registries"]
    assert "token/s1/make" not in texts
    assert "configure/s1/token" in texts


def archive(path: str, arch: Arch, digest: str) -> Artifact:
    image = Image("r.lan/app:1", (f"linux/{arch}",), configs=((f"linux/{arch}", f"sha256:{digest * 64}"),))
    layer = ImageArchive("oci-layout", (image,), (f"linux/{arch}",), suffix=".tar.zst", unpacked=5000)
    return Artifact(path, Kind.ZSTD, 2000, digest * 64, (f"linux/{arch}",), (layer,))


class WithImages(Cluster):
    """A cluster whose hosts have a base and an application archive of their own architecture."""

    def context(self, limit: Sequence[str] = ()) -> Context:
        ctx = super().context(limit)
        chosen = dict(ctx.chosen)
        for number, slot in enumerate(("base", "apps"), 1):
            for host in ctx.inventory.hosts:
                arch = self.arches[host.name]
                digest = f"{number}{list(Arch).index(arch):x}"[-1]
                chosen[host.name, slot] = archive(f"images/{slot}-{arch}.tar.zst", arch, digest)
        return replace(ctx, chosen=chosen)


def test_images_arrive_before_the_start_and_are_proven_after_it() -> None:
    made = k3s(S1, PI, options={"images": ["base", "apps"]})
    plan = WithImages(made.inventory, ARCHES).plan(fresh)
    compare("k3s-images-first", plan)
    waves = [w.id for w in plan.waves]
    assert waves.index("images") < waves.index("first-server") < waves.index("import")


def test_new_images_restart_nothing() -> None:
    made = WithImages(k3s(S1, PI, options={"images": ["base", "apps"]}).inventory, ARCHES)

    def newer_apps(step: Step) -> Observation:
        stale = step.id.endswith("/apps") or step.id.startswith("import/")
        return fresh(step) if stale else Observation("same")

    plan = made.plan(newer_apps)
    acting = {p.step.id for w in plan.waves for p in w.steps if p.action in {"+", "~"}}
    assert acting == {
        *(f"images/{host}/apps" for host in ("s1", "pi64")),
        *(f"import/{host}/{what}" for host in ("s1", "pi64") for what in ("images", "superseded")),
    }
    compare("k3s-images-update", plan)


def test_an_upgrade_keeps_a_snapshot_and_restarts_servers_one_by_one() -> None:
    def other_program(step: Step) -> Observation:
        stale = step.id.startswith("snapshot/") or step.id.endswith(("/k3s", "/service"))
        return Observation("differs" if stale else "same")

    plan = k3s(S1, S2, PI).plan(other_program)
    acting = [p.step.id for w in plan.waves for p in w.steps if p.action == "~"]
    assert acting == [
        "snapshot/s1/etcd",
        *("ship/s1/k3s", "ship/s2/k3s", "ship/pi64/k3s"),
        *("start/s1/service", "start/s2/service", "start/pi64/service"),
    ]
    assert [w.parallel for w in plan.waves if w.id == "servers"] == [1]
    compare("k3s-upgrade", plan)


def test_reset_takes_agents_first_and_needs_no_files() -> None:
    made = k3s(S1, S2, PI, options={"state": "absent"})
    assert made.driver.slots(made.inventory, made.context().options) == ()
    plan = made.plan(lambda _: Observation("differs"))
    assert [w.id for w in plan.waves] == ["reset-agents", "reset-servers"]
    assert [w.parallel for w in plan.waves] == [None, 1]
    assert plan.waves[1].hosts == ("s2", "s1")
    compare("k3s-reset", plan)
    assert made.plan(done).changes == 0


class WithPlaces(WithImages):
    """The same where `pi64` told what is free: its archives have no room beside what is in them."""

    told = "overlay 40960000 0 {images} 1% /\n/dev/sda1 204800 0 {store} 1% /var/lib/rancher/k3s/agent/containerd\n"

    def __init__(
        self, made: Cluster, *, images: int = 2_050_000, store: int = 11_000, listed: str = "./"
    ) -> None:
        super().__init__(made.inventory, made.arches)
        self.observed = {"k3s.places": self.told.format(images=images, store=store), "k3s.images": listed}

    def context(self, limit: Sequence[str] = ()) -> Context:
        ctx = super().context(limit)
        facts = dict(ctx.facts)
        facts["pi64"] = replace(facts["pi64"], observed=self.observed)
        return replace(ctx, facts=facts)


def test_without_room_for_the_archives_their_images_are_streamed() -> None:
    made = k3s(S1, PI, options={"images": ["base", "apps"]})
    plan = WithPlaces(made, images=2_048_000).plan(fresh)
    compare("k3s-images-streamed", plan)
    streamed = [p.step.feed for w in plan.waves for p in w.steps if isinstance(p.step, Run) and p.step.feed]
    assert [(feed.source, feed.size, feed.unpack) for feed in streamed] == [
        (f"images/{slot}-arm64.tar.zst", 5000, True) for slot in ("base", "apps")
    ]
    sent = {p.step.id for w in plan.waves for p in w.steps if isinstance(p.step, Upload)}
    assert {name for name in sent if name.startswith("images/")} == {"images/s1/base", "images/s1/apps"}
