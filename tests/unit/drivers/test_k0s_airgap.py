from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from driver_kit import compare, done, fresh
from k0s_kit import K0s, k0s

from sealboot.drivers import k0s_airgap_scripts as scripts
from sealboot.drivers.base import Context
from sealboot.drivers.k0s_airgap_places import PLACES, PROXY
from sealboot.model.arch import Arch
from sealboot.model.archive import IMAGE_LIST, Image, ImageArchive
from sealboot.model.artifact import Artifact, Kind, Other
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.host import Host
from sealboot.model.plan import Observation, Wave
from sealboot.model.steps import Run, Step
from sealboot.render.findings import lines

BOTH = Host("c1", "10.0.0.11", "controller+worker")
PI = Host("w3", "10.0.0.23", "worker")
OLD_PI = Host("w2", "10.0.0.22", "worker")
HOME = "quay.io/k0sproject"
#: What k0s v1.29.9 and v1.30.2 have, in the order of the places.
BEFORE = {
    "images.pause": "registry.k8s.io/pause:3.8",
    "images.kubeproxy": f"{HOME}/kube-proxy:v1.29.9",
    "images.coredns": f"{HOME}/coredns:1.11.3",
    "images.konnectivity": f"{HOME}/apiserver-network-proxy-agent:v0.1.4",
    "images.metricsserver": "registry.k8s.io/metrics-server/metrics-server:v0.7.2",
    "images.kuberouter.cni": f"{HOME}/kube-router:v1.6.1-iptables1.8.9-0",
    "images.kuberouter.cniInstaller": f"{HOME}/cni-node:1.3.0-k0s.0",
    "network.nodeLocalLoadBalancing.envoyProxy.image": f"{HOME}/envoy-distroless:v1.29.12",
}
AFTER = {
    **BEFORE,
    "images.pause": f"{HOME}/pause:3.9",
    "images.kubeproxy": f"{HOME}/kube-proxy:v1.30.2",
    "images.coredns": f"{HOME}/coredns:1.11.4",
    "images.konnectivity": f"{HOME}/apiserver-network-proxy-agent:v0.30.3",
    "images.kuberouter.cni": f"{HOME}/kube-router:v2.1.0-iptables1.8.9-0",
    "network.nodeLocalLoadBalancing.envoyProxy.image": f"{HOME}/envoy-distroless:v1.30.9",
}
CHANGED = {path for path in AFTER if AFTER[path] != BEFORE[path]}
LIVE_SETTINGS = {
    "images.default_pull_policy": "Never",
    "network.provider": "kuberouter",
    "network.nodeLocalLoadBalancing.enabled": "true",
    "network.nodeLocalLoadBalancing.type": "EnvoyProxy",
}


def live(pins: Mapping[str, str], **settings: str) -> str:
    """What `k0s_airgap_scripts.live` answers."""
    flat = {**LIVE_SETTINGS, **{key.replace("__", "."): value for key, value in settings.items()}}
    for path, image in pins.items():
        name, _, tag = image.rpartition(":")
        flat |= {f"{path}.image": name, f"{path}.version": tag}
    return "live\n" + "".join(f"{key}={value}\n" for key, value in flat.items())


def bundle(arch: Arch, names: Sequence[str], path: str = "") -> Artifact:
    images = tuple(Image(name, (f"linux/{arch}",)) for name in names)
    layer = ImageArchive("oci-layout", images, (f"linux/{arch}",), suffix=".tar", unpacked=5000)
    where = path or f"binaries/bundle-{arch}.tar"
    return Artifact(where, Kind.TAR, 2000, "b" * 64, (f"linux/{arch}",), (layer,))


class Upgrade(K0s):
    """A cluster on its way to another release, with bundles and whatever its hosts answer."""

    bundles: Mapping[str, Sequence[str]]
    listed: Sequence[str] = ()
    answers: Mapping[str, Mapping[str, str]]

    def waves(self) -> tuple[Wave, ...]:
        return self.driver.waves(self.context())

    def context(self, limit: Sequence[str] = ()) -> Context:
        ctx = super().context(limit)
        chosen, facts = dict(ctx.chosen), dict(ctx.facts)
        for name, images in self.bundles.items():
            if images:
                chosen[name, "images"] = bundle(self.arches[name], images)
            if self.listed:
                layer = Other(IMAGE_LIST, {"count": "1", "images": " ".join(self.listed)})
                chosen[name, "image_list"] = Artifact("airgap.txt", Kind.UNKNOWN, 9, "c" * 64, (), (layer,))
        for name, answers in self.answers.items():
            facts[name] = replace(facts[name], observed={**facts[name].observed, **answers})
        return replace(ctx, chosen=chosen, facts=facts)


def upgrade(
    *hosts: Host,
    bundled: Mapping[str, Sequence[str]] | Sequence[str] = tuple(AFTER.values()),
    listed: Sequence[str] = (),
    answers: Mapping[str, Mapping[str, str]] | None = None,
    **options: Any,
) -> Upgrade:
    """An upgrade from 1.29 to 1.30 of `hosts` (a controller+worker and a worker) with every pin of issue 5258."""
    members = hosts or (BOTH, PI)
    given = {"dynamic_config": "true", "images": ["images"], **options}
    made = k0s(*members, options=given, old=[h.name for h in members], release="v1.30.2+k0s.0")
    cluster = Upgrade(made.inventory, made.arches, made.old)
    cluster.bundles = bundled if isinstance(bundled, Mapping) else {host.name: bundled for host in members}
    cluster.listed = listed
    first = {scripts.LIVE: live(BEFORE), scripts.DEFAULTS: "\n".join(BEFORE.values())}
    cluster.answers = {members[0].name: first} if answers is None else answers
    return cluster


def told(cluster: Upgrade) -> dict[tuple[str, str | None], Diagnostic]:
    ctx = cluster.context()
    return {(d.code, d.host): d for d in cluster.driver.checks(ctx) if d.code.startswith("SB67")}


def test_pins_of_an_old_release_are_refused_with_a_table() -> None:
    found = told(upgrade())
    assert {key for key, d in found.items() if d.severity is Severity.ERROR} == {
        ("SB671", "c1"),
        ("SB670", "c1"),
        ("SB670", "w3"),
    }
    pins = dict(found["SB671", "c1"].evidence)
    assert {p.label for p in PLACES if p.path in CHANGED} == set(pins) - {"asked", "told by", "image"}
    assert pins["kubeproxy"].split() == ["v1.29.9", "v1.30.2"]
    assert pins["envoyProxy"].split() == ["v1.29.12", "v1.30.9"]
    assert any("unpin: true" in hint for hint in found["SB671", "c1"].hints)
    assert "pause comes from another registry now" in found["SB671", "c1"].notes[0]
    table = dict(found["SB670", "w3"].evidence)
    assert table["kubeproxy"].split() == ["v1.29.9", "(*)", "no", "no", "MISSING"]
    assert table["cniInstaller"].split() == ["1.3.0-k0s.0", "(*)", "yes", "no"]


def test_the_tables_can_be_read_in_80_columns() -> None:
    for diagnostic in told(upgrade()).values():
        shown = [line.plain for line in lines(diagnostic, 80)]
        assert max(map(len, shown)) <= 80
        rows = {line.split()[1]: line for line in shown if line.startswith("   | ")}
        columns = {row.index(" yes" if " yes" in row else " no ") for row in rows.values() if "(*)" in row}
        assert len(columns) <= 1, shown


def test_what_is_on_the_node_is_not_missing() -> None:
    stored = {scripts.STORED: "\n".join((*BEFORE.values(), "end"))}
    cluster = upgrade()
    cluster.answers = {"c1": {**cluster.answers["c1"], **stored}, "w3": stored}
    found = told(cluster)
    assert {code for code, _ in found} == {"SB671"}
    assert found["SB671", "c1"].severity is Severity.ERROR


def test_a_bundle_that_has_the_old_images_as_well_makes_it_a_warning() -> None:
    found = told(upgrade(bundled=(*BEFORE.values(), *AFTER.values())))
    assert {(key, str(d.severity)) for key, d in found.items()} == {(("SB671", "c1"), "warning")}


def test_a_release_is_not_asked_for_what_it_lists_elsewhere() -> None:
    network = {"nodeLocalLoadBalancing": {"enabled": "true"}}
    config = {"images": {"default_pull_policy": "Never"}, "network": network}
    cluster = upgrade(
        Host("c2", "10.0.0.12", "controller"), PI, config=config, dynamic_config="false", answers={}
    )
    (step,) = [s for w in cluster.waves() for s in w.steps if s.id.startswith("confirm/")]
    assert isinstance(step, Run)
    assert ("envoy" in step.script, "kube-proxy:v1.30.2" in step.script) == (False, True)


def test_unpinned_the_upgrade_has_what_it_needs() -> None:
    found = told(upgrade(unpin="true"))
    assert {(key, str(d.severity)) for key, d in found.items()} == {(("SB671", "c1"), "note")}


def test_a_pull_policy_that_pulls_makes_it_a_warning() -> None:
    cluster = upgrade()
    answer = live(BEFORE, images__default_pull_policy="IfNotPresent")
    cluster.answers = {"c1": {scripts.LIVE: answer}}
    assert {str(d.severity) for d in told(cluster).values()} == {"warning"}


def test_what_the_operator_wrote_is_meant() -> None:
    config = {"images": {"coredns": {"image": f"{HOME}/coredns", "version": "1.11.3"}}}
    found = told(upgrade(config=config))
    assert "coredns" not in dict(found["SB671", "c1"].evidence)
    assert "kubeproxy" in dict(found["SB671", "c1"].evidence)


def test_an_image_of_the_operators_own_is_no_default() -> None:
    mine = "registry.example/mirror/kube-proxy:v1.29.9-fixed"
    cluster = upgrade(bundled=(*AFTER.values(), mine))
    cluster.answers = {"c1": {scripts.LIVE: live({PROXY.path: mine}), scripts.DEFAULTS: ""}}
    assert told(cluster) == {}


def test_a_repository_moves_the_release_s_names() -> None:
    mirrored = [
        image.replace("quay.io", "r.lan").replace("registry.k8s.io", "r.lan") for image in AFTER.values()
    ]
    pins = {path: image.replace("quay.io", "r.lan") for path, image in BEFORE.items()}
    cluster = upgrade(bundled=mirrored, listed=tuple(AFTER.values()))
    cluster.answers = {"c1": {scripts.LIVE: live(pins, images__repository="r.lan"), scripts.DEFAULTS: ""}}
    found = told(cluster)
    assert "kubeproxy" in dict(found["SB671", "c1"].evidence)
    assert dict(found["SB671", "c1"].evidence)["told by"] == "airgap.txt"
    cluster.answers = {"c1": {scripts.LIVE: live({}, images__repository="r.lan")}}
    assert told(cluster) == {}


def test_a_bundle_is_for_its_own_architecture() -> None:
    cluster = upgrade(unpin="true")
    cluster.arches = {**cluster.arches, "w3": Arch.ARM64}
    assert ("SB670", "w3") not in told(cluster)

    class Foreign(Upgrade):
        def context(self, limit: Sequence[str] = ()) -> Context:
            ctx = super().context(limit)
            wrong = {**ctx.chosen, ("w3", "images"): bundle(Arch.AMD64, tuple(AFTER.values()))}
            return replace(ctx, chosen=wrong)

    foreign = Foreign(cluster.inventory, cluster.arches, cluster.old)
    foreign.bundles, foreign.answers = cluster.bundles, cluster.answers
    rows = dict(told(foreign)["SB670", "w3"].evidence)
    assert rows["kubeproxy"].split() == ["v1.30.2", "no", "no", "MISSING"]


def test_a_list_and_a_bundle_of_another_release() -> None:
    found = told(upgrade(bundled=tuple(BEFORE.values()), answers={"c1": {scripts.LIVE: live({})}}))
    assert found["SB674", "c1"].severity is Severity.ERROR
    assert dict(found["SB674", "c1"].evidence)["the bundle"].endswith("kube-proxy:v1.29.9")


def test_the_list_tells_what_the_bundle_lacks() -> None:
    some = [image for image in AFTER.values() if "coredns" not in image]
    cluster = upgrade(bundled=some, listed=tuple(AFTER.values()), answers={"c1": {scripts.LIVE: live({})}})
    rows = dict(told(cluster)["SB670", "w3"].evidence)
    assert [label for label, text in rows.items() if text.endswith("MISSING")] == ["coredns"]


def test_an_answer_that_does_not_come_is_no_answer() -> None:
    never = {"images": {"default_pull_policy": "Never"}}
    failed = {"c1": {scripts.LIVE: "failed: The connection to the server was refused"}}
    stopped = told(upgrade(answers=failed, config=never))
    assert stopped["SB673", "c1"].severity is Severity.ERROR
    assert dict(stopped["SB673", "c1"].evidence)["kubectl"] == "The connection to the server was refused"
    assert told(upgrade(answers=failed))["SB673", "c1"].severity is Severity.WARNING
    assert told(upgrade(answers={}))["SB673", "c1"].severity is Severity.WARNING
    assert told(upgrade(answers={"c1": {scripts.LIVE: "none"}})) == {}
    assert told(upgrade(answers={}, dynamic_config="false")) == {}


def test_nothing_tells_which_images_are_wanted() -> None:
    never = {"images": {"default_pull_policy": "Never"}}
    found = told(upgrade(bundled=(), answers={"c1": {scripts.LIVE: "none"}}, config=never))
    assert {code for code, _ in found} == {"SB675"}


@pytest.mark.parametrize("balancer", ["EnvoyProxy", "Traefik"])
def test_the_balancer_is_built_for_every_node(balancer: str) -> None:
    network = {"network": {"nodeLocalLoadBalancing": {"enabled": "true", "type": balancer}}}
    cluster = upgrade(BOTH, OLD_PI, config=network, dynamic_config="false", answers={})
    found = told(cluster)
    assert (("SB672", "w2") in found) == (balancer == "EnvoyProxy")
    single = upgrade(Host("c1", "10.0.0.11", "single"), config=network, dynamic_config="false", answers={})
    assert ("SB672", "c1") in told(single)


def test_only_the_images_of_what_runs_are_wanted() -> None:
    calico = tuple(
        f"{HOME}/{name}:v3.27.3-0" for name in ("calico-cni", "calico-node", "calico-kube-controllers")
    )
    lean = [
        i for i in AFTER.values() if "kube-router" not in i and "cni-node" not in i and "coredns" not in i
    ]
    cluster = upgrade(
        bundled=(*lean, *calico),
        install_flags=["--disable-components=coredns,helm"],
        answers={"c1": {scripts.LIVE: live({}, network__provider="calico")}},
    )
    assert told(cluster) == {}


def not_unpinned(step: Step) -> Observation:
    stale = step.id.startswith(("unpin/", "confirm/")) or step.id.endswith("/k0s")
    return fresh(step) if stale else Observation("same")


def test_the_edit_comes_before_any_controller_changes() -> None:
    cluster = upgrade(unpin="true")
    plan = cluster.plan(not_unpinned)
    waves = [wave.id for wave in plan.waves]
    assert waves.index("backup") < waves.index("unpin") < waves.index("first")
    assert waves.index("configure") < waves.index("confirm") < waves.index("first")
    ours = tuple(wave for wave in plan.waves if wave.id in {"confirm", "unpin"})
    compare("k0s-unpin", replace(plan, waves=ours))
    marks = {p.step.id: str(p.action) for w in cluster.plan(done).waves for p in w.steps}
    assert (marks["unpin/c1/clusterconfig"], marks["confirm/c1/images"]) == ("=", "=")
    assert not [s for w in upgrade(answers={}).waves() for s in w.steps if s.id.startswith("unpin/")]


def test_an_archive_that_calls_its_images_anything() -> None:
    odd = [f"{HOME}/kube-proxy:v1.30.2 $(id)", f"{HOME}/coredns:*", "\x1b[2J/pause:3.9", ":", ""]
    never = {"images": {"default_pull_policy": "Never"}}
    cluster = upgrade(bundled=odd, config=never, dynamic_config="false", answers={})
    assert {code for code, _ in told(cluster)} == {"SB675"}
    assert not [s for w in cluster.waves() for s in w.steps if s.id.startswith("confirm/")]


def test_a_step_is_a_script_without_secrets() -> None:
    steps = [s for w in upgrade(unpin="true").waves() for s in w.steps if s.id.startswith("unpin/")]
    (step,) = steps
    assert isinstance(step, Run)
    assert step.check is not None
    assert not step.env_secrets
