"""Plans of whole sealos clusters of mixed architectures, as they were reviewed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from driver_kit import GOLDEN, done, fresh
from sealos_kit import CTL, CTL2, NODE, PI, PI2, STORE, Whole, compare, outline, tree_artifact, whole

from sealboot.model.arch import Arch
from sealboot.model.archive import Image
from sealboot.model.host import Host
from sealboot.model.plan import Observation, Plan
from sealboot.model.steps import Service, Step
from sealboot.model.summary import summary
from sealboot.plan.build import make_plan

BOTH = (Image("pause:3.9", ("linux/amd64", "linux/arm64")),)


def short(name: str, plan: Plan) -> None:
    """Assert that a plan's outline is the reviewed one."""
    path, text = GOLDEN / f"{name}.txt", "\n".join([*outline(plan), ""])
    if os.environ.get("UPDATE_GOLDEN") == "1":
        path.write_text(text)
    assert path.read_text() == text, "if the change is wanted: UPDATE_GOLDEN=1"


def only(*names: str) -> Any:
    def observe(step: Step) -> Observation:
        return fresh(step) if step.host in names else done(step)

    return observe


def test_first_install_of_a_mixed_cluster() -> None:
    plan = whole(CTL, CTL2, NODE, PI, STORE).plan(fresh)
    short("sealos-whole-first", plan)
    assert summary(plan).same == 0


def test_every_script_of_a_small_one() -> None:
    compare("sealos-whole-scripts", whole(CTL, PI).plan(fresh))


def test_the_second_run_changes_nothing() -> None:
    plan = whole(CTL, CTL2, NODE, PI, STORE).plan(done)
    assert (plan.changes, plan.upload_bytes, summary(plan).depends, outline(plan)) == (0, 0, 0, [])


def test_scaling_out_by_an_arm_node() -> None:
    plan = whole(CTL, CTL2, NODE, PI, PI2, STORE).plan(only("pi02"))
    short("sealos-whole-scale-out", plan)
    changed = {p.step.host for w in plan.waves for p in w.steps if p.action in {"+", "~", "-"}}
    assert changed == {"pi02"}


def test_another_root_filesystem_is_another_tree() -> None:
    """The tree, what is made of it and the runtime follow; kubeadm has nothing to do."""
    newer = tree_artifact(Arch.ARM64, release="2")
    before = {s.id: s for w in _waves(whole(CTL, PI)) for s in w.steps}

    def observe(step: Step) -> Observation:
        return done(step) if before[step.id].check == step.check else Observation("differs")

    short("sealos-whole-new-tree", whole(CTL, PI, artifacts={"pi01": newer}).plan(observe))


NEXT = "v1.30.4"
RUNS = {"sealos.node": "ours", "sealos.member": "member\nv1.29.9\n"}


def test_image_update_of_the_same_release() -> None:
    """What is served changes, on the one host that serves it: layers that it lacks and the list; nothing restarts."""
    newer = tree_artifact(Arch.AMD64, served="2", images=BOTH)
    hosts = (CTL, CTL2, NODE, PI, STORE)
    plan = whole(*hosts, artifacts={"store": newer}).plan(since(whole(*hosts)))
    short("sealos-whole-images", plan)
    acting = {p.step.id for w in plan.waves for p in w.steps if p.action in {"+", "~", "-"}}
    assert {step.split("/")[0:2][1] for step in acting} == {"store"}
    assert not any(isinstance(p.step, Service) and p.action != "=" for w in plan.waves for p in w.steps)
    assert plan.upload_bytes == 70 + 4000
    waves = {w.id for w in plan.waves if any(p.action in {"+", "~", "-"} for p in w.steps)}
    assert waves == {"images"}  # what `--only images` takes


def test_every_step_of_an_image_update() -> None:
    newer = tree_artifact(Arch.AMD64, served="2", images=BOTH)
    plan = whole(CTL, artifacts={"ctl1": newer}).plan(since(whole(CTL)))
    compare(
        "sealos-whole-images-scripts", replace(plan, waves=tuple(w for w in plan.waves if w.id == "images"))
    )


def upgrading(*hosts: Host, **observed: Mapping[str, str]) -> Whole:
    """A cluster at v1.29.9 whose inventory asks for the next minor release, with root filesystems of it."""
    newer = {
        h.name: tree_artifact(Arch.ARM64 if h.name.startswith("pi") else Arch.AMD64, release="2", images=BOTH)
        for h in hosts
    }
    runs = {h.name: RUNS for h in hosts if h.role != "registry"}
    return whole(*hosts, release=NEXT, artifacts=newer, observed={**runs, **observed})


def since(before: Whole) -> Any:
    """What hosts answer that are as `before` describes them: marks of the upgrade are not there yet."""
    known = {s.id: s.check for w in _waves(before) for s in w.steps}

    def observe(step: Step) -> Observation:
        return done(step) if known.get(step.id, step) == step.check else Observation("differs")

    return observe


def test_upgrade_to_the_next_minor_release() -> None:
    hosts = (CTL, CTL2, NODE, PI, STORE)
    before = whole(*hosts, observed={h.name: RUNS for h in hosts if h.role != "registry"})
    short("sealos-whole-upgrade", upgrading(*hosts).plan(since(before)))


def test_every_script_of_an_upgrade() -> None:
    cluster = upgrading(CTL, PI)
    plan = cluster.plan(since(whole(CTL, PI, observed={"ctl1": RUNS, "pi01": RUNS})))
    compare(
        "sealos-whole-upgrade-scripts", replace(plan, waves=tuple(w for w in plan.waves if "upgrade" in w.id))
    )


def test_what_is_upgraded_already_is_left_alone() -> None:
    """A run that was cut off goes on with the hosts that are behind."""
    ahead = {"sealos.node": "ours", "sealos.member": f"member\n{NEXT}\n"}
    waves = {w.id: w for w in _waves(upgrading(CTL, CTL2, NODE, PI, ctl1=ahead, box01=ahead))}
    assert {s.host for name, w in waves.items() if "upgrade" in name for s in w.steps} == {
        "ctl1",
        "pictl2",
        "pi01",
    }
    assert [s.id for s in waves["upgrade-secrets"].steps] == ["upgrade/ctl1/sealos.admin"]
    assert {"upgrade-plane", "upgrade-first"} & waves.keys() == set()
    assert (waves["upgrade-masters"].parallel, waves["upgrade-nodes"].parallel) == (1, 1)


def test_an_upgrade_of_some_needs_the_first_master() -> None:
    """Nobody else can give the credentials that a drain needs."""
    cluster = upgrading(CTL, NODE)
    ctx = cluster.context(["box01"])
    refused = make_plan(cluster.inventory, cluster.driver.waves(ctx), {}, ctx.facts)
    assert not isinstance(refused, Plan)
    assert "SB612" in {d.code for d in refused}


def test_nothing_of_an_upgrade_is_in_other_plans() -> None:
    assert not any(
        "upgrade" in w.id for w in _waves(whole(CTL, NODE, observed={"ctl1": RUNS, "box01": RUNS}))
    )


def _waves(cluster: Any) -> Any:
    return cluster.driver.waves(cluster.context())


def test_reset() -> None:
    short(
        "sealos-whole-reset",
        whole(CTL, CTL2, NODE, PI, STORE, options={"state": "absent", "ipvs": "false"}).plan(fresh),
    )


@pytest.mark.parametrize("options", [None, {"ipvs": "false"}])
def test_with_and_without_balancing(options: dict[str, str] | None) -> None:
    plan = whole(CTL, NODE, options=options).plan(fresh)
    steps = {p.step.id: p.step.title for w in plan.waves for p in w.steps}
    balanced = options is None
    assert ("ipvs/box01/rules" in steps) is balanced
    assert ("lvscare/box01/manifest" in steps) is balanced
    expected = "10.103.97.2" if balanced else "10.0.0.11"
    assert steps["hosts/box01/apiserver.cluster.local"].endswith(expected)
